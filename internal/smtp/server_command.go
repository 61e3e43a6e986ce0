package smtp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Replies of our own. Code and enhanced code are RFC 5321 §4.2.2 and RFC 3463.
var (
	replyOK          = mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok"}
	replySequence    = mail.Reply{Code: 503, Enhanced: "5.5.1", Text: "bad sequence of commands"}
	replyHelloFirst  = mail.Reply{Code: 503, Enhanced: "5.5.1", Text: "say EHLO or HELO first"}
	replyNeedMail    = mail.Reply{Code: 503, Enhanced: "5.5.1", Text: "MAIL first"}
	replyNeedRcpt    = mail.Reply{Code: 503, Enhanced: "5.5.1", Text: "RCPT first"}
	replyNested      = mail.Reply{Code: 503, Enhanced: "5.5.1", Text: "a transaction is under way: finish it, or RSET"}
	replyNoParams    = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "no parameter allowed"}
	replyUnknown     = mail.Reply{Code: 500, Enhanced: "5.5.2", Text: "command not recognised"}
	replyNotOffered  = mail.Reply{Code: 502, Enhanced: "5.5.1", Text: "command not implemented"}
	replyLong        = mail.Reply{Code: 500, Enhanced: "5.5.6", Text: "line too long"}
	replyBareLine    = mail.Reply{Code: 500, Enhanced: "5.5.2", Text: "lines must end in CRLF and hold no other CR or LF, nor NUL"}
	replyTooMany     = mail.Reply{Code: 452, Enhanced: "4.5.3", Text: "too many recipients"}
	replyTooBig      = mail.Reply{Code: 552, Enhanced: "5.3.4", Text: "message too big"}
	replyStartData   = mail.Reply{Code: 354, Text: "end data with <CRLF>.<CRLF>"}
	replyIdleCmds    = mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "too many commands without mail"}
	replyInjected    = mail.Reply{Code: 554, Enhanced: "5.5.1", Text: "nothing may follow STARTTLS before the handshake"}
	replyUTF8        = mail.Reply{Code: 553, Enhanced: "5.6.7", Text: "address needs SMTPUTF8"}
	replyHello       = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "a host name is needed"}
	replyHelp        = mail.Reply{Code: 214, Enhanced: "2.0.0", Text: "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT"}
	replyVerify      = mail.Reply{Code: 252, Enhanced: "2.1.5", Text: "cannot verify, send mail and see"}
	replyVerifyParam = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "a name is needed"}
	replyNoExpand    = mail.Reply{Code: 502, Enhanced: "5.5.1", Text: "EXPN is not implemented"}
)

// command reads and carries out one command. An error ends the session.
func (c *ServerConn) command() error {
	c.until = time.Time{}
	line, err := c.in.line(maxAuthLine)
	if errors.Is(err, errLineTooLong) {
		if err := c.in.skipLine(maxDiscard); err != nil {
			return err
		}
		return c.reply(mail.StageNone, replyLong)
	}
	if err != nil {
		return err
	}
	line, ok := c.trimLine(line)
	if !ok {
		return c.reply(mail.StageNone, replyBareLine)
	}
	verb, args := splitVerb(line)
	return c.dispatch(verb, args, len(line)+2)
}

// trimLine removes the line end, and reports whether the line is clean. Bare CR are
// refused; a line that ends in a bare LF is let pass only when normalizing.
func (c *ServerConn) trimLine(line []byte) ([]byte, bool) {
	n := len(line) - 1 // line[n] is LF
	if n > 0 && line[n-1] == '\r' {
		n--
	} else if !c.cfg.Normalize {
		return nil, false
	}
	line = line[:n]
	return line, bytes.IndexByte(line, '\r') < 0 && bytes.IndexByte(line, 0) < 0
}

// splitVerb cuts the command word off, in upper case when it can be a command.
func splitVerb(line []byte) (verb, args []byte) {
	verb = line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		verb, args = line[:i], line[i+1:]
	}
	if len(verb) > 8 { // no command is as long
		return nil, args
	}
	for i, b := range verb {
		if 'a' <= b && b <= 'z' {
			verb[i] = b - 'a' + 'A'
		}
	}
	return verb, args
}

func (c *ServerConn) dispatch(verb, args []byte, length int) error {
	switch string(verb) {
	case "MAIL":
		if length <= maxMailCommand {
			return c.mailCommand(args)
		}
	case "RCPT":
		if length <= maxMailCommand {
			return c.rcptCommand(args)
		}
	case "AUTH":
		return c.authCommand(args)
	default:
		if length <= maxCommand || string(verb) == "BDAT" {
			return c.shortCommand(verb, args)
		}
	}
	return c.reply(mail.StageNone, replyLong)
}

func (c *ServerConn) shortCommand(verb, args []byte) error {
	switch string(verb) {
	case "DATA":
		return c.dataCommand(args)
	case "BDAT":
		return c.bdatCommand(args)
	}
	if err := c.countIdle(); err != nil {
		return err
	}
	switch string(verb) {
	case "EHLO":
		return c.helloCommand(args, true)
	case "HELO":
		return c.helloCommand(args, false)
	case "RSET":
		if len(bytes.TrimSpace(args)) > 0 {
			return c.reply(mail.StageRset, replyNoParams)
		}
		c.resetTransaction()
		return c.reply(mail.StageRset, replyOK)
	case "NOOP":
		return c.reply(mail.StageNone, replyOK)
	case "QUIT":
		if len(bytes.TrimSpace(args)) > 0 {
			return c.reply(mail.StageQuit, replyNoParams)
		}
		_ = c.reply(mail.StageQuit, mail.Reply{Code: 221, Enhanced: "2.0.0", Text: c.cfg.Hostname + " closing"})
		return errHangUp
	case "STARTTLS":
		return c.startTLS(args)
	case "VRFY":
		if len(bytes.TrimSpace(args)) == 0 {
			return c.reply(mail.StageNone, replyVerifyParam)
		}
		return c.reply(mail.StageNone, replyVerify)
	case "HELP":
		return c.reply(mail.StageNone, replyHelp)
	case "EXPN":
		return c.reply(mail.StageNone, replyNoExpand)
	}
	return c.reply(mail.StageNone, replyUnknown)
}

func (c *ServerConn) helloCommand(args []byte, esmtp bool) error {
	name := string(bytes.TrimSpace(args))
	if !validHelo(name) {
		return c.reply(mail.StageEHLO, replyHello)
	}
	c.resetTransaction()
	c.helo, c.esmtp = name, esmtp
	c.enhanced = false // not in the reply to EHLO itself
	r := mail.Reply{Code: 250, Text: c.cfg.Hostname}
	if esmtp {
		r.Text = c.extensions()
	}
	err := c.reply(mail.StageEHLO, r)
	c.enhanced = esmtp && !c.hidden("ENHANCEDSTATUSCODES")
	return err
}

// extensions returns the text of the reply to EHLO.
func (c *ServerConn) extensions() string {
	text := c.cfg.Hostname
	offer := func(keyword, params string) {
		if !slices.Contains(c.cfg.Hide, keyword) {
			text += "\n" + keyword + params
		}
	}
	offer("PIPELINING", "")
	if c.cfg.MaxMessageSize > 0 {
		offer("SIZE", " "+strconv.FormatInt(c.cfg.MaxMessageSize, 10))
	} else {
		offer("SIZE", "")
	}
	offer("8BITMIME", "")
	offer("SMTPUTF8", "")
	offer("CHUNKING", "")
	offer("DSN", "")
	if c.cfg.TLS != nil && c.tls == nil {
		offer("STARTTLS", "")
	}
	if c.offersAuth() {
		offer("AUTH", " PLAIN LOGIN")
	}
	if c.offersRequireTLS() {
		offer("REQUIRETLS", "")
	}
	if c.cfg.DeliverBy {
		offer("DELIVERBY", "")
	}
	if c.cfg.MaxHold > 0 {
		offer("FUTURERELEASE", c.holdBounds())
	}
	offer("ENHANCEDSTATUSCODES", "")
	return text
}

func (c *ServerConn) hidden(keyword string) bool { return slices.Contains(c.cfg.Hide, keyword) }

// resetTransaction ends a transaction that did not come to its data.
func (c *ServerConn) resetTransaction() {
	if c.inMail {
		c.clearTransaction()
		c.session.Reset()
	}
}

func (c *ServerConn) clearTransaction() {
	c.inMail, c.rcpts, c.mail = false, 0, MailParams{}
}

// startTLS is RFC 3207. What was sent in clear behind the command would be taken for
// commands under TLS: it ends the session. Afterwards nothing is known of the client.
func (c *ServerConn) startTLS(args []byte) error {
	switch {
	case c.cfg.TLS == nil:
		return c.reply(mail.StageSTARTTLS, replyNotOffered)
	case c.tls != nil, c.inMail, !c.esmtp:
		return c.reply(mail.StageSTARTTLS, replySequence)
	case len(bytes.TrimSpace(args)) > 0:
		return c.reply(mail.StageSTARTTLS, replyNoParams)
	case len(c.in.unread()) > 0:
		_ = c.reply(mail.StageSTARTTLS, replyInjected)
		return errHangUp
	}
	if err := c.reply(mail.StageSTARTTLS, mail.Reply{Code: 220, Enhanced: "2.0.0", Text: "go ahead"}); err != nil || c.said != 220 {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := c.raw.SetDeadline(time.Now().Add(c.cfg.TLSTimeout)); err != nil {
		return err
	}
	conn := tls.Server(c.raw, c.cfg.TLS)
	if err := conn.Handshake(); err != nil {
		c.writeOK = false // nothing that we could say would be understood
		return err
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.writeBy = time.Time{}
	state := conn.ConnectionState()
	c.conn, c.tls = conn, &state
	c.helo, c.esmtp, c.enhanced, c.login = "", false, false, ""
	return nil
}

func (c *ServerConn) mailCommand(args []byte) error {
	switch {
	case c.helo == "":
		return c.reply(mail.StageMail, replyHelloFirst)
	case c.inMail:
		return c.reply(mail.StageMail, replyNested)
	}
	from, params, fault := parseMail(args)
	if fault == nil {
		fault = c.checkMail(from, &params)
	}
	if fault != nil {
		return c.reply(mail.StageMail, *fault)
	}
	c.mail = params
	r := orDefault(c.session.Mail(from, &c.mail), mail.Reply{Code: 250, Enhanced: "2.1.0", Text: "sender ok"})
	if c.inMail = r.Code/100 == 2; !c.inMail {
		c.clearTransaction()
	}
	err := c.reply(mail.StageMail, r)
	if c.said/100 != 2 {
		c.resetTransaction() // the Intercept refused what the session had accepted
	}
	return err
}

// checkMail checks what parseMail cannot know.
func (c *ServerConn) checkMail(from mail.Address, p *MailParams) *mail.Reply {
	switch {
	case len(c.cfg.Hide) > 0 && (p.SMTPUTF8 && c.hidden("SMTPUTF8") || p.EightBit && c.hidden("8BITMIME") || p.Size > 0 && c.hidden("SIZE")):
		return &faultUnknown
	case !from.IsASCII() && !p.SMTPUTF8:
		return &replyUTF8
	case c.cfg.MaxMessageSize > 0 && p.Size > c.cfg.MaxMessageSize:
		return &replyTooBig
	}
	return c.checkTerms(p)
}

func (c *ServerConn) rcptCommand(args []byte) error {
	if !c.inMail {
		return c.reply(mail.StageRcpt, replyNeedMail)
	}
	to, params, fault := parseRcpt(args, c.mail.SMTPUTF8)
	switch {
	case fault != nil:
		return c.reply(mail.StageRcpt, *fault)
	case !c.mail.SMTPUTF8 && !to.IsASCII():
		return c.reply(mail.StageRcpt, replyUTF8)
	case c.cfg.MaxRecipients > 0 && c.rcpts >= c.cfg.MaxRecipients:
		return c.reply(mail.StageRcpt, replyTooMany)
	}
	r := orDefault(c.session.Rcpt(to, &params), mail.Reply{Code: 250, Enhanced: "2.1.5", Text: "recipient ok"})
	if r.Code/100 == 2 {
		c.rcpts++
	}
	return c.reply(mail.StageRcpt, r)
}

// dataCommand is DATA: refused, or 354, the content, and the reply to it.
func (c *ServerConn) dataCommand(args []byte) error {
	switch {
	case !c.inMail:
		return c.reply(mail.StageData, replyNeedMail)
	case c.rcpts == 0:
		return c.reply(mail.StageData, replyNeedRcpt)
	case len(bytes.TrimSpace(args)) > 0:
		return c.reply(mail.StageData, replyNoParams)
	}
	if r := c.session.BeforeData(); r.Code/100 > 3 {
		c.resetTransaction()
		return c.reply(mail.StageData, r)
	}
	if err := c.reply(mail.StageData, replyStartData); err != nil {
		return err
	}
	if c.said != 354 {
		c.resetTransaction()
		return nil
	}
	c.content.begin(c)
	return c.finish()
}

// finish gives the content to the session and answers.
func (c *ServerConn) finish() error {
	c.transfer = time.Time{}
	c.inContent.Store(true)
	r := orDefault(c.session.Data(&c.content), replyOK)
	c.content.refused = r.Code/100 != 2
	err := c.content.drain()
	c.inContent.Store(false)
	c.clearTransaction()
	if errors.Is(err, ErrAborted) { // the command that abandoned it is answered next
		return nil
	}
	if err != nil {
		fault := contentReply(err)
		if fault == nil {
			return err // the connection, not the content
		}
		r = *fault
	}
	if c.content.flooded {
		_ = c.reply(mail.StageDot, r)
		return errHangUp
	}
	if r.Code/100 == 2 {
		c.errors, c.idleCmds = 0, 0
	}
	return c.reply(mail.StageDot, r)
}

// orDefault fills what a session left out of its reply.
func orDefault(r, usual mail.Reply) mail.Reply {
	if r.Code == 0 {
		return usual
	}
	if r.Text == "" {
		r.Text = "no"
		if r.Code < 400 {
			r.Text = "ok"
		}
	}
	return r
}
