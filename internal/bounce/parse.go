package bounce

import (
	"bytes"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Kind is what a message from outside reports.
type Kind uint8

const (
	KindUnknown  Kind = iota // nothing that can be told
	KindBounce               // mail that a receiver had accepted has failed
	KindStatus               // it is late, or was delivered, relayed, expanded
	KindReply                // a person's or a program's answer: out of office, a challenge
	KindFeedback             // a complaint, or another feedback of RFC 5965
)

var kindNames = [...]string{"unknown", "bounce", "status", "reply", "feedback"}

func (k Kind) String() string { return kindNames[k] }

// Incoming is what a report from outside says. All of it is remote text: bounded, and
// otherwise as it came.
type Incoming struct {
	Kind       Kind
	Form       string // the form that was recognised: rfc3464, arf, x-failed-recipients, qmail, text
	EnvID      string // Original-Envelope-Id
	Reporter   string // Reporting-MTA, without its type
	Recipients []Reported
	Feedback   Feedback
	Returned   Original // of the message that it is about
}

// Reported is what is said of one recipient.
type Reported struct {
	Original string // Original-Recipient, without its type
	Final    string // Final-Recipient, or Original-Rcpt-To of a complaint
	Action   string // failed, delayed, delivered, relayed, expanded
	Status   string // RFC 3463
	Diag     string // Diagnostic-Code, or the line that tells
	Remote   string // Remote-MTA
}

// Feedback is the fields of a feedback report (RFC 5965 §3).
type Feedback struct {
	Type      string // abuse, fraud, virus, not-spam, other, ...
	UserAgent string
	MailFrom  string // Original-Mail-From
	SourceIP  string
	Domain    string // Reported-Domain
	Arrival   string
}

// Original is what is known of the message that a report is about, from its header.
type Original struct {
	MessageID  string
	From       string
	To         string
	Subject    string
	ReturnPath string
	ID         mail.ID // by which this server knew it; zero: not told
}

// Bounds of a report.
const (
	maxReported = 100 // recipients
	maxField    = 1 << 10
)

// Parse reads a message that came to an address for reports: RFC 3464, RFC 5965, and the
// forms of servers that follow neither. hostname is this server's, by which its own
// Received field is found in what is returned. It never fails: what cannot be told has
// KindUnknown.
func Parse(content []byte, hostname string) Incoming {
	h, parts := walk(content)
	in := Incoming{}
	for i := range parts {
		p := &parts[i]
		switch p.kind {
		case "message/feedback-report":
			in.feedback(blocksOf(p.text()))
		case "message/delivery-status", "message/global-delivery-status":
			if in.Kind == KindUnknown {
				in.status(blocksOf(p.text()))
			}
		case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers", "message/rfc822-headers":
			in.original(p.text(), hostname)
		}
	}
	if in.Kind == KindUnknown {
		in.guess(h, parts)
	}
	return in
}

// field is a value as it is kept.
func field(s string) string {
	if len(s) > maxField {
		s = cut(s, maxField)
	}
	return s
}

// typed is the value of a field such as "rfc822; a@b" (RFC 3464 §2.1.2), without its type.
func typed(s string) string {
	if kind, value, ok := strings.Cut(s, ";"); ok && !strings.ContainsAny(kind, "@ ") {
		s = value
	}
	return field(strings.Trim(strings.TrimSpace(s), "<>"))
}

// status reads a delivery-status part: a block for the message, one for each recipient.
func (in *Incoming) status(blocks []header) {
	if len(blocks) == 0 {
		return
	}
	in.Form = "rfc3464"
	in.Reporter, in.EnvID = typed(blocks[0].get("reporting-mta")), field(blocks[0].get("original-envelope-id"))
	from := 1
	if blocks[0].get("final-recipient") != "" { // some leave the empty line out
		from = 0
	}
	good := 0
	for _, b := range blocks[from:] {
		if len(in.Recipients) == maxReported {
			break
		}
		r := Reported{
			Original: typed(b.get("original-recipient")), Final: typed(b.get("final-recipient")),
			Action: strings.ToLower(firstWord(b.get("action"))), Status: statusCode(b.get("status")),
			Diag: field(b.get("diagnostic-code")), Remote: typed(b.get("remote-mta")),
		}
		if r.Final == "" && r.Original == "" && r.Status == "" {
			continue
		}
		if r.Action == "" {
			r.Action = actionOf(r.Status)
		}
		if r.Action != "failed" {
			good++
		}
		in.Recipients = append(in.Recipients, r)
	}
	switch {
	case len(in.Recipients) == 0:
	case good == len(in.Recipients):
		in.Kind = KindStatus
	default:
		in.Kind = KindBounce
	}
}

// actionOf is the action that a report leaves out.
func actionOf(status string) string {
	switch {
	case strings.HasPrefix(status, "4."):
		return "delayed"
	case strings.HasPrefix(status, "2."):
		return "delivered"
	}
	return "failed"
}

func firstWord(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	return s[:min(len(s), 20)]
}

// statusCode finds the first status code of RFC 3463 in a text; empty: there is none.
func statusCode(s string) string {
	for i := 0; i+4 < len(s); i++ {
		if c := s[i]; c != '2' && c != '4' && c != '5' || i > 0 && (isDigit(s[i-1]) || s[i-1] == '.') {
			continue
		}
		n := codeLength(s[i:])
		if n > 0 {
			return s[i : i+n]
		}
	}
	return ""
}

// codeLength is the length of the status code that s begins with; 0: none.
func codeLength(s string) int {
	at := 1
	for range 2 {
		if at >= len(s) || s[at] != '.' {
			return 0
		}
		at++
		from := at
		for at < len(s) && isDigit(s[at]) {
			at++
		}
		if at == from || at-from > 3 {
			return 0
		}
	}
	if at < len(s) && (s[at] == '.' && at+1 < len(s) && isDigit(s[at+1])) { // an IP address
		return 0
	}
	return at
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// feedback reads a feedback-report part (RFC 5965 §3).
func (in *Incoming) feedback(blocks []header) {
	in.Kind, in.Form = KindFeedback, "arf"
	var b header
	for _, x := range blocks {
		b = append(b, x...)
	}
	in.Feedback = Feedback{
		Type: strings.ToLower(firstWord(b.get("feedback-type"))), UserAgent: field(b.get("user-agent")),
		MailFrom: typed(b.get("original-mail-from")), SourceIP: field(b.get("source-ip")),
		Domain: field(b.get("reported-domain")), Arrival: field(b.get("arrival-date")),
	}
	if in.Feedback.Arrival == "" {
		in.Feedback.Arrival = field(b.get("received-date"))
	}
	in.Reporter, in.EnvID = typed(b.get("reporting-mta")), field(b.get("original-envelope-id"))
	in.Recipients = nil
	for _, f := range b {
		if f.name == "original-rcpt-to" && len(in.Recipients) < maxReported {
			in.Recipients = append(in.Recipients, Reported{Final: typed(f.value)})
		}
	}
}

// original reads the header of the message that is returned.
func (in *Incoming) original(content []byte, hostname string) {
	h, _ := cutHeader(content)
	o := Original{
		MessageID: field(h.get("message-id")), From: field(h.get("from")), To: field(h.get("to")),
		Subject: field(h.get("subject")), ReturnPath: strings.Trim(field(h.get("return-path")), "<> "),
	}
	for _, f := range h {
		if f.name == "received" && o.ID.IsZero() {
			o.ID = ownID(f.value, hostname)
		}
	}
	if o.MessageID != "" || o.From != "" || !o.ID.IsZero() {
		in.Returned = o
	}
}

// ownID is the ID in a Received field that this server wrote: "... by HOSTNAME (sluice)
// with ESMTP id ID".
func ownID(value, hostname string) mail.ID {
	_, rest, ok := strings.Cut(value, "by "+hostname+" (sluice) with ")
	if !ok {
		return mail.ID{}
	}
	words := strings.Fields(rest)
	if len(words) < 3 || words[1] != "id" {
		return mail.ID{}
	}
	id, _ := mail.ParseID(strings.TrimRight(words[2], ";"))
	return id
}

// hasPrefixFold reports whether b begins with an ASCII prefix, in any case.
func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}
