package smtp

import (
	"encoding/base64"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Bounds of a login, in octets: what RFC 4616 and a command line leave room for.
const (
	maxAuthUser     = 1024
	maxAuthPassword = 4096
)

// Auth logs in (RFC 4954) by PLAIN (RFC 4616) or, where that is not offered, by LOGIN. The
// caller has made sure that the receiver may be told the password. The session goes on only
// when the reply is a 2xx; one without a code says that no mechanism is offered that could be
// used, or that the login does not fit.
func (c *Client) Auth(user, password string) (mail.Reply, error) {
	if len(user) > maxAuthUser || len(password) > maxAuthPassword || strings.ContainsRune(user+password, 0) {
		return mail.Reply{Enhanced: "4.3.5", Stage: mail.StageAuth, Text: "the login is too long, or holds an octet of zero"}, nil
	}
	switch {
	case c.offers("PLAIN"):
		return c.authCommand("AUTH PLAIN ", "\x00"+user+"\x00"+password)
	case c.offers("LOGIN"):
		return c.authLogin(user, password)
	}
	return mail.Reply{Enhanced: "4.7.0", Stage: mail.StageAuth, Text: "a login is set, and the receiver offers neither PLAIN nor LOGIN"}, nil
}

func (c *Client) offers(mechanism string) bool {
	for m := range strings.FieldsSeq(c.ext.Auth) {
		if strings.EqualFold(m, mechanism) {
			return true
		}
	}
	return false
}

// authLogin answers two prompts, whatever they say: some write them in other words than
// "Username:" and "Password:".
func (c *Client) authLogin(user, password string) (mail.Reply, error) {
	rep, err := c.command(mail.StageAuth, c.t.Mail, "AUTH LOGIN", "")
	if err != nil || rep.Class() != 3 {
		return rep, err
	}
	if rep, err = c.authCommand("", user); err != nil || rep.Class() != 3 {
		return rep, err
	}
	return c.authCommand("", password)
}

// authCommand sends a command with a response in base64, which no observer is shown.
func (c *Client) authCommand(verb, response string) (mail.Reply, error) {
	if e := c.quiet(mail.StageAuth); e != nil {
		return e.Reply, e
	}
	c.put(verb)
	c.putSecret(base64.StdEncoding.EncodeToString([]byte(response)))
	c.put("\r\n")
	if e := c.flush(mail.StageAuth, c.t.Mail); e != nil {
		return e.Reply, e
	}
	return c.reply(mail.StageAuth, c.t.Mail)
}
