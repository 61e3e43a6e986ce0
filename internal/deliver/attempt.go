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

// delivery is a part that the connection is busy with.
type delivery struct {
	part    sched.Deliver
	msg     Message
	started time.Time
	tx      smtp.Transaction
}

// load opens the message of a part; nil: it cannot be, which is reported.
func (c *conn) load(part sched.Deliver) *delivery {
	started := c.agent.cfg.Now()
	msg, err := c.agent.cfg.Open(part.Message)
	if err != nil {
		c.unopened(part, started, err)
		c.emit(sched.Wants{Conn: c.action.Conn, N: 1})
		return nil
	}
	d := &c.work[0]
	if d.msg != nil {
		d = &c.work[1]
	}
	d.part, d.msg, d.started = part, msg, started
	d.tx.Envelope, d.tx.Recipients, d.tx.Content = msg.Envelope(), part.Recipients, contentFor(msg, part.Recipients)
	if out := c.agent.cfg.Outgoing; out != nil {
		d.tx.Envelope = out(d.tx.Envelope, part.Recipients, c.action.Policy.Session)
	}
	if len(part.Recipients) > 0 {
		c.trace.domain = d.tx.Envelope.Recipients[part.Recipients[0]].Domain
	}
	return d
}

// done lets go of the message. Replies can be long: an idle connection holds none.
func (d *delivery) done() {
	clear(d.tx.Results)
	d.tx.Envelope, d.tx.Recipients, d.tx.Content = nil, nil, nil
	d.msg.Close()
	d.msg = nil
}

// follow is the transaction of the next part, whose envelope goes behind the content in
// hand; nil: there is none now, or none is to be begun.
func (c *conn) follow() *smtp.Transaction {
	for {
		part, ok, stop := c.take()
		if stop || !ok {
			return nil
		}
		if d := c.load(part); d != nil {
			c.ahead = d
			return &d.tx
		}
	}
}

// attempt sends a part, and those that are begun behind it, and reports each; not nil: the
// connection came to its end by it.
func (c *conn) attempt(part sched.Deliver) (end *ending) {
	for d := c.load(part); d != nil; {
		over := end != nil // before this one had a turn
		first := c.done == 0
		err := c.client.Transact(&d.tx)
		c.learn(err, first)
		enough := err == nil && c.hadEnough(&d.tx)
		if enough || err != nil && (over || c.notBegun(&d.tx, err)) {
			c.emit(sched.Returned{Conn: c.action.Conn, Part: d.part.Part, Sent: d.tx.Sent})
		} else {
			c.done++
			c.emit(sched.Attempted{
				Conn: c.action.Conn, Part: d.part.Part,
				Outcomes: c.outcomes(d.part, &d.tx, err),
				Attempt:  c.describe(d.msg.Envelope(), d.started),
			})
		}
		switch {
		case enough:
			end = &ending{class: sched.ConnectOK, quit: true}
		case err == nil:
			c.emit(sched.Wants{Conn: c.action.Conn, N: 1})
		case end == nil:
			end = c.over(err)
		}
		d.done()
		d, c.ahead = c.ahead, nil
	}
	return end
}

// hadEnough reports whether a receiver that has taken messages on this connection refuses
// MAIL because there were too many (x.5.3 of RFC 3463 speaks of a number, and there is no
// recipient yet): it would refuse every further one in the same way.
func (c *conn) hadEnough(tx *smtp.Transaction) bool {
	rep := tx.Results[0].Reply
	return c.done > 0 && rep.Stage == mail.StageMail && rep.Class() == 4 && rep.Enhanced == "4.5.3"
}

// notBegun reports whether a session ended before the receiver had to do with the part:
// nothing was sent, or a connection that had been used was closed, left with a 421, turned
// out to be out of step, or let RSET wait, before MAIL was answered. On an unused connection that is an attempt: otherwise a
// receiver that does so always would be tried without end. A feature that the receiver
// offers and does not do is not made use of again: what ended by it, and was not taken, is
// no attempt either.
func (c *conn) notBegun(tx *smtp.Transaction, err error) bool {
	kind := endKind(err)
	if tx.Retry {
		return true
	}
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
		if r.Again {
			class = mail.ClassTooMany // as one that was one too many: at once again, and no attempt
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
