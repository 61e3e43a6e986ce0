package sched

import (
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
)

// tokenPatience is how long an open connection waits for the token of its next message
// while others wait for its permit.
const tokenPatience = int64(5 * time.Second)

// mostDry bounds how many connections one look at a queue asks for tokens in vain.
const mostDry = 64

// dryConn is what keeps a connection of the queue that is looked at from its next message.
type dryConn struct {
	limit.Blocker
	own  bool // a throttle of the host: another host may have tokens
	paid bool // even one whose first message is paid for lacks them
}

// under reports whether a throttle is among the fares.
func under(fares []fare, id limit.CounterID) bool {
	return slices.ContainsFunc(fares, func(f fare) bool { return f.grant == id || f.sent == id })
}

// bars reports whether what keeps the one connection from its next message keeps c from it
// too.
func (x *dryConn) bars(c *conn) bool {
	return (x.paid || c.paid == 0) && under(c.fares, x.Counter)
}

// parch has an open connection wait for the tokens of its next message, or ends it: when
// it would rest longer than it may, or others wait for its permit.
func (m *Machine) parch(h uint32, c *conn, q *queue, l *lane, b limit.Blocker) {
	m.limits.Busy(&c.permit)
	wait, rest := m.tokenWait(b), int64(l.policy.IdleTimeout)
	contended := wait > tokenPatience && m.limits.Contended(&c.permit, limit.WaiterID(c.queue))
	switch {
	case c.paid > 0: // its token is taken: it is about to send
		rest = max(rest, wait+int64(time.Second))
	case (wait > rest || contended) && m.passOn(h, c) == passed:
		return
	case wait > rest, contended:
		m.hangUp(h, CloseNow)
		return
	case wait > tokenPatience:
		m.limits.Idle(&c.permit, h) // whoever comes may have it
	}
	if c.timer == noTimer {
		c.timer = m.wheel.set(m.now+rest, timerConn, h)
	}
	m.list(h, c, q, l)
	if m.handing != c.queue {
		m.touch(c.queue)
		return
	}
	x := dryConn{Blocker: b, paid: c.paid > 0}
	for _, f := range c.fares {
		x.own = x.own || f.own && (f.grant == b.Counter || f.sent == b.Counter)
	}
	m.dry = append(m.dry, x)
}

// tokenWait is how long it takes until a throttle that blocks admits a newcomer, as far
// as can be told: its bucket, and those in line.
func (m *Machine) tokenWait(b limit.Blocker) int64 {
	s := m.limits.State(b.Counter)
	wait := m.limits.Ready(m.now, limit.Toll{Throttle: b.Counter, N: b.Need}) - m.now
	if s.Waiters > 1 {
		wait += int64(float64(s.Waiters-1) / perSecond(s.Rate) * 1e9)
	}
	return wait
}

// nextTaker is an open connection that may take a part, 0 if none may: the idle one that
// was busy last, of those that are not known to lack tokens; then one that takes the next
// part ahead.
func (m *Machine) nextTaker(q *queue) uint32 {
	n := 0
	for ch := q.idle.tail; ch != 0 && n < mostDry; ch, n = m.conns.at(ch).prev, n+1 {
		c := m.conns.at(ch)
		if !slices.ContainsFunc(m.dry, func(x dryConn) bool { return x.bars(c) }) {
			return ch
		}
	}
	return q.ahead.head
}

// dryAll reports whether a throttle of the queue's own lacks tokens: another host is no way
// out.
func (m *Machine) dryAll() bool {
	return slices.ContainsFunc(m.dry, func(x dryConn) bool { return !x.own })
}

// thirst lines the queue up for the tokens that its open connections lack; without any it
// leaves all lines. It keeps its place where it stands in those lines already. If it has the
// turn of a throttle and another one stops it, the first has let it pass: else two could send
// it back and forth for ever. It will open nothing by these tokens: no room is held back for
// it.
func (m *Machine) thirst(h uint32) {
	if len(m.dry) == 0 {
		m.unwait(h)
		return
	}
	q := m.queues.at(h)
	if m.inLine(h) {
		return
	}
	w := limit.WaiterID(h)
	if m.turn == 0 {
		m.limits.Cancel(w)
	} else {
		m.limits.Forgo(w)
	}
	m.full, m.way = m.full[:0], m.way[:0]
	m.park(q, limit.Turn{Waiter: w, From: m.turn, Tenant: q.tenant, Poor: q.conns == 0})
	q.mark(thirsty, true)
}

// inLine reports whether the queue stands in line for all tokens that its open connections
// lack.
func (m *Machine) inLine(h uint32) bool {
	return !slices.ContainsFunc(m.dry, func(x dryConn) bool { return !m.limits.Waits(limit.WaiterID(h), x.Counter) })
}

// dryAt is what open connections under one of the throttles lack, if they do: they come
// before new ones.
func (m *Machine) dryAt(fares []fare) (limit.Blocker, bool) {
	for i := range m.dry {
		if x := &m.dry[i]; under(fares, x.Counter) {
			return x.Blocker, true
		}
	}
	return limit.Blocker{}, false
}

// park lines the queue up at what blocks it (full, way) and for the tokens that its open
// connections lack.
func (m *Machine) park(q *queue, t limit.Turn) {
	for _, x := range m.dry {
		if !slices.ContainsFunc(m.full, func(b limit.Blocker) bool { return b.Counter == x.Counter }) {
			m.full = append(m.full, x.Blocker)
		}
	}
	m.limits.Park(m.now, t, m.way, m.full...)
	m.turn = 0
	q.waitOn = m.limits.WaitsOn(t.Waiter)
	q.mark(thirsty, false)
	q.mark(parched, len(m.dry) > 0)
}

// lostIdle: the queue has one idle connection fewer. It may stand in line for tokens that
// only that one lacked, and with another one could go at once: it begins anew. A queue that
// waits for other things keeps its place.
func (m *Machine) lostIdle(h uint32) {
	if m.queues.at(h).is(parched) {
		m.replace(h)
	}
}
