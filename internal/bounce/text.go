package bounce

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// stageWords say at which step something was said.
var stageWords = map[mail.Stage]string{
	mail.StageGreeting: "in its greeting",
	mail.StageEHLO:     "to EHLO",
	mail.StageSTARTTLS: "to STARTTLS",
	mail.StageAuth:     "to AUTH",
	mail.StageMail:     "to the sender's address (MAIL)",
	mail.StageRcpt:     "to the recipient's address (RCPT)",
	mail.StageData:     "to DATA",
	mail.StageDot:      "after the message",
}

// text is the part for people. It is 7-bit; characters beyond ASCII in a receiver's
// words are kept, by an encoding.
func (r *report) text() {
	body := r.words()
	r.raw("Content-Type: text/plain; charset=utf-8\r\n")
	if isASCII(body) {
		r.raw("\r\n" + body)
		return
	}
	r.raw("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
	r.b = appendQuotedPrintable(r.b, []byte(body))
}

func appendQuotedPrintable(b, content []byte) []byte {
	var out bytes.Buffer
	w := quotedprintable.NewWriter(&out)
	_, _ = w.Write(content) // a bytes.Buffer takes everything
	_ = w.Close()
	return append(b, out.Bytes()...)
}

func (r *report) words() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("This is the mail server %s.", clean(r.Hostname))
	line("")
	switch {
	case r.Action == Relayed:
		line("Your message was handed on to the receivers below. They do not report what")
		line("becomes of it: this is the last that you will hear of it.")
	case r.Action.good():
		line("Your message was delivered to the recipients below.")
	case r.Action == Delayed:
		line("Your message could not be delivered yet. It is still being tried; you need")
		line("not send it again.")
		if r.Until != 0 {
			line("It will be given up at %s.", date(r.Until))
		}
	default:
		line("Your message could not be delivered to the recipients below, and will not")
		line("be tried again.")
	}
	if r.Postmaster != "" {
		line("For help, write to <%s>.", clean(r.Postmaster))
	}
	for i := range r.outcomes[:min(len(r.outcomes), maxNamed)] {
		o := &r.outcomes[i]
		line("")
		line("<%s>", visible(r.Envelope.Recipients[o.Recipient].Address.String()))
		b.WriteString(wrap(r.said(o)))
	}
	if n := len(r.outcomes) - maxNamed; n > 0 {
		line("")
		line("%d more recipients are in the second part of this report.", n)
	}
	return b.String()
}

// said tells in a sentence what became of a recipient.
func (r *report) said(o *mail.Outcome) string {
	reply := o.Reply
	reply.Text = reply.Text[:min(len(reply.Text), maxSaid)]
	s := visible(reply.String())
	if reply.Code != 0 {
		who := "The receiver"
		if r.Attempt != nil && r.Attempt.Host != "" {
			who = "The host " + address(visible(r.Attempt.Host), r.Attempt.Remote)
		}
		if at := stageWords[reply.Stage]; at != "" {
			who += " said " + at
		} else {
			who += " said"
		}
		s = who + ": " + s
	}
	if r.Action == Failed && o.Class != mail.ClassRefused && o.Class != mail.ClassSuppressed {
		s = "It was tried until its time was up. The last answer: " + s
	}
	return s
}

// visible escapes what is no printable text: controls, and what is not UTF-8.
func visible(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// wrap breaks a sentence into indented lines.
func wrap(s string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(s) {
		for len(word) > 0 {
			part := cut(word, 900)
			word = word[len(part):]
			if column > 0 && column+1+len(part) > lineLength {
				b.WriteString("\r\n")
				column = 0
			}
			if column == 0 {
				b.WriteString("    ")
				column = 4
			} else {
				b.WriteByte(' ')
				column++
			}
			b.WriteString(part)
			column += len(part)
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// cut returns at most n octets of s, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
