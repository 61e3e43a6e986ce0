package bounce

import (
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
)

// Input is what a report is composed of. Times are wall-clock ns since the epoch.
type Input struct {
	ID  mail.ID // of the report
	Now int64

	Hostname   string // of this server: Reporting-MTA, and the domain of From and Message-ID
	Postmaster string // address to turn to; may be empty
	Binding    string // that the report leaves through
	Group      string // the group that Binding was chosen from, if any
	Tenant     string

	Envelope *mail.Envelope // of the message
	Content  io.ReaderAt    // of the message; nil: it cannot be read
	Outcomes []mail.Outcome
	Attempt  *mail.Attempt // the last one; nil when there was no connection
	Action   Action
	Until    int64 // of a delay report: when they are given up; 0: not said
}

// Action is what a report tells of (RFC 3464 §2.3.3).
type Action uint8

const (
	Failed  Action = iota // refused, or given up
	Delayed               // still tried
	// Relayed: a receiver that does not report took it (RFC 3461 §5.2.2), so nothing more will
	// be heard of it.
	Relayed
	Delivered // the receiver was the mailbox
	Expanded  // the receiver is a list (RFC 3464 §2.3.3)
)

var actionNames = [...]string{"failed", "delayed", "relayed", "delivered", "expanded"}

func (a Action) String() string { return actionNames[a] }

func (a Action) good() bool { return a >= Relayed }

// Bounds.
const (
	maxHeader  = 64 << 10 // octets of the message's header that are returned
	maxReturn  = 50 << 10 // octets of a message that is returned whole without being asked for
	maxFull    = 1 << 20  // the same when RET=FULL asks for it
	maxDiag    = 4 << 10  // octets of a reply
	maxNamed   = 50       // recipients that the text for people names
	maxSaid    = 1 << 10  // octets of a reply in it
	lineLength = 76
)

// Compose returns a report ready for the spool, nil when none is due: the message has no
// sender, is a report itself, or nobody wants to hear of these recipients (RFC 3461 §4.1).
// A message that cannot be read is reported on without returning it.
func Compose(in Input) (*mail.Envelope, []byte) {
	env := in.Envelope
	if env.Sender.IsNull() || env.Report {
		return nil, nil
	}
	domain, err := mail.CanonicalDomain(env.Sender.Domain)
	if err != nil || !printable(env.Sender.String()) {
		return nil, nil // nowhere to send it
	}
	r := &report{Input: in}
	for _, o := range in.Outcomes {
		if o.Recipient < 0 || o.Recipient >= len(env.Recipients) {
			continue
		}
		if r.wanted(&env.Recipients[o.Recipient]) {
			r.outcomes = append(r.outcomes, o)
		}
	}
	if len(r.outcomes) == 0 {
		return nil, nil
	}
	content := r.compose()
	return &mail.Envelope{
		ID: in.ID,
		Recipients: []mail.Recipient{{
			Address: env.Sender, Domain: domain, Binding: in.Binding, Group: in.Group, Notify: mail.NotifyNever,
		}},
		Received: in.Now, Size: int64(len(content)), Tenant: in.Tenant,
		EightBit: r.eightBit, SMTPUTF8: !env.Sender.IsASCII(), Report: true,
		Source: mail.Source{Protocol: "report"},
	}, content
}

// report is one report in the making.
type report struct {
	Input
	outcomes []mail.Outcome
	eightBit bool
	b        []byte
}

// wanted reports whether the sender is to hear of a recipient (RFC 3461 §4.1, §5.2).
func (r *report) wanted(rc *mail.Recipient) bool {
	switch r.Action {
	case Failed:
		return rc.Notify.WantsFailure()
	case Delayed:
		return rc.Notify.WantsDelay()
	case Relayed:
		by := r.Envelope.By
		return rc.Notify.WantsSuccess() && !r.offered("DSN") ||
			by.Trace && rc.Notify&mail.NotifyNever == 0 && !r.offered("DELIVERBY") // RFC 2852 §4.1.4
	}
	return rc.Notify.WantsSuccess()
}

// offered reports whether the receiver offered an extension.
func (r *report) offered(keyword string) bool {
	if r.Attempt == nil {
		return false
	}
	return slices.ContainsFunc(r.Attempt.Ehlo, func(line string) bool {
		word, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(word, keyword)
	})
}

func (r *report) compose() []byte {
	original := r.original()
	boundary := "=_" + r.ID.String()
	host := clean(r.Hostname)
	r.field("From", "Mail Delivery System <MAILER-DAEMON@"+host+">")
	r.raw("To: <" + r.Envelope.Sender.String() + ">\r\n")
	r.field("Subject", r.subject())
	r.field("Date", date(r.Now))
	r.field("Message-ID", "<"+r.ID.String()+"@"+host+">")
	if original.messageID != "" {
		r.field("In-Reply-To", original.messageID)
		r.field("References", original.messageID)
	}
	r.field("Auto-Submitted", "auto-replied") // RFC 3834 §5.1.7
	r.field("MIME-Version", "1.0")
	r.raw("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" + boundary + "\"\r\n")
	r.raw("\r\nThis is a report in MIME format.\r\n")

	r.raw("\r\n--" + boundary + "\r\n")
	r.text()
	r.raw("\r\n--" + boundary + "\r\nContent-Type: message/delivery-status\r\n\r\n")
	r.status()
	if original.content != nil {
		r.raw("\r\n--" + boundary + "\r\n")
		r.raw("Content-Type: " + original.contentType + "\r\nContent-Transfer-Encoding: " + original.encoding + "\r\n\r\n")
		r.b = append(r.b, original.content...)
		r.eightBit = original.encoding == "8bit"
	}
	r.raw("\r\n--" + boundary + "--\r\n")
	r.eightBit = r.eightBit || !r.Envelope.Sender.IsASCII()
	return r.b
}

func (r *report) raw(s string) { r.b = append(r.b, s...) }

// field appends a header field, folded; value may hold anything.
func (r *report) field(name, value string) { r.b = appendField(r.b, name, value) }

func (r *report) subject() string {
	switch r.Action {
	case Delayed:
		return "Delayed Mail (still being retried)"
	case Relayed:
		return "Mail Relayed (no further report will come)"
	case Delivered, Expanded:
		return "Mail Delivered"
	}
	return "Undelivered Mail Returned to Sender"
}

// status is the part for programs (RFC 3464 §2).
func (r *report) status() {
	r.field("Reporting-MTA", "dns; "+r.Hostname)
	if id := r.Envelope.EnvID; id != "" {
		r.field("Original-Envelope-Id", id)
	}
	r.field("Arrival-Date", date(r.Envelope.Received))
	for i := range r.outcomes {
		r.raw("\r\n")
		r.recipientStatus(&r.outcomes[i])
	}
}

func (r *report) recipientStatus(o *mail.Outcome) {
	rc := &r.Envelope.Recipients[o.Recipient]
	if kind, addr, ok := originalRecipient(rc.ORcpt); ok {
		r.field("Original-Recipient", kind+"; "+addr)
	}
	r.field("Final-Recipient", typedAddress(rc.Address))
	r.field("Action", r.Action.String())
	r.field("Status", r.code(o))
	if host, ok := r.remote(o); ok {
		r.field("Remote-MTA", "dns; "+host)
	}
	if !o.Reply.IsZero() {
		r.field("Diagnostic-Code", diagnostic(o.Reply))
	}
	if r.Attempt != nil && r.Attempt.Ended != 0 {
		r.field("Last-Attempt-Date", date(r.Attempt.Ended))
	}
	if r.Action == Delayed && r.Until != 0 {
		r.field("Will-Retry-Until", date(r.Until))
	}
	r.field("Final-Log-ID", r.Envelope.ID.String())
}

// code is the status of a recipient (RFC 3463).
func (r *report) code(o *mail.Outcome) string {
	switch {
	case r.Action == Delayed:
		return classify.Status(o.Reply, mail.ClassDeferred)
	case r.Action.good():
		return classify.Status(o.Reply, mail.ClassDelivered)
	case o.Class == mail.ClassSuppressed:
		return classify.Final(o.Reply, mail.ClassRefused)
	}
	return classify.Final(o.Reply, o.Class)
}

// remote returns the host whose words o holds.
func (r *report) remote(o *mail.Outcome) (string, bool) {
	if r.Attempt == nil || o.Reply.Code == 0 || r.Attempt.Host == "" {
		return "", false
	}
	return r.Attempt.Host, true
}

// diagnostic is the value of Diagnostic-Code (RFC 3464 §2.3.6).
func diagnostic(reply mail.Reply) string {
	// A reader that decodes RFC 2047 everywhere must find nothing to decode.
	text := strings.ReplaceAll(reply.Text[:min(len(reply.Text), maxDiag)], "=?", `=\x3F`)
	if reply.Code == 0 {
		return "x-sluice; " + text
	}
	s := "smtp; " + strconv.Itoa(reply.Code)
	for _, p := range [2]string{reply.Enhanced, text} {
		if p != "" {
			s += " " + p
		}
	}
	return s
}

// date is RFC 5322 §3.3 in UTC.
func date(ns int64) string {
	return time.Unix(0, ns).UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700")
}

// address is "host [192.0.2.1]", what of it is known.
func address(host string, remote netip.AddrPort) string {
	if !remote.IsValid() {
		return host
	}
	return strings.TrimSpace(host + " [" + remote.Addr().String() + "]")
}
