package smtp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/mail"
)

var (
	replyAuthOK      = mail.Reply{Code: 235, Enhanced: "2.7.0", Text: "welcome"}
	replyAuthFailed  = mail.Reply{Code: 535, Enhanced: "5.7.8", Text: "user or password is wrong"}
	replyAuthTwice   = mail.Reply{Code: 503, Enhanced: "5.5.1", Text: "already logged in"}
	replyAuthUnsafe  = mail.Reply{Code: 538, Enhanced: "5.7.11", Text: "STARTTLS first"}
	replyAuthUnknown = mail.Reply{Code: 504, Enhanced: "5.5.4", Text: "mechanism is not PLAIN or LOGIN"}
	replyAuthAborted = mail.Reply{Code: 501, Enhanced: "5.7.0", Text: "authentication abandoned"}
	replyAuthSyntax  = mail.Reply{Code: 501, Enhanced: "5.5.2", Text: "response is malformed"}
	replyAuthLong    = mail.Reply{Code: 500, Enhanced: "5.5.6", Text: "response too long"}
	replyAuthDone    = mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "too many failed logins"}
)

// maxCredential bounds the name and the password, in octets.
const maxCredential = 255

func (c *ServerConn) offersAuth() bool {
	_, takes := c.session.(Authenticator)
	return c.cfg.Auth && takes && c.Safe()
}

// authCommand is AUTH (RFC 4954): once, outside a transaction, after EHLO.
func (c *ServerConn) authCommand(args []byte) error {
	auth, takes := c.session.(Authenticator)
	switch {
	case !c.cfg.Auth || !takes:
		return c.reply(mail.StageAuth, replyNotOffered)
	case !c.esmtp:
		return c.reply(mail.StageAuth, replyHelloFirst)
	case c.login != "":
		return c.reply(mail.StageAuth, replyAuthTwice)
	case c.inMail:
		return c.reply(mail.StageAuth, replyNested)
	case !c.Safe():
		return c.reply(mail.StageAuth, replyAuthUnsafe)
	}
	word, initial, has := bytes.Cut(bytes.TrimRight(args, " "), []byte(" "))
	var user, password string
	var fault *mail.Reply
	var err error
	switch strings.ToUpper(string(word)) {
	case "PLAIN":
		user, password, fault, err = c.authPlain(initial, has)
	case "LOGIN":
		user, password, fault, err = c.authLogin(initial, has)
	default:
		fault = &replyAuthUnknown
	}
	if err != nil {
		return err
	}
	if fault != nil {
		return c.reply(mail.StageAuth, *fault)
	}
	r := orDefault(auth.Auth(user, password), replyAuthOK)
	if r.Code/100 == 2 {
		c.login = user
		return c.reply(mail.StageAuth, r)
	}
	return c.refuseAuth(r)
}

// refuseAuth answers a failed login late, and ends the session after some.
func (c *ServerConn) refuseAuth(r mail.Reply) error {
	if err := c.Flush(); err != nil {
		return err
	}
	if c.cfg.AuthDelay > 0 {
		t := time.NewTimer(c.cfg.AuthDelay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.server.stopped:
		}
	}
	if c.authFails++; c.authFails >= maxAuthFailures {
		r = replyAuthDone
	}
	return c.reply(mail.StageAuth, r)
}

// authPlain is PLAIN (RFC 4616). An authorization identity other than the user is
// refused as a wrong password.
func (c *ServerConn) authPlain(initial []byte, has bool) (user, password string, fault *mail.Reply, err error) {
	text, fault, err := c.authResponse("", initial, has)
	if fault != nil || err != nil {
		return "", "", fault, err
	}
	parts := strings.Split(text, "\x00")
	if len(parts) != 3 {
		return "", "", &replyAuthSyntax, nil
	}
	if parts[0] != "" && parts[0] != parts[1] {
		return "", "", &replyAuthFailed, nil
	}
	return checkCredential(parts[1], parts[2])
}

// authLogin is LOGIN (draft-murchison-sasl-login): two prompts.
func (c *ServerConn) authLogin(initial []byte, has bool) (user, password string, fault *mail.Reply, err error) {
	user, fault, err = c.authResponse("VXNlcm5hbWU6", initial, has) // "Username:"
	if fault != nil || err != nil {
		return "", "", fault, err
	}
	password, fault, err = c.authResponse("UGFzc3dvcmQ6", nil, false) // "Password:"
	if fault != nil || err != nil {
		return "", "", fault, err
	}
	return checkCredential(user, password)
}

func checkCredential(user, password string) (string, string, *mail.Reply, error) {
	if user == "" || len(user) > maxCredential || len(password) > maxCredential ||
		!utf8.ValidString(user) || strings.ContainsAny(user, "\x00\r\n") || strings.Contains(password, "\x00") {
		return "", "", &replyAuthSyntax, nil
	}
	return user, password, nil, nil
}

// authResponse decodes the initial response, or asks for one with a challenge.
func (c *ServerConn) authResponse(challenge string, initial []byte, has bool) (string, *mail.Reply, error) {
	line := initial
	switch {
	case has && len(initial) == 1 && initial[0] == '=': // the empty response (RFC 4954 §4)
		line = nil
	case !has:
		if err := c.reply(mail.StageAuth, mail.Reply{Code: 334, Text: challenge}); err != nil {
			return "", nil, err
		}
		c.until = timeZero
		var err error
		line, err = c.in.line(maxAuthLine)
		if errors.Is(err, errLineTooLong) {
			return "", &replyAuthLong, c.in.skipLine(maxDiscard)
		}
		if err != nil {
			return "", nil, err
		}
		var ok bool
		if line, ok = c.trimLine(line); !ok {
			return "", &replyBareLine, nil
		}
	}
	if len(line) == 1 && line[0] == '*' {
		return "", &replyAuthAborted, nil
	}
	text, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return "", &replyAuthSyntax, nil
	}
	return string(text), nil, nil
}
