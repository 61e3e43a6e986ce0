package smtp

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Parameters of MAIL that say when and how a message may travel: REQUIRETLS (RFC 8689),
// DELIVERBY (RFC 2852), FUTURERELEASE (RFC 4865).

var (
	faultHold = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "the release is further ahead than FUTURERELEASE allows"}
	faultBy   = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "BY with mode R needs a time ahead"}
	faultLate = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "BY ends before the message is released"}
)

// parseBy reads by-time ";" by-mode [by-trace] (RFC 2852 §4): a sign and up to nine digits
// of seconds, N or R, perhaps T.
func parseBy(v []byte) (By, bool) {
	number, mode, ok := bytes.Cut(v, []byte(";"))
	digits := bytes.TrimPrefix(bytes.TrimPrefix(number, []byte("-")), []byte("+"))
	if !ok || len(digits) == 0 || len(digits) > 9 || len(number) > len(digits)+1 || !isDigits(digits) {
		return By{}, false
	}
	seconds, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return By{}, false
	}
	by := By{Given: true, In: time.Duration(seconds) * time.Second}
	switch strings.ToUpper(string(mode)) {
	case "N":
		by.Notify = true
	case "NT":
		by.Notify, by.Trace = true, true
	case "R":
	case "RT":
		by.Trace = true
	default:
		return By{}, false
	}
	return by, true
}

func isDigits(v []byte) bool {
	for _, b := range v {
		if b < '0' || b > '9' {
			return false
		}
	}
	return true
}

// setRelease reads HOLDFOR, up to nine digits of seconds, or HOLDUNTIL, a date and time of
// RFC 3339 (RFC 4865 §4). One of them may be given.
func (p *MailParams) setRelease(key string, v []byte) *mail.Reply {
	if !p.Release.IsZero() {
		return &faultRepeated
	}
	if key == "HOLDFOR" {
		if len(v) == 0 || len(v) > 9 || !isDigits(v) {
			return &faultParam
		}
		seconds, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return &faultParam
		}
		p.Release = time.Now().Add(time.Duration(seconds) * time.Second)
		return nil
	}
	at, err := time.Parse(time.RFC3339, strings.ToUpper(string(v)))
	if err != nil || at.Year() < 1970 || at.Year() > 2200 { // as nanoseconds it fits
		return &faultParam
	}
	p.Release = at
	return nil
}

// checkTerms checks what this server offers of the terms, and to this client.
func (c *ServerConn) checkTerms(p *MailParams) *mail.Reply {
	switch {
	case p.RequireTLS && !c.offersRequireTLS(),
		p.By.Given && (!c.cfg.DeliverBy || c.hidden("DELIVERBY")),
		!p.Release.IsZero() && (c.cfg.MaxHold <= 0 || c.hidden("FUTURERELEASE")):
		return &faultUnknown
	case !p.Release.IsZero() && time.Until(p.Release) > c.cfg.MaxHold:
		return &faultHold
	case p.By.Given && !p.By.Notify && p.By.In <= 0:
		return &faultBy
	case p.By.Given && !p.By.Notify && !p.Release.IsZero() && time.Until(p.Release) >= p.By.In:
		return &faultLate
	}
	return nil
}

// offersRequireTLS reports whether REQUIRETLS may be given: under TLS alone (RFC 8689 §2).
func (c *ServerConn) offersRequireTLS() bool {
	return c.cfg.RequireTLS && c.tls != nil && !c.hidden("REQUIRETLS")
}

// holdBounds is the parameters of FUTURERELEASE: the longest interval in seconds, and the
// latest date (RFC 4865 §4).
func (c *ServerConn) holdBounds() string {
	latest := time.Now().Add(c.cfg.MaxHold).UTC().Format("2006-01-02T15:04:05Z")
	return " " + strconv.FormatInt(int64(c.cfg.MaxHold/time.Second), 10) + " " + latest
}

// putTerms gives the terms that the receiver knows. DELIVERBY counts what is left of the
// time (RFC 2852 §4.1.4).
func (c *Client) putTerms(env *mail.Envelope) {
	if env.RequireTLS && c.ext.RequireTLS {
		c.put(" REQUIRETLS")
	}
	if by := env.By; by.Deadline != 0 && c.ext.DeliverBy {
		mode := ";R"
		if by.Mode == mail.ByNotify {
			mode = ";N"
		}
		if by.Trace {
			mode += "T"
		}
		left := time.Until(time.Unix(0, by.Deadline)) / time.Second
		c.put(" BY=" + strconv.FormatInt(int64(max(left, -maxBy)), 10) + mode)
	}
}

// maxBy is the most seconds that by-time can say (RFC 2852 §4: nine digits).
const maxBy = 999_999_999

// checkTransport returns why the terms of a message keep it from this receiver, as an
// enhanced code and a text; both empty: they do not.
func (c *Client) checkTransport(env *mail.Envelope) (enhanced, text string) {
	if env.RequireTLS && (!c.ext.RequireTLS || !c.Verified()) {
		return "5.7.30", "the message came with REQUIRETLS, and the receiver " + c.lacksRequireTLS()
	}
	by := env.By
	if by.Deadline == 0 || by.Mode != mail.ByReturn {
		return "", ""
	}
	left := time.Until(time.Unix(0, by.Deadline))
	switch {
	case left <= 0:
		return "5.4.7", "the message could not be delivered in the time that its sender allowed"
	case !c.ext.DeliverBy && !by.Relaxed:
		return "5.4.7", "the sender set a time for delivery, and the receiver does not offer DELIVERBY"
	case c.ext.DeliverBy && left < c.ext.MinBy:
		return "5.4.7", "the receiver does not promise delivery within what is left of the time that the sender set"
	}
	return "", ""
}

func (c *Client) lacksRequireTLS() string {
	switch {
	case c.tls == "":
		return "was not reached over TLS"
	case !c.Verified():
		return "showed a certificate that does not prove its name"
	}
	return "does not offer REQUIRETLS"
}
