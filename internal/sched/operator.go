package sched

import "github.com/sluice-mta/sluice/internal/mail"

// suspension is an operator's order to deliver nothing for a binding, a domain, or
// both; an empty name stands for all.
type suspension struct {
	binding, domain, by string
	reply               mail.Reply
}

func (s *suspension) covers(binding, domain string) bool {
	return (s.binding == "" || s.binding == binding) && (s.domain == "" || s.domain == domain)
}

// suspension returns the operator's order that holds for a lane, nil if none does.
func (m *Machine) suspension(l *lane) *suspension {
	if len(m.suspensions) == 0 {
		return nil
	}
	b, d := m.laneNames(l)
	if s := m.suspended(b, d); s != nil {
		return s
	}
	return m.suspended(b, m.routingOf(l))
}

// covers reports whether an order holds for a lane: by its domain, or by the routing
// domain that this is counted under.
func (m *Machine) covers(s *suspension, l *lane) bool {
	b, d := m.laneNames(l)
	return s.covers(b, d) || s.covers(b, m.routingOf(l))
}

func (m *Machine) suspended(binding, domain string) *suspension {
	for i := range m.suspensions {
		if m.suspensions[i].covers(binding, domain) {
			return &m.suspensions[i]
		}
	}
	return nil
}

// operator carries out a verb. Suspend adds an order; Resume takes back the same order
// and narrower ones, so what a broader one holds stays held, and what the
// configuration suspends stays suspended; Retry makes all parts due now and forgets
// failures of their hosts.
func (m *Machine) operator(ev *Operator) {
	want := suspension{ev.Binding, ev.Domain, ev.By, ev.Reply}
	switch ev.Verb {
	case Suspend:
		m.lift(&want)
		m.suspensions = append(m.suspensions, want)
		m.emit(Log{Level: Info, Subject: verbSubject(ev), Text: "suspended by " + ev.By})
	case Resume:
		m.lift(&want)
		m.emit(Log{Level: Info, Subject: verbSubject(ev), Text: "resumed by " + ev.By})
	case Retry:
		m.eachLane(&m.jobs, func(h uint32, l *lane) {
			if m.covers(&want, l) {
				m.retryLane(l)
			}
		})
		return
	}
	m.eachLane(&m.jobs, func(_ uint32, l *lane) {
		if m.covers(&want, l) {
			l.suspended = l.policy.Suspended || m.suspension(l) != nil
			l.others = nil
			m.touchLane(l)
		}
	})
}

// lift removes the orders that s covers.
func (m *Machine) lift(s *suspension) {
	kept := m.suspensions[:0]
	for _, x := range m.suspensions {
		if (s.binding == "" || s.binding == x.binding) && (s.domain == "" || s.domain == x.domain) {
			continue
		}
		kept = append(kept, x)
	}
	m.suspensions = kept
}

func verbSubject(ev *Operator) string {
	b, d := ev.Binding, ev.Domain
	if b == "" {
		b = "*"
	}
	if d == "" {
		d = "*"
	}
	return "queue " + d + "/" + b
}

// retryLane makes the waiting parts of a lane due, each queue as a job of its own.
func (m *Machine) retryLane(l *lane) {
	if r := l.route; r != nil {
		for i := range r.addrs {
			p := m.places.at(r.addrs[i].place)
			p.failed, p.tlsFailed = 0, 0
		}
		if r.class != mail.ClassDelivered {
			r.until = 0
		}
	}
	if l.timer != noTimer {
		m.wheel.cancel(&l.timer)
	}
	for q := l.queues.head; q != 0; q = m.queues.at(q).next {
		h, n, epoch := q, m.queues.at(q).waiting.n, m.queues.at(q).born
		m.jobs.push(&job{end: func() uint32 { return n }, do: func(uint32) bool {
			if x := m.queues.at(h); x.lane != 0 && x.born == epoch && x.waiting.head != 0 {
				part := x.waiting.head
				m.leave(part)
				m.parts.at(part).due = m.now
				m.enter(part, false)
			}
			return false
		}})
		m.touch(q)
	}
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
