package sink

import (
	"bytes"
	"errors"
	"strconv"
)

// transaction is what MAIL has begun.
type transaction struct {
	from     string
	rcpts    []string
	domains  []string // of rcpts, one for each
	refused  bool     // some RCPT was refused
	judged   bool     // counted as accepted or refused
	content  *content // once content has begun
	chunking bool     // BDAT was used: DATA may not follow
}

// command answers one command and reports whether the conversation goes on.
func (s *session) command(c command) bool {
	switch c.verb {
	case "EHLO", "HELO":
		return s.sayHello(c)
	case "MAIL":
		return s.mail(c.arg)
	case "RCPT":
		return s.rcpt(c.arg)
	case "DATA":
		return s.data(c.arg)
	case "BDAT":
		return s.bdat(c.arg)
	case "RSET":
		if s.fault(StallRset) {
			s.stall()
			return false
		}
		s.endTransaction()
		s.reply("250 2.0.0 ok")
	case "NOOP":
		s.reply("250 2.0.0 ok")
	case "VRFY":
		s.reply("252 2.5.0 not verified")
	case "HELP":
		s.reply("214 2.0.0 RFC 5321")
	case "STARTTLS":
		return s.startTLS()
	case "QUIT":
		if s.fault(StallQuit) {
			s.stall()
			return false
		}
		s.reply("221 2.0.0 goodbye")
		return false
	default:
		return s.mistake("500 5.5.2 command not recognised")
	}
	return true
}

// mistake answers a command that a correct client would not send here.
func (s *session) mistake(reply string) bool {
	s.mistakes++
	s.sink.tally.mistake()
	if s.mistakes > maxMistakes {
		s.reply("421 4.7.0 too many errors")
		s.hangUp()
		return false
	}
	s.reply(reply)
	return true
}

func (s *session) sayHello(c command) bool {
	if c.arg == "" {
		return s.mistake("501 5.5.4 your name, please")
	}
	switch {
	case s.fault(StallEHLO):
		s.stall()
		return false
	case s.endless:
		s.endlessReply()
		return false
	}
	s.endTransaction()
	s.hello = true
	name := s.sink.opts.Hostname
	if c.verb == "HELO" {
		s.reply("250 " + name)
		return true
	}
	lines := []string{
		"250-" + name, "250-SIZE " + strconv.FormatInt(s.sink.opts.MaxSize, 10), "250-8BITMIME",
		"250-SMTPUTF8", "250-ENHANCEDSTATUSCODES",
	}
	for _, extension := range optional {
		if s.sink.opts.offers(extension) {
			lines = append(lines, "250-"+extension)
		}
	}
	if s.sink.tlsConfig != nil && s.tls == nil {
		lines = append(lines, "250-STARTTLS")
	}
	s.reply(append(lines, "250 DSN")...)
	return true
}

func (s *session) mail(arg string) bool {
	if !s.hello {
		return s.mistake("503 5.5.1 EHLO first")
	}
	if s.tx != nil {
		return s.mistake("503 5.5.1 a transaction is under way")
	}
	p, err := parsePath("FROM:", arg)
	if err != nil {
		return s.mistake(pathReply(err))
	}
	switch {
	case !s.sink.tally.inTime(s.sink.now()):
		s.sink.tally.refuse()
		if s.sink.opts.Over == OverReply {
			s.reply("421 4.7.0 " + overText["msg-rate"])
			s.hangUp()
		}
		return false
	case s.fault(StallMail):
		s.stall()
		return false
	case s.fault(Mail4xx):
		s.sink.tally.refuse()
		s.reply("451 4.7.1 sender deferred, try again later")
	case p.size > s.sink.opts.MaxSize:
		s.sink.tally.refuse()
		s.reply("552 5.3.4 message too big")
	default:
		s.tx = &transaction{from: p.address}
		s.reply("250 2.1.0 ok")
	}
	return true
}

func pathReply(err error) string {
	if errors.Is(err, errParameter) {
		return "555 5.5.4 parameter not recognised"
	}
	return "501 5.5.4 syntax error in the address"
}

func (s *session) rcpt(arg string) bool {
	if s.tx == nil || s.tx.content != nil {
		return s.mistake("503 5.5.1 MAIL first")
	}
	p, err := parsePath("TO:", arg)
	if err == nil && p.address == "" {
		err = errSyntax
	}
	if err != nil {
		return s.mistake(pathReply(err))
	}
	refuse := func(reply string) {
		s.tx.refused = true
		s.sink.tally.refuseRcpt()
		s.reply(reply)
	}
	switch {
	case s.fault(StallRcpt):
		s.stall()
		return false
	case s.fault(Rcpt4xx):
		refuse("450 4.2.1 mailbox not available, try again later")
	case s.fault(Rcpt5xx):
		refuse("550 5.1.1 no such mailbox")
	case len(s.tx.rcpts) >= maxRcpts:
		refuse("452 4.5.3 too many recipients")
	default:
		s.tx.rcpts = append(s.tx.rcpts, p.address)
		s.tx.domains = append(s.tx.domains, p.domain)
		s.reply("250 2.1.5 ok")
	}
	return true
}

func (s *session) data(arg string) bool {
	switch {
	case arg != "":
		return s.mistake("501 5.5.4 DATA takes no argument")
	case s.tx == nil || s.tx.chunking:
		return s.mistake("503 5.5.1 MAIL and RCPT first")
	case len(s.tx.rcpts) == 0:
		s.reply("554 5.5.1 no valid recipients")
		return true
	case s.fault(StallData):
		s.stall()
		return false
	case s.fault(Data4xx):
		s.refuseTransaction("451 4.3.0 not now, try again later")
		return true
	}
	s.reply("354 go ahead")
	if s.w.Flush() != nil {
		return false
	}
	if !s.beginContent() {
		return false
	}
	if readDots(s.r, s.tx.content) != nil {
		return false
	}
	return s.endContent()
}

// bdat answers one chunk (RFC 3030). A chunk that is refused is still read.
func (s *session) bdat(arg string) bool {
	size, last, err := parseBDAT(arg)
	if err != nil {
		s.sink.tally.mistake()
		s.reply("501 5.5.4 want BDAT SIZE or BDAT SIZE LAST")
		s.hangUp() // where the next command begins is not known
		return false
	}
	skip := func() bool { return readChunk(s.r, &content{pastHead: true}, size) == nil }
	switch {
	case s.tx == nil:
		return skip() && s.mistake("503 5.5.1 MAIL and RCPT first")
	case len(s.tx.rcpts) == 0:
		ok := skip()
		s.reply("554 5.5.1 no valid recipients")
		return ok
	case s.tx.content == nil:
		switch {
		case s.fault(StallData):
			s.stall()
			return false
		case s.fault(Data4xx):
			ok := skip()
			s.refuseTransaction("451 4.3.0 not now, try again later")
			return ok
		}
		s.tx.chunking = true
		if !s.beginContent() {
			return false
		}
	}
	if readChunk(s.r, s.tx.content, size) != nil {
		return false
	}
	if last {
		return s.endContent()
	}
	s.reply("250 2.0.0 chunk taken")
	return true
}

// beginContent plays what happens when the content has begun, and reports whether it
// is to be read.
func (s *session) beginContent() bool {
	switch {
	case s.fault(StallBody):
		s.stall()
		return false
	case s.fault(CloseInData):
		_, _ = s.r.Peek(1) // the content has begun: its first octet is here
		return false
	}
	s.tx.content = &content{header: s.sink.opts.IDHeader, max: s.sink.opts.MaxSize}
	if s.sink.dump.wants() {
		s.tx.content.kept = &bytes.Buffer{}
	}
	return true
}

// endContent answers the end of the content: only here a message is accepted.
func (s *session) endContent() bool {
	tx := s.tx
	switch {
	case s.fault(StallDot):
		s.stall()
		return false
	case s.fault(CloseAfterDot):
		return false
	case tx.content.size > s.sink.opts.MaxSize:
		s.refuseTransaction("552 5.3.4 message too big")
	case s.fault(Dot4xx):
		s.refuseTransaction("451 4.7.1 message deferred, try again later")
	case s.fault(Dot5xx):
		s.refuseTransaction("554 5.7.1 message refused")
	default:
		if err := s.sink.keep(s, tx); err != nil {
			s.refuseTransaction("451 4.3.0 the sink could not write its records")
			return true
		}
		tx.judged = true
		s.sink.tally.accept(tx)
		s.tx = nil
		s.reply("250 2.0.0 accepted")
	}
	return true
}

func (s *session) refuseTransaction(reply string) {
	s.tx.judged = true
	s.sink.tally.refuse()
	s.tx = nil
	s.reply(reply)
}

// endTransaction forgets a transaction; one whose recipients were all refused counts
// as a refused message.
func (s *session) endTransaction() {
	if s.tx != nil && !s.tx.judged && s.tx.refused && len(s.tx.rcpts) == 0 {
		s.sink.tally.refuse()
	}
	s.tx = nil
}
