package account

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Record is what happened to one recipient. Times are wall-clock ns since the epoch; 0
// is a time that is not known. A field that does not apply is empty.
type Record struct {
	Kind      sched.RecordKind
	Logged    int64 // when the event was recorded
	Queued    int64 // when the message was accepted
	Message   mail.ID
	Sender    string // empty: the null reverse-path
	Recipient string
	ORcpt     string // DSN ORCPT as received

	Action   string // RFC 3464 §2.3.3: relayed, delayed, failed; empty for received
	Status   string // RFC 3463, "5.1.1"
	Diag     string // "smtp;550 5.1.1 ...", or "x-sluice;..." in our own words; lines joined by \n
	Category string // bounce category; empty for received and delivered
	Bounce   int    // bounce class by its number; 0 for received and delivered
	Cause    string // what the reply complains of, "mailbox"; unknown: no rule knows it
	Reach    string // how far that goes, "recipient"; empty when the cause is not known
	Rule     string // the reply rule that knew the cause, or at least the bounce class
	Stage    string // where in the transaction it was said

	Host       string     // MX host
	Remote     netip.Addr // address of the receiver
	RemotePort uint16
	Local      netip.Addr // source address
	Extensions []string   // that the receiver offered, without parameters
	TLS        string     // "TLS1.3/TLS_AES_128_GCM_SHA256"
	Started    int64      // of the transaction
	Ended      int64

	Protocol string     // by which the message came: smtp, http, report
	Client   netip.Addr // who brought it
	Helo     string
	Login    string
	Listener string
	Size     int64 // octets

	Binding  string
	Group    string
	Domain   string // routing domain
	Tenant   string
	Job      string
	EnvID    string
	Attempts int // so far, this one included

	Report Reported // of what a receiver reported later
}

// Reported is what only records of reports from outside have.
type Reported struct {
	Form      string // in which it came: rfc3464, arf, ...
	Verified  bool   // it showed a tag of this server's
	Feedback  string // kind of a feedback: abuse, ...
	UserAgent string // that made it
	SourceIP  string // from which the reporter got the message
	MessageID string // of the message that it is about
	From      string // likewise
}

// actions are the values of dsnAction. Mail handed on over SMTP is relayed: what the
// receiver does with it is not known.
var actions = [...]string{
	sched.RecordReceived: "", sched.RecordDelivered: "relayed", sched.RecordDeferred: "delayed", sched.RecordBounced: "failed",
}

// message sets the fields that all records of an account share.
func (r *Record) message(a *sched.Account, env *mail.Envelope) {
	*r = Record{
		Kind: a.Kind, Logged: r.Logged, Message: a.Message, Action: actions[a.Kind],
		Binding: a.Binding, Domain: a.Domain, Attempts: a.Attempts, Extensions: r.Extensions[:0],
	}
	if env != nil {
		r.Queued, r.Size, r.Sender = env.Received, env.Size, env.Sender.String()
		r.Tenant, r.Job, r.EnvID = env.Tenant, env.Job, env.EnvID
		r.Protocol, r.Helo, r.Login, r.Listener = env.Source.Protocol, env.Source.Helo, env.Source.Login, env.Source.Listener
		r.Client = env.Source.Client.Addr()
	}
	if t := a.Attempt; t != nil {
		r.Host, r.TLS, r.Started, r.Ended = t.Host, t.TLS, t.Started, t.Ended
		r.Remote, r.RemotePort, r.Local = t.Remote.Addr(), t.Remote.Port(), t.Local
		for _, e := range t.Ehlo {
			word, _, _ := strings.Cut(e, " ")
			r.Extensions = append(r.Extensions, word)
		}
	}
}

// recipient sets the fields of one recipient; index is into env.
func (r *Record) recipient(a *sched.Account, env *mail.Envelope, index int) {
	r.Recipient, r.ORcpt, r.Group = "", "", ""
	if env == nil || index < 0 || index >= len(env.Recipients) {
		return
	}
	rc := &env.Recipients[index]
	r.Recipient, r.ORcpt, r.Group = rc.Address.String(), rc.ORcpt, rc.Group
	if a.Kind == sched.RecordReceived {
		r.Binding, r.Domain = rc.Binding, rc.Domain
	}
}

// outcome sets what was said, and what it is about.
func (r *Record) outcome(o *mail.Outcome, judge func(*classify.Subject) classify.Judgement) {
	r.Status = classify.Status(o.Reply, o.Class)
	if r.Kind == sched.RecordBounced {
		r.Status = classify.Final(o.Reply, o.Class)
	}
	if o.Class == mail.ClassSuppressed {
		r.Status = classify.Final(o.Reply, mail.ClassRefused)
	}
	r.Diag = Diagnostic(o.Reply)
	r.Stage = o.Reply.Stage.String()
	r.Category, r.Bounce, r.Cause, r.Reach, r.Rule = "", 0, "", "", ""
	switch {
	case o.Class == mail.ClassSuppressed:
		r.Category = CategorySuppressed // nobody was asked
	case r.Kind != sched.RecordDelivered && judge != nil:
		r.judge(o.Reply, judge)
	}
}

// judge sets what the reply rules say.
func (r *Record) judge(reply mail.Reply, judge func(*classify.Subject) classify.Judgement) {
	s := classify.Subject{Reply: reply, Host: r.Host, Domain: r.Domain}
	if reply.Enhanced == "" {
		s.Reply.Enhanced = r.Status
	}
	j := judge(&s)
	r.Category, r.Bounce, r.Cause = string(j.Category), int(j.Bounce), j.Cause.String()
	if r.Status == classify.Expired && r.Kind == sched.RecordBounced {
		r.Category = string(classify.MessageExpired) // whatever the last reply was about
	}
	if j.Cause != classify.CauseUnknown {
		r.Reach = j.Reach.String()
	}
	if rule := cmp.Or(j.CauseRule, j.BounceRule); rule != nil {
		r.Rule = rule.Name
	}
}

// CategorySuppressed is the category of recipients on the suppression list.
const CategorySuppressed = "suppressed"

// Diagnostic returns a reply with its type in front (RFC 3464 §2.3.6): smtp for a
// receiver's words, x-sluice for ours.
func Diagnostic(r mail.Reply) string {
	if r.IsZero() {
		return ""
	}
	b := make([]byte, 0, len(r.Text)+24)
	if r.Code == 0 {
		b = append(b, "x-sluice;"...)
		return string(append(b, r.Text...))
	}
	b = append(b, "smtp;"...)
	b = appendInt(b, int64(r.Code))
	for _, s := range [2]string{r.Enhanced, r.Text} {
		if s != "" {
			b = append(append(b, ' '), s...)
		}
	}
	return string(b)
}
