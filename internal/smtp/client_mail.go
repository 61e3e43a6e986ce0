package smtp

import (
	"io"

	"github.com/sluice-mta/sluice/internal/mail"
)

// ClientContent is a message's header and body with CRLF line ends, without dot-stuffing.
type ClientContent interface {
	Size() int64
	Bytes() []byte // the whole when it is in memory, else nil
	io.ReaderAt
}

// Result is the outcome of a transaction for one recipient.
type Result struct {
	// Reply is the last word about the recipient. With Code 0 there was none: Enhanced and
	// Text say why, 5.x.x for good.
	Reply mail.Reply
	// Ahead is how many recipients had been accepted when this one was answered.
	Ahead int

	// Again says that the receiver lost the command, while others of the transaction came to
	// an outcome: the recipient is to be tried again at once, without a feature that it does not do.
	Again bool

	accepted bool // RCPT was accepted and nothing later has decided
	skipped  bool // answered by ourselves: no RCPT is sent
}

// Transaction is one message for some of its recipients. It may be used again when the
// one before is done.
type Transaction struct {
	Envelope   *mail.Envelope
	Recipients []int // indices into Envelope.Recipients, at least one
	Content    ClientContent

	// Next, when it is not nil, is asked for the transaction after this one as soon as all of
	// this one's content is on its way, and whenever Wake is called until it is answered; nil:
	// there is none yet. The envelope of the one that it gives shares the flight of the content
	// (RFC 2920 §3.1), and the next call has to be Transact with it: also when this one's ended
	// the session, it is said there what became of it. Not asked where the receiver does not offer, or
	// do, PIPELINING.
	Next func() *Transaction

	// Results holds, after Transact, an outcome for each of Recipients, in their order.
	Results []Result
	// Sent says that at least MAIL was handed to the connection.
	Sent bool
	// Judged says that the receiver answered MAIL, with another reply than 421. Without it
	// the session ended before the transaction came to be.
	Judged bool
	// Retry says that the session ended since the receiver does not do a feature that it
	// offers, and that it took nothing: the message is to be sent again, without the feature.
	Retry bool
	// Unreadable is why our own copy of the message could not be read; nil otherwise.
	Unreadable error

	// The steps of the envelope, see flight: the first one, the next to be sent, the next
	// whose reply is to be read.
	first, sent, read int

	behind  bool // its envelope went out behind the content of the one before
	chunked bool // the content goes by BDAT
	early   bool // it goes with the envelope, before that is answered
	content bool // it has begun to go
	decided bool // it was answered, and somebody had been accepted
	again   bool // it is sent once more on this connection

	doubt    Feature // what the receiver's replies so far speak against
	answered bool    // by ourselves: nothing is sent
	refused  bool    // MAIL was refused
	accepted int
	rejected int // answered, or left out, without being accepted
	goAhead  bool
	utf8     bool // SMTPUTF8 is to be given with MAIL
	scanned  bool // the content is known to be sendable, stuffing is known
	stuff    bool // a line begins with a dot
}

// Transact sends a message: the envelope, in one flight where the receiver does
// PIPELINING, then the content (RFC 5321 §3.3): after DATA up to the final dot, or by BDAT (RFC 3030)
// where the receiver does CHUNKING. Every recipient has a Result when it returns. A
// *SessionError says that the session is over besides.
//
// What is known of a recipient when the session ends, by stage, and what is to be done:
//
//	nothing sent                           unknown to the receiver: send it again (Sent is not set)
//	envelope sent, MAIL not answered       no transaction came to be (Judged is not set)
//	RCPT not answered, or accepted         no content was sent, or it broke off: not taken, try again later
//	RCPT refused                           refused, as said
//	the whole content sent, not answered   in doubt: it may have been taken; RFC 5321 §6.1 wants it sent again
//	the content answered                   as said
//	the content answered as if BDAT were   not taken, and the rest of the session is not to be
//	no command                             trusted: send it again without CHUNKING (Retry is set)
//
// The transaction whose envelope went ahead is in one of the first three: its content goes
// when the one before has been answered and its own envelope too, so at no time is more than
// one message of a connection in doubt.
func (c *Client) Transact(tx *Transaction) error {
	if c.ahead != nil && c.ahead != tx {
		panic("smtp: Transact with another transaction than the one whose envelope is under way")
	}
	if c.ahead == nil {
		tx.begin()
		if e := c.quiet(mail.StageMail); e != nil {
			tx.settle(e.Reply)
			return e
		}
		c.prepare(tx)
		c.plan(tx, c.reset)
	}
	c.ahead = nil
	for !tx.answered {
		if e := c.transact(tx); e != nil {
			c.blame(tx, e)
			tx.settle(e.Reply)
			return e
		}
		if tx.doubt == 0 {
			break
		}
		if !tx.decided && c.ahead == nil && !c.Spent() {
			tx.restart() // nobody has been sent to: once more, without the feature
			c.plan(tx, c.reset)
			continue
		}
		for i := range tx.Results {
			r := &tx.Results[i]
			r.Again = r.Again || !tx.decided && !r.skipped
		}
		break
	}
	return nil
}

// transact goes through one transaction once.
func (c *Client) transact(tx *Transaction) *SessionError {
	if e := c.envelope(tx); e != nil {
		return e
	}
	switch {
	case tx.content: // it went with the envelope
		return c.finalReply(tx)
	case tx.doubt != 0 && !tx.goAhead, tx.chunked && tx.accepted == 0, !tx.chunked && !tx.goAhead:
		return nil
	case tx.refused || tx.accepted == 0:
		// RFC 2920 §3.1: the receiver said 354 to nobody's mail. A lone dot ends it.
		return c.emptyContent()
	}
	if e := c.sendContent(tx); e != nil {
		return e
	}
	return c.finalReply(tx)
}

func (tx *Transaction) begin() {
	n := len(tx.Recipients)
	if cap(tx.Results) < n {
		tx.Results = make([]Result, n)
	}
	tx.Results = tx.Results[:n]
	clear(tx.Results)
	*tx = Transaction{Envelope: tx.Envelope, Recipients: tx.Recipients, Content: tx.Content, Next: tx.Next, Results: tx.Results}
}

// restart forgets what the receiver has said about a transaction.
func (tx *Transaction) restart() {
	tx.rejected = 0
	for i := range tx.Results {
		if r := &tx.Results[i]; r.skipped {
			tx.rejected++
		} else {
			*r = Result{}
		}
	}
	tx.Judged, tx.behind, tx.content, tx.refused, tx.goAhead = false, false, false, false, false
	tx.accepted, tx.doubt, tx.again = 0, 0, true
}

// settle gives rep to every recipient that nothing has decided about.
func (tx *Transaction) settle(rep mail.Reply) {
	for i := range tx.Results {
		if r := &tx.Results[i]; r.accepted || r.Reply.IsZero() {
			r.Reply, r.accepted = rep, false
		}
	}
}

// refuse gives a recipient an answer of our own, before anything is sent.
func (tx *Transaction) refuse(i int, enhanced, text string) {
	tx.Results[i] = Result{Reply: mail.Reply{Enhanced: enhanced, Text: text, Stage: mail.StageRcpt}, skipped: true}
	tx.rejected++
}

// hopeless reports whether nobody is left to send to.
func (tx *Transaction) hopeless() bool { return tx.refused || tx.rejected == len(tx.Results) }

func (c *Client) mailReply(tx *Transaction, code int) *SessionError {
	tx.Judged = true
	switch {
	case !c.outOfOrder(code):
		if tx.behind {
			c.prove(Ahead)
		}
	case tx.behind:
		c.doubt(tx, Ahead)
	case tx.again:
		c.acquit()
	}
	switch code / 100 {
	case 2:
		return nil
	case 3:
		return c.fail(mail.StageMail, "waiting for the reply", protocolError("MAIL was answered with %d", code))
	}
	tx.refused = true
	tx.settle(c.rr.Reply(mail.StageMail))
	return nil
}

func (c *Client) rcptReply(tx *Transaction, i, code int) *SessionError {
	if code/100 == 3 {
		return c.fail(mail.StageRcpt, "waiting for the reply", protocolError("RCPT was answered with %d", code))
	}
	if tx.refused {
		return nil // MAIL has said it all
	}
	r := &tx.Results[i]
	r.Ahead = tx.accepted
	if code/100 == 2 {
		r.accepted = true
		tx.accepted++
		return nil
	}
	if c.outOfOrder(code) {
		r.Again = c.suspect(tx)
	}
	r.Reply = c.rr.Reply(mail.StageRcpt)
	tx.rejected++
	return nil
}

func (c *Client) dataReply(tx *Transaction, code int) *SessionError {
	switch code / 100 {
	case 3:
		tx.goAhead = true
		return nil
	case 2:
		return c.fail(mail.StageData, "waiting for the reply", protocolError("DATA was answered with %d", code))
	}
	if tx.accepted > 0 && c.outOfOrder(code) {
		c.suspect(tx)
	}
	tx.settle(c.rr.Reply(mail.StageData))
	return nil
}

// emptyContent ends a transaction that has no recipient. Its reply decides nothing.
func (c *Client) emptyContent() *SessionError {
	if c.lmtp { // RFC 2033 §4.2: it must refuse DATA; how it would answer the dot nobody can say
		return c.fail(mail.StageData, "waiting for the reply", protocolError("DATA was accepted for nobody's mail"))
	}
	if e := c.quiet(mail.StageData); e != nil {
		return e
	}
	c.put(".\r\n")
	if e := c.flush(mail.StageData, c.t.DataBlock); e != nil {
		return e
	}
	_, e := c.next(mail.StageDot, c.t.Body)
	return e
}

// finalReply waits for the reply to the content, which decides about everyone accepted.
func (c *Client) finalReply(tx *Transaction) *SessionError {
	if c.lmtp {
		return c.lmtpReplies(tx)
	}
	code, e := c.verdict(tx)
	if e != nil {
		if e.Reply.Code == 0 && e.Kind != EndProtocol && tx.accepted > 0 {
			// RFC 5321 §6.1 leaves no choice but to send it again.
			e.Reply.Text += "; it may have taken the message"
		}
		return e
	}
	if code/100 == 3 {
		what := "the final dot"
		if tx.chunked {
			what = "BDAT"
		}
		return c.fail(mail.StageDot, "waiting for the reply", protocolError("%s was answered with %d", what, code))
	}
	c.reset = code/100 != 2
	if tx.chunked && tx.accepted > 0 {
		if e := c.chunkReply(tx, code); e != nil {
			return e
		}
	}
	tx.decided = tx.accepted > 0
	tx.settle(c.rr.Reply(mail.StageDot))
	return nil
}
