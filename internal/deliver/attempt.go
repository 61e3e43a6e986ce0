package deliver

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// attempt sends a part and reports it; not nil: the connection came to its end by it.
func (c *conn) attempt(part sched.Deliver) *ending {
	started := c.agent.cfg.Now()
	msg, err := c.agent.cfg.Open(part.Message)
	if err != nil {
		c.unopened(part, started, err)
		return nil
	}
	defer msg.Close()
	tx := &c.tx
	tx.Envelope, tx.Recipients, tx.Content = msg.Envelope(), part.Recipients, contentFor(msg, part.Recipients)
	err = c.client.Transact(tx)
	defer clear(tx.Results) // replies can be long: an idle connection holds none
	tx.Content = nil
	if err != nil && c.notBegun(tx, err) {
		c.emit(sched.Returned{Conn: c.action.Conn, Part: part.Part, Sent: tx.Sent})
		return c.over(err)
	}
	c.done++
	c.emit(sched.Attempted{
		Conn: c.action.Conn, Part: part.Part,
		Outcomes: c.outcomes(part, tx, err),
		Attempt:  c.describe(tx.Envelope, started),
	})
	if err != nil {
		return c.over(err)
	}
	return nil
}

// notBegun reports whether a session ended before the receiver had to do with the part:
// nothing was sent, or a connection that had been used was closed, left with a 421, turned
// out to be out of step, or let RSET wait, before MAIL was answered. On an unused connection that is an attempt: otherwise a
// receiver that does so always would be tried without end.
func (c *conn) notBegun(tx *smtp.Transaction, err error) bool {
	kind := endKind(err)
	if !tx.Sent {
		return kind == smtp.EndAborted || c.done > 0
	}
	if kind == smtp.EndTimeout {
		var se *smtp.SessionError // RSET ends the message before: that it hangs says nothing about this one
		return c.done > 0 && !tx.Judged && errors.As(err, &se) && se.Reply.Stage == mail.StageRset
	}
	return c.done > 0 && !tx.Judged && (kind == smtp.EndLost || kind == smtp.EndSaid || kind == smtp.EndProtocol)
}

// noEnd is the kind of an end that is none.
const noEnd = smtp.EndKind(255)

func endKind(err error) smtp.EndKind {
	var se *smtp.SessionError
	if errors.As(err, &se) {
		return se.Kind
	}
	return noEnd
}

// outcomes classes the results: every recipient has one. What we could not read, or broke
// off ourselves, is not the receiver's doing.
func (c *conn) outcomes(part sched.Deliver, tx *smtp.Transaction, err error) []mail.Outcome {
	ours := tx.Unreadable != nil || endKind(err) == smtp.EndAborted
	lost := tx.Unreadable != nil && c.agent.cfg.Lost(tx.Unreadable)
	out := make([]mail.Outcome, len(part.Recipients))
	for i := range out {
		r := &tx.Results[i]
		class := classify.Recipient(r.Reply, r.Ahead)
		if ours && class == mail.ClassDeferred && r.Reply.Code == 0 {
			class = mail.ClassLocal
			if lost {
				class, r.Reply.Enhanced = mail.ClassRefused, "5.3.0"
			}
		}
		if class == mail.ClassDelivered {
			c.delivered = true
		}
		out[i] = mail.Outcome{Recipient: part.Recipients[i], Class: class, Reply: r.Reply}
	}
	return out
}

// unopened reports a part whose message could not be read at all.
func (c *conn) unopened(part sched.Deliver, started time.Time, err error) {
	rep := mail.Reply{
		Enhanced: "4.3.0", Stage: mail.StageMail,
		Text: fmt.Sprintf("open message %s: %v", part.Message, err),
	}
	class := mail.ClassLocal
	if c.agent.cfg.Lost(err) {
		class, rep.Enhanced = mail.ClassRefused, "5.3.0" // trying again cannot bring it back
	}
	out := make([]mail.Outcome, len(part.Recipients))
	for i, r := range part.Recipients {
		out[i] = mail.Outcome{Recipient: r, Class: class, Reply: rep}
	}
	c.emit(sched.Attempted{
		Conn: c.action.Conn, Part: part.Part, Outcomes: out,
		Attempt: c.describe(nil, started),
	})
}

// describe tells the edges about the attempt. env is nil when it could not be read.
func (c *conn) describe(env *mail.Envelope, started time.Time) *mail.Attempt {
	return &mail.Attempt{
		Envelope: env,
		Started:  started.UnixNano(),
		Ended:    c.agent.cfg.Now().UnixNano(),
		Host:     c.action.Host,
		Remote:   c.remote,
		Local:    c.local,
		Ehlo:     c.client.Extensions().Lines,
		TLS:      c.client.TLS(),
	}
}
