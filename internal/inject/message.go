package inject

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/spool"
)

// Start is what a client says about a message before it names recipients.
type Start struct {
	Sender   mail.Address
	Size     int64 // octets announced; 0: not announced
	EightBit bool
	SMTPUTF8 bool
	Ret      mail.Ret
	EnvID    string // without xtext encoding

	RequireTLS bool
	Release    time.Time  // not to be sent before; zero: at once
	By         *DeliverBy // nil: no wish
}

// DeliverBy is what a client says about the time of delivery (RFC 2852).
type DeliverBy struct {
	In     time.Duration // from now
	Notify bool          // by-mode N
	Trace  bool
}

// terms notes in the envelope when and how it may travel.
func (s *Start) terms(env *mail.Envelope, now time.Time, relaxed bool) {
	env.RequireTLS = s.RequireTLS
	if s.Release.After(now) {
		env.Release = s.Release.UnixNano()
	}
	if s.By == nil {
		return
	}
	env.By = mail.DeliverBy{Deadline: now.Add(s.By.In).UnixNano(), Trace: s.By.Trace, Relaxed: relaxed && !s.By.Notify}
	if s.By.Notify {
		env.By.Mode = mail.ByNotify
	}
}

// Message is a message on its way in: Begin, AddRecipient, Write, and Accept or Abort.
// Not safe for concurrent use.
type Message struct {
	in       *Injector
	origin   *Origin
	settings *policy.Snapshot
	env      *mail.Envelope
	seen     map[mail.Address]struct{} // from the second recipient on

	draft    spool.Draft
	fields   fields
	head     []byte // the header block, while it is not whole
	inBody   bool
	size     int64 // octets written to the draft
	received int64 // octets given to Write
	max      int64
	err      error // of Write, sticky

	signing  *signing  // nil: nothing is to be signed
	incoming *incoming // nil: no recipient is for reports
}

// Begin begins a message. It is refused for want of room, of the login's rate, or
// because it is announced too big; the Message is then nil.
func (in *Injector) Begin(o *Origin, s Start) (*Message, mail.Reply) {
	if r := in.cfg.Gate(); r.Code != 0 {
		return nil, in.Refuse(r)
	}
	maxSize := o.maxSize()
	if maxSize > 0 && s.Size > maxSize {
		return nil, in.Refuse(replyTooBig)
	}
	now := in.cfg.Now()
	if o.User != nil && !in.rates.take(o.User.Name, o.User.MessageRate, now) {
		return nil, in.Refuse(replyRate)
	}
	m := &Message{
		in: in, origin: o, fields: fields{control: o.mayName()}, settings: in.cfg.Settings(), max: maxSize,
		env: &mail.Envelope{
			ID: in.ids.next(now.UnixMilli()), Sender: s.Sender, Received: now.UnixNano(),
			EnvID: s.EnvID, Ret: s.Ret, EightBit: s.EightBit, SMTPUTF8: s.SMTPUTF8, Source: o.Source,
		},
	}
	s.terms(m.env, now, o.Listener.DeliverBy == policy.DeliverByRelaxed)
	return m, mail.Reply{}
}

// ID returns the message's ID.
func (m *Message) ID() mail.ID { return m.env.ID }

// AddRecipient adds a recipient, or refuses it. One that was named before, with the
// same local part and domain, is taken and not added: it gets the message once, on the
// terms of the first. A postmaster without domain is the configured one.
func (m *Message) AddRecipient(a mail.Address, notify mail.Notify, orcpt string) mail.Reply {
	relays := m.origin.MayRelay()
	if a.Domain == "" && relays {
		a = m.postmaster()
	}
	domain, err := mail.CanonicalDomain(a.Domain)
	switch {
	case err == nil && m.reports(a, domain):
		return mail.Reply{}
	case !relays:
		return m.in.Refuse(replyRelay)
	case err != nil:
		return m.in.Refuse(replyDomain)
	}
	if m.known(mail.Address{Local: a.Local, Domain: domain}) {
		return mail.Reply{}
	}
	if len(m.env.Recipients) >= mail.MaxRecipients {
		return m.in.Refuse(replyTooMany)
	}
	m.env.Recipients = append(m.env.Recipients, mail.Recipient{Address: a, Domain: domain, Notify: notify, ORcpt: orcpt})
	if m.in.cfg.Suppressed != nil {
		last := &m.env.Recipients[len(m.env.Recipients)-1]
		last.Suppressed = m.in.cfg.Suppressed(mail.Address{Local: a.Local, Domain: domain})
	}
	return mail.Reply{}
}

// known reports whether the recipient is there already, and remembers it.
func (m *Message) known(a mail.Address) bool {
	if len(m.env.Recipients) == 0 {
		return false
	}
	if m.seen == nil {
		r := m.env.Recipients[0]
		m.seen = map[mail.Address]struct{}{{Local: r.Address.Local, Domain: r.Domain}: {}}
	}
	_, dup := m.seen[a]
	m.seen[a] = struct{}{}
	return dup
}

func (m *Message) postmaster() mail.Address {
	local, domain, ok := strings.Cut(m.settings.Postmaster, "@")
	if !ok || domain == "" {
		return mail.Address{Local: "postmaster", Domain: m.settings.Hostname}
	}
	return mail.Address{Local: local, Domain: domain}
}

// Write takes the next piece of the content: CRLF line ends, no dot-stuffing. It
// implements io.Writer. An error is final: ErrTooBig, ErrBigHeader or the spool's;
// Accept then gives the reply to it.
func (m *Message) Write(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.received += int64(len(p)); m.max > 0 && m.received > m.max {
		m.err = ErrTooBig
		return 0, m.err
	}
	if m.incoming != nil {
		m.incoming.gather(p)
	}
	if len(m.env.Recipients) == 0 { // reports alone: nothing is to be kept
		return len(p), nil
	}
	if m.draft == nil {
		m.create()
	}
	if m.inBody {
		m.err = m.keep(p)
	} else {
		m.err = m.writeHead(p)
	}
	if m.err != nil {
		return 0, m.err
	}
	return len(p), nil
}

// create begins the draft, and to sign.
func (m *Message) create() {
	m.draft = m.in.cfg.Spool.Create(m.env.ID)
	if m.settings.Signs && m.in.cfg.Signing != nil {
		m.signing = &signing{}
	}
}

// Err returns the error that Write came to, or nil.
func (m *Message) Err() error { return m.err }

// writeHead gathers the header block. When it comes whole in one piece, as nearly
// always, it is not copied.
func (m *Message) writeHead(p []byte) error {
	block, from := p, 0
	if len(m.head) > 0 {
		from = max(len(m.head)-3, 0) // the empty line may be split over two pieces
		m.head = append(m.head, p...)
		block = m.head
	}
	n := headerEnd(block, from)
	switch {
	case n > MaxHeader || n < 0 && len(block) > MaxHeader:
		return ErrBigHeader
	case n < 0:
		if len(m.head) == 0 {
			m.head = append(m.head, p...)
		}
		return nil
	}
	m.inBody = true
	m.head = nil
	return m.fields.readHeader(block, n, m.keep)
}

// keep writes to the draft.
func (m *Message) keep(p []byte) error {
	if !m.env.EightBit && hasEightBit(p) {
		// Not announced, but there: the next hop must be told (RFC 6152).
		m.env.EightBit = true
	}
	if m.signing != nil {
		m.tap(p)
	}
	n, err := m.draft.Write(p)
	m.size += int64(n)
	return err
}

// hasEightBit reports whether an octet of p has its high bit set.
func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p)&high != 0 {
			return true
		}
		p = p[8:]
	}
	for _, b := range p {
		if b >= 0x80 {
			return true
		}
	}
	return false
}

// Accept ends the content, stores the message and submits it. The reply is "250 2.0.0
// Ok: queued as ID" when it is durable, or says why the message was not taken; the
// message is then forgotten.
func (m *Message) Accept() mail.Reply {
	r := m.accept()
	if r.Code/100 != 2 {
		m.in.refused.Add(1)
		m.Abort()
		return m.in.Refuse(r)
	}
	m.in.accepted.Add(1)
	if len(m.env.Recipients) > 0 {
		m.in.cfg.Submitter.Submit(m.env)
	}
	return r
}

func (m *Message) accept() mail.Reply {
	if len(m.env.Recipients) == 0 && m.incoming == nil {
		return replyNoRcpt
	}
	if m.incoming != nil && m.err == nil {
		// Before the message is kept: what is refused now comes again as a whole.
		if r := m.acceptReport(); r.Code != 0 {
			return r
		}
	}
	if len(m.env.Recipients) == 0 {
		if m.err != nil {
			return replyFor(m.err)
		}
		return mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: report " + m.env.ID.String() + " taken"}
	}
	if m.draft == nil && m.err == nil {
		m.create()
	}
	if m.err == nil && !m.inBody { // a message without a body
		m.inBody = true
		m.err = m.fields.readHeader(m.head, len(m.head), m.keep)
	}
	if m.err != nil {
		return replyFor(m.err)
	}
	if m.fields.hops >= maxHops {
		return replyLoop
	}
	if r := m.address(); r.Code != 0 {
		return r
	}
	prefix := append(m.sign(), m.receivedField()...)
	m.env.Size = int64(len(prefix)) + m.size
	if err := m.draft.Commit(m.env, prefix); err != nil {
		return replyFor(err)
	}
	m.draft = nil
	return mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as " + m.env.ID.String()}
}

// address completes the envelope with what the header block says, and chooses the
// binding.
func (m *Message) address() mail.Reply {
	f, env := &m.fields, m.env
	c, r := m.choose()
	if r.Code != 0 {
		return r
	}
	for i := range env.Recipients {
		env.Recipients[i].Binding, env.Recipients[i].Group = c.binding, c.group
	}
	if len(env.Recipients) > 1 {
		slices.SortStableFunc(env.Recipients, func(a, b mail.Recipient) int { return strings.Compare(a.Domain, b.Domain) })
	}
	env.Tenant = m.origin.tenant(usable(f.tenant))
	env.Job = usable(f.job)
	// A priority that is none counts as normal: no mail is turned away for it.
	env.Priority, _ = mail.ParsePriority(f.prio)
	if env.EnvID == "" {
		env.EnvID = envID(f.envID)
	}
	// RFC 8689 §4.1: REQUIRETLS stands above the field.
	env.TLSNotRequired = !env.RequireTLS && strings.EqualFold(f.tlsRequired, "no")
	return mail.Reply{}
}

// choose chooses the binding: the same one each time, once the header block has been read.
func (m *Message) choose() (choice, mail.Reply) {
	named := m.fields.binding
	if named == "" {
		named = m.fields.virtual
	}
	return m.in.chooseBinding(m.env.ID, m.origin, m.settings, named)
}

// envID makes X-EnvID fit for ENVID: printable ASCII, at most 100 octets, or nothing.
func envID(s string) string {
	if len(s) > 100 {
		return ""
	}
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// usable drops a value that is too long to be meant.
func usable(s string) string {
	if len(s) > maxFieldValue {
		return ""
	}
	return s
}

// Abort forgets the message. After Accept it does nothing.
func (m *Message) Abort() {
	if m.draft != nil {
		m.draft.Abort()
		m.draft = nil
	}
	m.head = nil
}
