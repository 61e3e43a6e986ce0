package smtp

import (
	"errors"
	"os"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// offer asks for the transaction after tx, all of whose content is in the flight or gone, and
// puts its envelope behind that. The caller flushes.
func (c *Client) offer(tx *Transaction) {
	if !c.mayOffer(tx) {
		return
	}
	n := tx.Next()
	if n == nil {
		return
	}
	n.begin()
	c.ahead = n
	c.prepare(n)
	// The end of the content ends a transaction, however it is answered (RFC 5321 §4.1.1.4), but
	// a chunk that came for nobody may not.
	c.plan(n, tx.early)
	n.behind = true
	n.early = false // its content goes when that of tx has been answered
	if !n.answered {
		c.used |= Ahead
		c.putGroup(n)
	}
}

// mayOffer reports whether an envelope may go behind the content of tx. One thing is tried
// at a time: nothing goes behind the first chunk that a receiver has had.
func (c *Client) mayOffer(tx *Transaction) bool {
	return tx.Next != nil && c.ahead == nil && c.deaf == nil && c.does(Ahead) && !c.Spent() &&
		(!tx.chunked || c.habits.Proven&Chunking != 0)
}

// verdict waits for the reply to the content. An envelope that turns up meanwhile goes
// out at once.
func (c *Client) verdict(tx *Transaction) (int, *SessionError) {
	until := time.Now().Add(max(c.t.Body, 0))
	for c.over == nil && c.mayOffer(tx) {
		code, woken, err := c.listen(until)
		switch {
		case woken:
			if e := c.follow(tx); e != nil {
				return 0, e
			}
		case err != nil:
			return 0, c.fail(mail.StageDot, "waiting for the reply", err)
		default:
			return c.spoke(mail.StageDot, code)
		}
	}
	return c.next(mail.StageDot, time.Until(until))
}

// follow sends the envelope of the next transaction while the content of tx is being
// answered. When that cannot be written any more, the answer counts nevertheless.
func (c *Client) follow(tx *Transaction) *SessionError {
	c.owed = true
	c.offer(tx)
	e := c.flush(mail.StageMail, c.t.Mail)
	c.owed = false
	return e
}

// listen waits for a reply until a time, zero being never, or until Wake is called.
func (c *Client) listen(until time.Time) (code int, woken bool, err error) {
	c.mu.Lock()
	switch {
	case c.aborted:
		err = errAborted
	case c.woken:
		c.woken, woken = false, true
	default:
		c.idling = true
		err = c.raw.SetReadDeadline(until)
	}
	c.mu.Unlock()
	if woken || err != nil {
		return 0, woken, err
	}
	c.wait = -1
	code, err = c.rr.Next()
	c.mu.Lock()
	c.idling = false
	woken, c.woken = c.woken, false
	c.mu.Unlock()
	if err == nil {
		return code, false, nil
	}
	return 0, woken && errors.Is(err, os.ErrDeadlineExceeded), err
}
