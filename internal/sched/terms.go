package sched

import (
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// terms are what few messages ask: kept beside the messages, so that the others need no
// room for them.
type terms struct {
	release  int64 // not attempted before
	deadline int64 // of DELIVERBY; 0: none
	notify   bool  // at the deadline: report the delay, and go on
	traced   bool  // report success
}

// agree keeps the terms of a message, if it has any.
func (m *Machine) agree(h uint32, ev *Submitted) {
	t := terms{release: ev.Release, deadline: ev.Deadline, notify: ev.Notify, traced: ev.Traced}
	if t != (terms{}) {
		m.messages.at(h).termed = true
		m.terms[h] = t
	}
}

// lateAt is when the delay of a part is to be reported because of its deadline.
func (m *Machine) lateAt(p *part) int64 {
	if p.late {
		return neverTime
	}
	if t := m.terms[p.msg]; t.notify && t.deadline != 0 {
		return t.deadline
	}
	return neverTime
}

// reportLate reports that a part, in its queue, was not delivered by its deadline
// (RFC 2852 §4.1.3, by-mode N).
func (m *Machine) reportLate(h uint32, p *part) {
	p.late = true
	l := m.lanes.at(m.queues.at(p.queue).lane)
	msg := m.messages.at(p.msg)
	r := result{id: msg.id, after: m.account, kind: resultDelay}
	r.binding, r.domain = m.laneNames(l)
	for _, i := range m.recipients(p) {
		r.outcomes = append(r.outcomes, mail.Outcome{
			Recipient: i, Class: mail.ClassDeferred,
			Reply: mail.Reply{Enhanced: "4.4.7", Text: "not delivered within the time that the sender wished; it is still being tried"},
		})
	}
	msg.delayed = true
	m.push(r)
}

// refuse ends recipients that were submitted to be ended. The message has others, or is
// finished by it.
func (m *Machine) refuse(msg uint32, tenant int32, sp *SubmittedPart) {
	qh := m.queueFor(m.laneFor(sp.Binding, sp.Domain, sp.Policy, sp.Generation), tenant)
	h := m.newPart(part{msg: msg, queue: qh, late: true})
	m.setRecipients(m.parts.at(h), sp.Recipients)
	m.endWithout(h, mail.ClassSuppressed, *sp.Refused, false, sp.Report)
	m.touch(qh)
}

// A message ends by its deadline and a minute, also one that is on a connection then: its
// timer goes on there. What is in progress may come to its end for a while, then it is
// broken off; and who does not say what became of it then is asked no more.
const (
	overdueAbort = int64(30 * time.Second)
	overdueTake  = int64(45 * time.Second)
)

// overdue: the time of a part on a connection has come; at is its deadline.
func (m *Machine) overdue(h uint32, p *part, at int64) {
	ch := p.conn
	again := at
	switch {
	case m.now < at: // its deadline has moved, or it is late without an end
	case m.now < at+overdueAbort:
		again = at + overdueAbort
		if c := m.conns.at(ch); c.parts[0] != h && c.recalled != h {
			m.unlist(ch, c)
			c.recalled = h
			m.emit(Recall{Conn: m.connID(ch), Part: partID(h, p.gen)})
		}
	case m.now < at+overdueTake:
		again = at + overdueTake
		if m.conns.at(ch).state == connClosing { // and takes too long to
			m.emit(Close{Conn: m.connID(ch), How: CloseAbort})
		} else {
			m.hangUp(ch, CloseAbort)
		}
	default:
		m.takeBack(ch, h)
		m.expire(h)
		return
	}
	p.timer = m.wheel.set(again, timerPart, h)
}
