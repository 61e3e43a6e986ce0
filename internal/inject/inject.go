// Package inject takes messages in, whatever way they come: it checks who may send
// what, gives the message its ID and binding, stamps it, and has the spool keep it
// before anyone is told that it was accepted.
//
//	Begin ──AddRecipient*──Write*──Accept ──> spool (durable) ──> Submitter ──> 250 with the ID
//	  │         │            │        └ loop, size, binding refused
//	  └ room, login, rate    └ header block read, our X- fields taken out
//
// What is refused is refused before Accept has stored it, never after. Nothing is
// relayed but for the networks and logins that the listener names: AddRecipient asks
// Origin.MayRelay, so that no way in can forget to.
//
// smtpin is the way in by SMTP.
package inject

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sign"
	"github.com/sluice-mta/sluice/internal/spool"
)

// Submitter takes over messages that the spool has durably. It must not fail: the
// client is told right after that we have its message.
type Submitter interface {
	Submit(env *mail.Envelope)
}

// SubmitFunc is a function that is a Submitter.
type SubmitFunc func(env *mail.Envelope)

// Submit implements Submitter.
func (f SubmitFunc) Submit(env *mail.Envelope) { f(env) }

// Config is what an Injector needs. All fields must be set but those that say
// otherwise.
type Config struct {
	Settings  func() *policy.Snapshot // the configuration of now; a reload changes the answer
	Spool     spool.Spool
	Submitter Submitter
	// Gate says whether new mail may come in now: the zero Reply, or the 4xx that
	// refuses it. Asked at each connection, MAIL and DATA: cheap. Nil: always.
	Gate func() mail.Reply
	Now  func() time.Time // nil: time.Now
	// Signing says how mail of a binding for a recipient domain is signed; nil: it is not.
	// Asked only when Settings say that some mail is. Nil: none is.
	Signing func(binding, domain string) *policy.Signing
	// Unsigned is told why a message that was to be signed leaves without a signature.
	// Called for every such message. May be nil.
	Unsigned func(error)
	// Report takes a message to an address for reports of a listener, and answers for it: the
	// zero Reply when what it says is recorded. Nil: no address is for reports.
	Report func(Incoming) mail.Reply
	// Suppressed reports whether an address, with a canonical domain, is on the suppression
	// list. Nil: none is.
	Suppressed func(mail.Address) bool
	// Refused is told of every refusal, by a word (Reason). Nil: nobody is.
	Refused func(reason string)
}

// Injector takes messages in. Safe for concurrent use.
type Injector struct {
	cfg       Config
	ids       idSource
	rates     rates
	passwords *passwords
	failures  failures
	table     atomic.Pointer[bindingTable]

	keys *sign.Keys

	accepted, refused         atomic.Int64
	signed, unsigned, badKeys atomic.Int64
}

// New returns an Injector.
func New(cfg Config) (*Injector, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Gate == nil {
		cfg.Gate = func() mail.Reply { return mail.Reply{} }
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	p, err := newPasswords(cfg.Now)
	if err != nil {
		return nil, err
	}
	return &Injector{cfg: cfg, passwords: p, keys: sign.NewKeys(cfg.Now), rates: rates{users: map[string]*bucket{}}}, nil
}

// Settings returns the configuration of now.
func (in *Injector) Settings() *policy.Snapshot { return in.cfg.Settings() }

// Pressure returns the reply that refuses new mail now, or the zero Reply.
func (in *Injector) Pressure() mail.Reply { return in.cfg.Gate() }

// NewID returns an ID for a message of the server's own.
func (in *Injector) NewID() mail.ID { return in.ids.next(in.cfg.Now().UnixMilli()) }

// Stats are counts since the start.
type Stats struct {
	Accepted int64 // messages
	Refused  int64 // messages that came as far as Accept and were refused there
	Signed   int64 // messages, and ways of signing one, that got a signature
	Unsigned int64 // such that were to get one and lack it
	BadKeys  int64 // of these, because a key cannot be used
}

// Stats returns the counts.
func (in *Injector) Stats() Stats {
	return Stats{
		Accepted: in.accepted.Load(), Refused: in.refused.Load(),
		Signed: in.signed.Load(), Unsigned: in.unsigned.Load(), BadKeys: in.badKeys.Load(),
	}
}

// Replies to what inject refuses.
var (
	replyRelay     = mail.Reply{Code: 550, Enhanced: "5.7.1", Text: "relaying denied"}
	replyRate      = mail.Reply{Code: 450, Enhanced: "4.7.1", Text: "message rate of the login exceeded, try again later"}
	replyTooBig    = mail.Reply{Code: 552, Enhanced: "5.3.4", Text: "message too big"}
	replyBigHeader = mail.Reply{Code: 552, Enhanced: "5.3.4", Text: "header of the message too big"}
	replyLoop      = mail.Reply{Code: 554, Enhanced: "5.4.6", Text: "too many hops: the message has passed 100 servers"}
	replyTooMany   = mail.Reply{Code: 452, Enhanced: "4.5.3", Text: "too many recipients"}
	replyDomain    = mail.Reply{Code: 553, Enhanced: "5.1.2", Text: "domain of the recipient is malformed"}
	replyInternal  = mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "cannot take the message now, try again later"}
	replyFull      = mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "no room for the message, try again later"}
	replyNoRcpt    = mail.Reply{Code: 554, Enhanced: "5.5.1", Text: "no recipients"}
)

// replyFor returns the reply to trouble of our own. The cause stays out of it: it is
// none of the client's.
func replyFor(err error) mail.Reply {
	switch {
	case errors.Is(err, ErrTooBig):
		return replyTooBig
	case errors.Is(err, ErrBigHeader):
		return replyBigHeader
	case errors.Is(err, spool.ErrFull):
		return replyFull
	}
	return replyInternal
}
