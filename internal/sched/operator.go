package sched

import (
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// selector names mail: an empty name stands for all.
type selector struct{ binding, domain, tenant, job string }

// operator carries out a verb. Suspend adds an order; Resume takes back the same order
// and narrower ones, so what a broader one holds stays held, and what the
// configuration suspends stays suspended. The others go through the parts: Retry makes
// them due now and forgets failures of their hosts, Fail ends them, Move gives them to
// other bindings. What is on a connection at that moment is left alone.
func (m *Machine) operator(ev *Operator) {
	sel := selector{ev.Binding, ev.Domain, ev.Tenant, ev.Job}
	switch ev.Verb {
	case Suspend:
		m.lift(sel, ev.Restored)
		s := Suspension{Domain: ev.Domain, Binding: ev.Binding, Tenant: ev.Tenant, By: ev.By, Reason: ev.Reply.Text, Since: m.now}
		if ev.Restored {
			s.Since = min(ev.Since, m.now)
		} else {
			m.emit(Remember{Key: s.key(), State: s})
			m.emit(Log{Level: Info, Subject: sel.subject(), Text: "suspended by " + ev.By})
		}
		m.suspensions.add(s)
		m.halt(sel)
	case Resume:
		m.lift(sel, false)
		m.emit(Log{Level: Info, Subject: sel.subject(), Text: "resumed by " + ev.By})
		m.halt(sel)
	case Retry:
		m.eachLane(&m.jobs, func(_ uint32, l *lane) {
			if m.covers(&sel, l) {
				m.forgetFailures(l)
			}
		})
		m.eachSelected(ev, "made due", func(h uint32, p *part) bool {
			due := max(m.now, m.terms[p.msg].release)
			if p.state != partWaiting || p.due <= due {
				return false
			}
			m.leave(h)
			p.due = due
			m.enter(h, false)
			return true
		})
	case Fail:
		m.eachSelected(ev, "failed", func(h uint32, _ *part) bool {
			m.leave(h)
			m.giveUp(h, ev.Reply, false)
			return true
		})
	case Move:
		m.eachSelected(ev, "moved", func(h uint32, p *part) bool { return m.moveBy(h, p, ev) })
	}
}

// moveBy moves a part to where an operator wants it; false: it is there, or cannot go.
func (m *Machine) moveBy(h uint32, p *part, ev *Operator) bool {
	b, d := m.laneNames(m.lanes.at(m.queues.at(p.queue).lane))
	to := ev.Targets[d]
	for i := range to {
		if to[i].Binding == b {
			return false // a group's member keeps what it has
		}
	}
	if len(to) == 0 {
		return false
	}
	from := p.queue
	m.movePart(h, to, ev.Group)
	m.touch(from)
	return true
}

// eachSelected begins a job over the parts that a verb names; do says whether it did
// anything. The end is logged.
func (m *Machine) eachSelected(ev *Operator, done string, do func(h uint32, p *part) bool) {
	sel, n := selector{ev.Binding, ev.Domain, ev.Tenant, ev.Job}, 0
	m.eachPart(func(h uint32, p *part) {
		if m.selects(&sel, p) {
			if rcpt := m.size(p); do(h, p) {
				n += rcpt
			}
		}
	}, func() {
		m.emit(Log{Level: Info, Subject: sel.subject(), Text: fmt.Sprintf("%d recipients %s by %s", n, done, ev.By)})
	})
}

// selects reports whether a part is one of those that a selector names.
func (m *Machine) selects(sel *selector, p *part) bool {
	q := m.queues.at(p.queue)
	return (sel.tenant == "" || sel.tenant == m.names.tenants[q.tenant]) && m.covers(sel, m.lanes.at(q.lane)) &&
		(sel.job == "" || sel.job == m.jobText(m.messages.at(p.msg)))
}

// covers reports whether a selector holds for a lane: by its domain, or by the routing
// domain that this is counted under.
func (m *Machine) covers(sel *selector, l *lane) bool {
	b, d := m.laneNames(l)
	return (sel.binding == "" || sel.binding == b) && (sel.domain == "" || sel.domain == d || sel.domain == m.routingOf(l))
}

func (sel *selector) subject() string {
	s := "queue " + star(sel.domain) + "/" + star(sel.binding)
	if sel.tenant != "" {
		s += "/" + sel.tenant
	}
	if sel.job != "" {
		s += " job " + sel.job
	}
	return s
}

func star(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// forgetFailures has the hosts of a lane, and where its mail goes, tried anew.
func (m *Machine) forgetFailures(l *lane) {
	if r := &l.route; r.begun {
		for i := range r.addrs {
			p := m.places.at(r.addrs[i].place)
			p.failed, p.tlsFailed = 0, tlsTimes{}
		}
		if r.class != mail.ClassDelivered {
			r.until = 0
		}
	}
	m.wheel.cancel(&l.timer)
	m.tidy(l)
	m.touchLane(l)
}

// Selection is what a verb would meet.
type Selection struct {
	Messages   int `json:"messages"` // parts that wait, for a time or a connection
	Recipients int `json:"recipients"`
	Flying     int `json:"on_connections"` // parts on connections, which verbs leave alone
}

// Select counts, among n records from the cursor on, the parts that a verb would meet. It
// adds to sum and returns the next cursor, 0 at the end; 0 begins.
func (m *Machine) Select(ev *Operator, cursor, n uint32, sum *Selection) uint32 {
	sel := selector{ev.Binding, ev.Domain, ev.Tenant, ev.Job}
	h := max(cursor, 1)
	for end := min(m.parts.next, h+n); h < end; h++ {
		p := m.parts.at(h)
		switch {
		case p.msg == 0 || !m.selects(&sel, p):
		case p.state == partFlying:
			sum.Flying++
		default:
			sum.Messages++
			sum.Recipients += m.size(p)
		}
	}
	if h >= m.parts.next {
		return 0
	}
	return h
}

// stop begins the drain: nothing is opened any more, idle connections end, those with
// a message in progress end after it.
func (m *Machine) stop() {
	if m.stopping {
		return
	}
	m.stopping = true
	m.eachConn(&m.jobs, func(h uint32, c *conn) {
		switch {
		case c.state == connDialing:
			m.hangUp(h, CloseAbort)
		case c.held > 0:
			m.hangUp(h, CloseAfterMessage)
		default:
			m.settle(h)
		}
	})
	m.eachQueue(func(h uint32, _ *queue) { m.touch(h) })
}

// suspendedState says who has suspended a queue, and when.
func (m *Machine) suspendedState(now int64, q *queue, l *lane) string {
	s := m.suspension(q, l)
	if s == nil {
		return "suspended by the configuration (suspend_delivery, " + l.policy.SuspendedOrigin.String() + ")"
	}
	return strings.TrimSuffix(fmt.Sprintf("suspended by %s %s ago: %s", s.By, span(now-s.Since), s.Reason), ": ")
}
