package smtp

import (
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// clientCommand is the room that one command needs at most: prepare lets nothing longer by.
const clientCommand = 8 << 10

// maxParameter bounds an address, ENVID and ORCPT as sent, in octets. Acceptance allows
// far less (RFC 5321 §4.5.3.1: paths of 256; RFC 3461 §4: 100 and 500).
const maxParameter = 2 << 10

// prepare looks at the message before anything is sent: what this receiver cannot take
// is refused here. When nobody is left to send to, the transaction is answered.
func (c *Client) prepare(tx *Transaction) {
	if enhanced, text := c.check(tx); enhanced != "" {
		tx.settle(mail.Reply{Enhanced: enhanced, Text: text, Stage: mail.StageMail})
		tx.answered = true
		return
	}
	for i, index := range tx.Recipients {
		r := &tx.Envelope.Recipients[index]
		switch _, ok := c.wireAddress(r.Address, r.Domain); {
		case !ok:
			tx.refuse(i, "5.6.7", "the address needs SMTPUTF8, which the receiver does not offer")
		case !sendable(r.Address) || !printable(r.ORcpt):
			tx.refuse(i, "5.1.3", "the address cannot be sent: it is too long or malformed")
		}
	}
	tx.answered = tx.rejected == len(tx.Recipients)
}

// check returns why the message as a whole cannot be sent, as an enhanced code and a text.
func (c *Client) check(tx *Transaction) (enhanced, text string) {
	env, size := tx.Envelope, tx.Content.Size()
	if c.ext.Size > 0 && size > c.ext.Size {
		return "5.3.4", "the message has " + strconv.FormatInt(size, 10) +
			" octets, the receiver takes " + strconv.FormatInt(c.ext.Size, 10)
	}
	if enhanced, text := c.checkTransport(env); enhanced != "" {
		return enhanced, text
	}
	if !sendable(env.Sender) || len(env.EnvID) > maxParameter/3 {
		return "5.1.7", "the sender's address cannot be sent: it is too long or malformed"
	}
	if _, ok := c.wireAddress(env.Sender, ""); !ok {
		return "5.6.7", "the sender's address needs SMTPUTF8, which the receiver does not offer"
	}
	tx.utf8 = c.ext.SMTPUTF8 && (env.SMTPUTF8 || !env.Sender.IsASCII() || tx.eightBitRecipient())
	if b := tx.Content.Bytes(); b != nil {
		var s lineState
		s.begin()
		if !s.check(b) || !s.end() {
			return "5.6.0", "the message has a bare CR or LF and cannot be sent"
		}
		tx.scanned, tx.stuff = true, s.dots
	}
	if env.SMTPUTF8 && !c.ext.SMTPUTF8 {
		if eight, err := eightBitHeader(tx.Content); err != nil {
			return tx.unreadable(err)
		} else if eight {
			return "5.6.7", "the header needs SMTPUTF8, which the receiver does not offer"
		}
	}
	if env.EightBit && !c.ext.EightBit {
		if eight, err := eightBit(tx.Content); err != nil {
			return tx.unreadable(err)
		} else if eight {
			return "5.6.3", "the message has 8-bit content, which the receiver does not take (8BITMIME)"
		}
	}
	return "", ""
}

func (tx *Transaction) eightBitRecipient() bool {
	for _, index := range tx.Recipients {
		if !tx.Envelope.Recipients[index].Address.IsASCII() {
			return true
		}
	}
	return false
}

// wireAddress returns the address as it can be sent to this receiver: without SMTPUTF8
// the domain goes as A-labels (canonical, or made here when empty), and an address with a
// local part beyond ASCII cannot be sent at all (RFC 6531 §3.2).
func (c *Client) wireAddress(a mail.Address, canonical string) (mail.Address, bool) {
	if c.ext.SMTPUTF8 || a.IsASCII() {
		return a, true
	}
	if canonical == "" {
		var err error
		if canonical, err = mail.CanonicalDomain(a.Domain); err != nil {
			return a, false
		}
	}
	a.Domain = canonical
	return a, a.IsASCII()
}

// sendable reports whether an address can stand in a command without breaking it.
// Acceptance lets nothing else in; this is the last door before the wire.
func sendable(a mail.Address) bool {
	return len(a.Local)+len(a.Domain) < maxParameter && printable(a.Local) && printable(a.Domain) &&
		closed(a.Local) && !strings.ContainsAny(a.Domain, " <>\"\\")
}

// closed reports whether a local part ends where it seems to: it is one quoted string, or
// has nothing in it that ends a path (RFC 5321 §4.1.2).
func closed(local string) bool {
	if !strings.HasPrefix(local, `"`) {
		return !strings.ContainsAny(local, " <>\"\\")
	}
	for i := 1; i < len(local); i++ {
		switch local[i] {
		case '\\':
			i++
		case '"':
			return i == len(local)-1
		}
	}
	return false
}

func printable(s string) bool {
	if len(s) > maxParameter {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (c *Client) putAddress(a mail.Address, canonical string) {
	a, _ = c.wireAddress(a, canonical)
	c.put("<")
	c.put(a.Local)
	if a.Domain != "" {
		c.put("@")
		c.put(a.Domain)
	}
	c.put(">")
}

func (c *Client) putMail(tx *Transaction) {
	env := tx.Envelope
	c.put("MAIL FROM:")
	c.putAddress(env.Sender, "")
	if c.ext.SizeKnown {
		o := c.buffer()
		c.put(" SIZE=")
		o.n = len(strconv.AppendInt(o.b[:o.n], tx.Content.Size(), 10))
	}
	if env.EightBit && c.ext.EightBit {
		c.put(" BODY=8BITMIME")
	}
	if tx.utf8 {
		c.put(" SMTPUTF8")
	}
	if c.ext.DSN {
		switch env.Ret {
		case mail.RetFull:
			c.put(" RET=FULL")
		case mail.RetHeaders:
			c.put(" RET=HDRS")
		case mail.RetUnset:
		}
		if env.EnvID != "" {
			c.put(" ENVID=")
			c.putXtext(env.EnvID)
		}
	}
	c.putTerms(env)
	c.put("\r\n")
}

func (c *Client) putRcpt(r *mail.Recipient) {
	c.put("RCPT TO:")
	c.putAddress(r.Address, r.Domain)
	if c.ext.DSN {
		c.putNotify(r.Notify)
		if r.ORcpt != "" && !strings.ContainsRune(r.ORcpt, ' ') {
			c.put(" ORCPT=")
			c.put(r.ORcpt)
		}
	}
	c.put("\r\n")
}

// putNotify gives NOTIFY as the client gave it (RFC 3461 §5.2.1).
func (c *Client) putNotify(n mail.Notify) {
	if n == 0 {
		return
	}
	c.put(" NOTIFY=")
	if n&mail.NotifyNever != 0 {
		c.put("NEVER")
		return
	}
	comma := ""
	for _, k := range [...]struct {
		bit  mail.Notify
		word string
	}{{mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&k.bit != 0 {
			c.put(comma)
			c.put(k.word)
			comma = ","
		}
	}
}

// putXtext writes s as xtext (RFC 3461 §4).
func (c *Client) putXtext(s string) {
	const hex = "0123456789ABCDEF"
	o := c.buffer()
	for i := range len(s) {
		b := s[i]
		if b < '!' || b > '~' || b == '+' || b == '=' {
			o.n += copy(o.b[o.n:], []byte{'+', hex[b>>4], hex[b&15]})
			continue
		}
		o.b[o.n] = b
		o.n++
	}
}
