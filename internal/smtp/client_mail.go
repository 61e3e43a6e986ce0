package smtp

import (
	"io"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// clientGroup is the most commands that are sent before their replies are read. The
// replies of so many fit into any receive buffer, so neither side can block the other
// while both write (RFC 2920 §3.1).
const clientGroup = 128

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

	accepted bool // RCPT was accepted and nothing later has decided
	skipped  bool // answered by ourselves: no RCPT is sent
}

// Transaction is one message for some of its recipients. It may be used again when the
// one before is done.
type Transaction struct {
	Envelope   *mail.Envelope
	Recipients []int // indices into Envelope.Recipients, at least one
	Content    ClientContent

	// Results holds, after Transact, an outcome for each of Recipients, in their order.
	Results []Result
	// Sent says that at least MAIL was handed to the connection.
	Sent bool
	// Judged says that the receiver answered MAIL, with another reply than 421. Without it
	// the session ended before the transaction came to be.
	Judged bool
	// Unreadable is why our own copy of the message could not be read; nil otherwise.
	Unreadable error

	refused  bool // MAIL was refused
	accepted int
	rejected int // answered, or left out, without being accepted
	goAhead  bool
	utf8     bool // SMTPUTF8 is to be given with MAIL
	scanned  bool // the content is known to be sendable, stuffing is known
	stuff    bool // a line begins with a dot
}

// Transact sends a message: MAIL, RCPTs and DATA, in one flight where the receiver knows
// PIPELINING, then the content and the final dot (RFC 5321 §3.3). Every recipient has a
// Result when it returns. A *SessionError says that the session is over besides.
func (c *Client) Transact(tx *Transaction) error {
	tx.begin()
	if e := c.quiet(mail.StageMail); e != nil {
		tx.settle(e.Reply)
		return e
	}
	if !c.prepare(tx) {
		return nil
	}
	if e := c.transact(tx); e != nil {
		tx.settle(e.Reply)
		return e
	}
	return nil
}

func (c *Client) transact(tx *Transaction) *SessionError {
	if e := c.envelope(tx); e != nil {
		return e
	}
	if !tx.goAhead {
		return nil
	}
	if tx.refused || tx.accepted == 0 {
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
	*tx = Transaction{Envelope: tx.Envelope, Recipients: tx.Recipients, Content: tx.Content, Results: tx.Results}
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

// The steps of an envelope: RSET where needed, MAIL, a RCPT for each recipient, DATA.
const (
	stepRset = -2
	stepMail = -1
)

// envelope sends the envelope in groups and reads the replies of each.
func (c *Client) envelope(tx *Transaction) *SessionError {
	group := 1
	if c.ext.Pipelining {
		group = clientGroup
	}
	last := len(tx.Recipients) // the step of DATA
	step := stepMail
	if c.reset {
		step = stepRset
	}
	first := step
	for step <= last {
		if step > first && tx.hopeless() {
			break
		}
		end, e := c.sendGroup(tx, step, group)
		if e != nil {
			return e
		}
		if e := c.receiveGroup(tx, step, end); e != nil {
			return e
		}
		step = end
	}
	// RFC 5321 §4.1.1.4: only the end of the data clears what the receiver has buffered.
	c.reset = true
	return nil
}

// sendGroup sends up to n steps from step on, and returns the first step not sent.
func (c *Client) sendGroup(tx *Transaction, step, n int) (int, *SessionError) {
	if e := c.quiet(tx.stage(step)); e != nil {
		return step, e
	}
	first := step
	for last := len(tx.Recipients); n > 0 && step <= last; step++ {
		if tx.skip(step) {
			continue
		}
		if c.room() < clientCommand {
			break
		}
		c.putStep(tx, step)
		n--
	}
	if step > stepMail && first <= stepMail {
		tx.Sent = true
	}
	return step, c.flush(tx.stage(first), c.timeout(tx, first))
}

// skip reports whether a step's recipient has been answered by ourselves.
func (tx *Transaction) skip(step int) bool {
	return step >= 0 && step < len(tx.Results) && tx.Results[step].skipped
}

func (c *Client) putStep(tx *Transaction, step int) {
	switch {
	case step == stepRset:
		c.put("RSET\r\n")
	case step == stepMail:
		c.putMail(tx)
	case step < len(tx.Recipients):
		c.putRcpt(&tx.Envelope.Recipients[tx.Recipients[step]])
	default:
		c.put("DATA\r\n")
	}
}

func (tx *Transaction) stage(step int) mail.Stage {
	switch {
	case step == stepRset:
		return mail.StageRset
	case step == stepMail:
		return mail.StageMail
	case step < len(tx.Recipients):
		return mail.StageRcpt
	}
	return mail.StageData
}

func (c *Client) timeout(tx *Transaction, step int) time.Duration {
	switch tx.stage(step) {
	case mail.StageRset:
		return c.t.Rset
	case mail.StageMail:
		return c.t.Mail
	case mail.StageRcpt:
		return c.t.Rcpt
	}
	return c.t.Data
}

// receiveGroup reads the replies to the steps [step, end).
func (c *Client) receiveGroup(tx *Transaction, step, end int) *SessionError {
	for ; step < end; step++ {
		if tx.skip(step) {
			continue
		}
		code, e := c.next(tx.stage(step), c.timeout(tx, step))
		if e != nil {
			return e
		}
		switch stage := tx.stage(step); stage {
		case mail.StageRset:
			if code/100 != 2 {
				return c.fail(stage, "resetting the session", protocolError("RSET was answered with %d", code))
			}
		case mail.StageMail:
			e = c.mailReply(tx, code)
		case mail.StageRcpt:
			e = c.rcptReply(tx, step, code)
		default:
			e = c.dataReply(tx, code)
		}
		if e != nil {
			return e
		}
	}
	return nil
}

func (c *Client) mailReply(tx *Transaction, code int) *SessionError {
	tx.Judged = true
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
	tx.settle(c.rr.Reply(mail.StageData))
	return nil
}

// emptyContent ends a transaction that has no recipient. Its reply decides nothing.
func (c *Client) emptyContent() *SessionError {
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

// finalReply waits for the reply to the final dot, which decides about everyone accepted.
func (c *Client) finalReply(tx *Transaction) *SessionError {
	code, e := c.next(mail.StageDot, c.t.Body)
	if e != nil {
		if e.Reply.Code == 0 && e.Kind != EndProtocol {
			// RFC 5321 §6.1 leaves no choice but to send it again.
			e.Reply.Text += "; it may have taken the message"
		}
		return e
	}
	if code/100 == 3 {
		return c.fail(mail.StageDot, "waiting for the reply", protocolError("the final dot was answered with %d", code))
	}
	tx.settle(c.rr.Reply(mail.StageDot))
	c.reset = code/100 != 2
	return nil
}
