package smtp

import (
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// clientGroup is the most commands that are sent before their replies are read. The
// replies of so many fit into any receive buffer, so neither side can block the other
// while both write (RFC 2920 §3.1).
const clientGroup = 128

// The steps of an envelope: RSET where needed, MAIL, a RCPT for each recipient (0, 1, …),
// and DATA where the content does not go by BDAT.
const (
	stepRset = -2
	stepMail = -1
)

// steps returns the step after the last one.
func (tx *Transaction) steps() int {
	if tx.chunked {
		return len(tx.Recipients)
	}
	return len(tx.Recipients) + 1
}

// plan decides how a transaction is to be sent that nothing has been sent of.
func (c *Client) plan(tx *Transaction, reset bool) {
	tx.first = stepMail
	if reset {
		tx.first = stepRset
	}
	tx.sent, tx.read = tx.first, tx.first
	tx.chunked = c.does(Chunking)
	// Content that goes before the envelope is answered may go in vain. How a receiver takes
	// it that never has taken a chunk is tried with a recipient that it has accepted.
	tx.early = tx.chunked && c.does(Pipelining) && c.habits.Proven&Chunking != 0 && tx.Content.Size() <= earlyContent
}

// envelope sends the envelope in groups and reads the replies of each. What went ahead of
// it is read first.
func (c *Client) envelope(tx *Transaction) *SessionError {
	for tx.read < tx.steps() {
		if tx.sent == tx.read {
			if tx.read > tx.first && (tx.hopeless() || tx.doubt != 0) {
				break
			}
			if e := c.sendGroup(tx); e != nil {
				return e
			}
		}
		if e := c.receiveGroup(tx); e != nil {
			return e
		}
	}
	// RFC 5321 §4.1.1.4: only the end of the data clears what the receiver has buffered.
	c.reset = true
	return nil
}

// sendGroup sends the next steps, as many as may go before their replies are read, and
// after the last one the content if that does not wait.
func (c *Client) sendGroup(tx *Transaction) *SessionError {
	first := tx.sent
	if e := c.quiet(tx.stage(first)); e != nil {
		return e
	}
	c.putGroup(tx)
	if tx.early && tx.sent == tx.steps() {
		return c.sendContent(tx)
	}
	return c.flush(tx.stage(first), c.timeout(tx, first))
}

// putGroup puts the next steps into the flight.
func (c *Client) putGroup(tx *Transaction) {
	n := 1
	if c.does(Pipelining) {
		n = clientGroup
		c.used |= Pipelining
	}
	for last := tx.steps(); n > 0 && tx.sent < last; tx.sent++ {
		if tx.skip(tx.sent) {
			continue
		}
		if c.room() < clientCommand {
			break
		}
		c.putStep(tx, tx.sent)
		n--
	}
	tx.Sent = tx.Sent || tx.sent > stepMail
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
		c.mails++
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

// receiveGroup reads the replies to the steps that were sent.
func (c *Client) receiveGroup(tx *Transaction) *SessionError {
	group := tx.sent - tx.read
	for ; tx.read < tx.sent; tx.read++ {
		if tx.skip(tx.read) {
			group--
			continue
		}
		stage := tx.stage(tx.read)
		code, e := c.next(stage, c.timeout(tx, tx.read))
		if e != nil {
			return e
		}
		switch stage {
		case mail.StageRset:
			if code/100 != 2 {
				return c.fail(stage, "resetting the session", protocolError("RSET was answered with %d", code))
			}
		case mail.StageMail:
			e = c.mailReply(tx, code)
		case mail.StageRcpt:
			e = c.rcptReply(tx, tx.read, code)
		default:
			e = c.dataReply(tx, code)
		}
		if e != nil {
			return e
		}
	}
	if group > 1 && tx.doubt == 0 {
		c.prove(Pipelining)
	}
	return nil
}
