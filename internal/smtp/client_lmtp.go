package smtp

import "github.com/sluice-mta/sluice/internal/mail"

// LMTP makes the session one of LMTP (RFC 2033): LHLO instead of EHLO, and after the
// content one reply for each recipient that was accepted. To be called before Hello. Content
// goes by DATA, and nothing goes behind it: what a receiver on the next machine would save
// by that is little, and its replies are many.
func (c *Client) LMTP() { c.lmtp = true }

// lmtpReplies waits for the reply about each recipient, in the order in which they were
// accepted (RFC 2033 §4.2). Each has the time of body_timeout.
func (c *Client) lmtpReplies(tx *Transaction) *SessionError {
	for i := range tx.Results {
		r := &tx.Results[i]
		if !r.accepted {
			continue
		}
		code, e := c.next(mail.StageDot, c.t.Body)
		if e == nil && code/100 == 3 {
			e = c.fail(mail.StageDot, "waiting for the reply", protocolError("the final dot was answered with %d", code))
		}
		if e != nil {
			if e.Reply.Code == 0 && e.Kind != EndProtocol {
				e.Reply.Text += "; it may have taken the message"
			}
			return e
		}
		c.reset = c.reset || code/100 != 2
		tx.decided = true
		r.Reply, r.accepted = c.rr.Reply(mail.StageDot), false
	}
	return nil
}
