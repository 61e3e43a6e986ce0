package sched

import (
	"math"
	"strings"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
)

// queue is the mail of one tenant on one lane. Its parts wait for a time (waiting) or
// for a connection (ready: the ready queue); its connections belong to it. There may be a
// million of them: what a queue has only while it has connections, or has waited, lies apart.
type queue struct {
	*served           // its connections; noConns while it has none
	waits      *waits // its history, nil while it has none
	since      int64  // since when its time is booked on cause
	waiting    list
	ready      ready
	lane       uint32
	tenant     int32
	next, prev uint32 // of the lane
	waitOn     limit.CounterID
	epoch      uint32 // of its places in lines at gates
	born       uint32 // tells it from others that had its handle
	eldest     uint32 // its oldest part (age.go)
	first      uint32 // of the waiting ones, the first to be due
	cause      uint32 // what its time is booked on now (wait.go)
	dirty      bool
	gated      bool  // waits for a gate
	before     uint8 // which cause that is
	marks      marks
}

// marks is what holds for a queue besides.
type marks uint8

const (
	suspended marks = 1 << iota // by an order about its tenant
	thirsty                     // waits for tokens of open connections; that it could open more has not been looked at
	parched                     // stands in line for tokens of open connections, perhaps among others
	leaning                     // nothing new can be opened: it leans on the connections it has, whose next event brings it on
)

func (q *queue) is(m marks) bool { return q.marks&m != 0 }

func (q *queue) mark(m marks, on bool) {
	q.marks &^= m
	if on {
		q.marks |= m
	}
}

// served is the connections that serve a queue.
type served struct {
	idle    list   // open ones without a part that may take one
	full    list   // with two parts, the second not asked back
	ahead   list   // with one part, that may take the next one ahead
	flying  int32  // parts on them
	conns   int32  // permits held, those on their way out included
	serving int32  // being opened or open, not on their way out
	handle  uint32 // in its slab
}

// noConns stands for the connections of every queue without any; it is never written.
var noConns served

// gains counts a connection that serves the queue from now on.
func (m *Machine) gains(q *queue) {
	if q.served == &noConns {
		h := m.served.alloc()
		q.served = m.served.at(h)
		*q.served = served{handle: h}
	}
	q.conns++
	q.serving++
}

// loses counts a connection that serves the queue no more, and holds none of its parts.
func (m *Machine) loses(q *queue) {
	if q.conns--; q.conns == 0 {
		m.served.release(q.handle)
		q.served = &noConns
	}
}

// remember keeps a reply to be shown, not more than a line of it.
func (q *queue) remember(r mail.Reply) {
	const most = 500
	if len(r.Text) > most {
		r.Text = r.Text[:most]
	}
	r.Text, r.Enhanced = strings.Clone(r.Text), strings.Clone(r.Enhanced)
	q.history().last = &r
}

// kick looks at a queue and books what it waits for from now on. from is the counter
// whose turn the queue has, 0 if it has none.
func (m *Machine) kick(h uint32, from limit.CounterID) {
	if m.queues.at(h).lane != 0 {
		m.move(h, from)
		m.turn, m.dry = 0, m.dry[:0]
		m.book(h)
	}
}

// move sees to it that a queue's ready parts move: to connections that are open, or to
// one more. It opens at most one connection.
func (m *Machine) move(h uint32, from limit.CounterID) {
	q := m.queues.at(h)
	if from != 0 {
		m.noteWait(q) // Next has taken it out of its lines
	}
	l := m.lanes.at(q.lane)
	q.mark(leaning, false)
	from = m.handOut(h, q, l, from)
	m.refresh(q, l)
	switch {
	case q.ready.n == 0, m.stopping, m.held:
		m.unwait(h)
		return
	case q.is(suspended), m.stuck(l):
		m.unwait(h)
		return
	case m.dryAll(), m.wanted(q, l) <= int(q.serving):
		m.thirst(h)
		return
	case from == 0 && m.inLine(h) && (q.waitOn != 0 && !q.is(thirsty) || q.gated):
		m.limits.AskLess(m.now, limit.WaiterID(h), m.nextSize(q))
		return // it has its place in line already
	}
	if q.waitOn != 0 || q.gated {
		m.unwait(h) // whether it can open more is looked at anew
	}
	switch {
	case !m.routed(q.lane, l, from):
		m.thirst(h)
		return
	case l.route.class != mail.ClassDelivered:
		m.thirst(h)
		m.failHead(h, l.route.class, l.reply())
		return
	}
	m.connect(h, from)
	if len(m.dry) > 0 && q.waitOn == 0 { // it waits for no counter: still its connections need tokens
		m.thirst(h)
	}
}

// failHead concludes the next ready part without a connection, and comes back for
// the next one. Open connections still serve what they can.
func (m *Machine) failHead(h uint32, class mail.Class, reply mail.Reply) {
	q := m.queues.at(h)
	if q.serving > 0 || q.ready.n == 0 {
		q.mark(leaning, true)
		return
	}
	m.fail(m.nextReady(q), class, reply)
	m.touch(h)
}

// wanted is how many connections the queue should have: the ramp. q counts
// transactions waiting or in flight, most the smallest limit on the path. One that the
// limit alone keeps from having more wants one more: it waits there, and says so.
func (m *Machine) wanted(q *queue, l *lane) int {
	n := int(q.ready.n) + int(q.flying)
	most := m.most(l)
	w := ramp(n, most, l.policy.Ramp)
	if w == most && n > most {
		w++
	}
	return min(w, l.busy())
}

func ramp(q, most int, k float64) int {
	if most == limit.Unlimited {
		return max(1, min(q, int(math.Ceil(k*float64(q)))))
	}
	w := int(math.Ceil(float64(most) * (1 - math.Exp(-k*float64(q)/float64(max(most, 1))))))
	return max(1, min(q, most, w))
}

// stuck reports whether the queue's mail may not be sent over its lane at all, and
// asks for another binding if there may be one.
func (m *Machine) stuck(l *lane) bool {
	if !l.route.closed && !m.names.bindings[l.key.binding].gone {
		return false
	}
	m.askRebind(l)
	return true
}

// handOut gives ready parts to open connections: idle ones first. from is the counter or
// throttle whose turn the queue has; what is left of the turn is returned.
func (m *Machine) handOut(h uint32, q *queue, l *lane, from limit.CounterID) limit.CounterID {
	m.dry, m.handing, m.turn = m.dry[:0], h, 0
	tokens := from != 0 && m.isThrottle(from)
	if tokens {
		m.turn = from
	}
	for !m.held && !q.halted(l) && q.ready.n > 0 && m.visits > 0 {
		ch := m.nextTaker(q)
		if ch == 0 {
			break
		}
		before, dry := q.ready.n, len(m.dry)
		m.settle(ch)
		if q.ready.n == before && len(m.dry) == dry && (q.idle.tail == ch || q.ahead.head == ch) {
			break
		}
		m.visits--
	}
	m.handing = 0
	if tokens {
		return m.turn
	}
	return from
}

// unwait takes the queue out of all lines.
func (m *Machine) unwait(h uint32) {
	q := m.queues.at(h)
	m.limits.Cancel(limit.WaiterID(h))
	m.noteWait(q)
}

// noteWait notes that the queue stands in no line any more.
func (m *Machine) noteWait(q *queue) {
	q.waitOn, q.marks = 0, q.marks&^(thirsty|parched)
	if q.gated {
		q.gated = false
		q.epoch++
	}
}

// replace has a queue begin anew: what it waited on may no longer be what blocks it.
func (m *Machine) replace(h uint32) {
	m.unwait(h)
	m.touch(h)
}
