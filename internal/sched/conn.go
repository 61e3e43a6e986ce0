package sched

import (
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// On a contended path a connection serves at most so much in a row; then it, or its
// permit, goes to whoever waits and its queue lines up again.
const (
	quantumParts = 20
	quantumTime  = int64(30 * time.Second)
)

type connState uint8

const (
	connDialing connState = iota + 1
	connOpen
	connClosing
)

type connList uint8

const (
	inNone connList = iota
	inIdle
	inAhead
	inFull
)

// conn is one connection, from Connect to Closed.
type conn struct {
	permit     limit.Permit
	started    int64
	began      int64  // of the message in progress: when it was handed out, or the one before it ended
	turn       int64  // when it began to serve its queue
	queue      uint32 // that it serves: the permit is on that one's path
	lane       uint32
	host       uint32
	place      uint32
	prev, next uint32 // in its queue's idle, ahead or full list
	over, low  uint32 // in its host's idle list
	lprev      uint32 // of its lane
	lnext      uint32
	timer      uint32 // idle too long
	gen        uint32
	parts      [2]uint32
	fares      []fare
	paid       int32  // recipients of the next message, whose tokens are taken; 0: none are
	paidAt     int64  // when they were
	recalled   uint32 // the one of them that was asked back
	credit     int32
	delivered  int32 // transactions in which somebody was delivered to
	served     int32 // transactions with an outcome, in this turn
	recipients int32
	most       SessionLimits
	domains    []uint32 // of the recipients it has carried, where the receiver bounds them
	mails      int32    // parts handed out, over its whole life
	unstored   int32    // outcomes that the spool has not written (S6)
	held       uint8
	state      connState
	in         connList
	tls        TLS
	protocol   policy.Protocol
	dane       *dane
	retiring   bool // gets no further part of its queue
	spent      bool // because its turn is over: it may serve another
	bides      bool // waits until it can pass on to another
	fruitful   bool // some transaction had an outcome
	failed     bool // ConnectFailed has been seen
	opened     bool // Connected has been seen
	doubtful   bool // opened by an answer that had run out: gets no part until there is another
	extra      bool // one more than its busy host has shown it bears
	calling    bool // not answered yet
	opening    bool // counted as on its way at its host
}

func (m *Machine) connOf(id ConnID) (uint32, *conn, bool) {
	h := uint32(id)
	if !m.conns.has(h) {
		return 0, nil, false
	}
	c := m.conns.at(h)
	return h, c, c.gen == uint32(id>>32) && c.state != 0
}

func (m *Machine) connID(h uint32) ConnID {
	return ConnID(uint64(m.conns.at(h).gen)<<32 | uint64(h))
}

// settle decides what an open connection does next: it takes parts, waits for some,
// or ends.
func (m *Machine) settle(h uint32) {
	c := m.conns.at(h)
	if c.state != connOpen {
		return
	}
	m.unlist(h, c)
	q := m.queues.at(c.queue)
	l := m.lanes.at(c.lane)
	if !c.retiring {
		c.spent = m.turnOver(c)
		if m.mustRetire(c, l) || c.spent {
			m.retire(c, q)
		}
	}
	blocked := m.held || q.halted(l)
	for !c.retiring && !blocked && q.ready.n > 0 && m.mayTake(c, l) {
		m.trim(c, q)
		if !m.fits(c, l, m.nextReady(q)) {
			m.retire(c, q)
			break
		}
		if b, ok := m.pay(c, q, m.nextReady(q)); !ok {
			m.parch(h, c, q, l, b)
			return
		}
		m.give(h, m.nextReady(q))
	}
	if c.retiring {
		if c.held == 0 {
			m.turnEnds(h, c)
		} else {
			m.list(h, c, q, l)
		}
		return
	}
	if c.held == 0 && (q.ready.n == 0 || blocked) {
		m.rest(h, c, l)
		return
	}
	m.list(h, c, q, l)
}

// mayTake reports whether the connection can be given a part as far as it is concerned.
func (m *Machine) mayTake(c *conn, l *lane) bool {
	if c.credit <= 0 || c.doubtful || !m.gap(c) || c.held > 0 && c.metered() || c.full() || !c.takesDomain(l.key.domain) {
		return false
	}
	most := l.policy.MaxDeliveriesPerConnection
	return most <= 0 || int(c.delivered)+int(c.held) < most // one in flight may be a delivery
}

// gap keeps S6: a part on the connection, or an outcome of it not yet written, is a
// message that a crash may repeat; there are never more than two.
func (m *Machine) gap(c *conn) bool { return int32(c.held)+c.unstored < 2 }

// fits reports whether the part keeps the connection within what it may carry.
func (m *Machine) fits(c *conn, l *lane, h uint32) bool {
	if most := l.policy.MaxRecipientsPerConnection; most > 0 && c.recipients > 0 {
		n := m.size(m.parts.at(h))
		for _, p := range c.parts[:c.held] {
			n += m.size(m.parts.at(p))
		}
		return int(c.recipients)+n <= most
	}
	return true
}

// mustRetire reports whether the connection has come to its end.
func (m *Machine) mustRetire(c *conn, l *lane) bool {
	if m.stopping || c.full() || !c.takesDomain(l.key.domain) {
		return true
	}
	if most := l.policy.MaxRecipientsPerConnection; most > 0 && int(c.recipients) >= most {
		return true
	}
	most := l.policy.MaxDeliveriesPerConnection
	return most > 0 && int(c.delivered) >= most
}

// turnOver reports whether the connection has to leave its queue: there is one more than a
// limit allows, or it has served its queue for long enough and others wait.
func (m *Machine) turnOver(c *conn) bool {
	if m.limits.Surplus(&c.permit) {
		return true
	}
	if c.served < quantumParts && (c.served == 0 || m.now-c.turn < quantumTime) {
		return false
	}
	return m.disputed(c) || m.awaited(c)
}

// retire makes the connection take no further part; its queue may want another one.
func (m *Machine) retire(c *conn, q *queue) {
	c.retiring = true
	m.unpay(c)
	m.touch(c.queue)
	if c.held == 0 {
		m.lostIdle(c.queue)
	}
	m.limits.Busy(&c.permit)
	m.limits.Leave(&c.permit)
	q.serving--
}

// give hands a ready part to the connection.
func (m *Machine) give(h, part uint32) {
	c := m.conns.at(h)
	p := m.parts.at(part)
	q := m.queues.at(p.queue)
	m.takeReady(q, part)
	p.state, p.conn, p.moves = partFlying, h, 0
	if q.flying++; q.ready.n == 0 && q.cause != noCause {
		m.touch(p.queue) // it wants no connection any more
	}
	if c.held == 0 {
		c.began = m.now
	}
	c.parts[c.held] = part
	c.held++
	c.handed(m.lanes.at(c.lane).key.domain)
	c.credit--
	m.limits.Busy(&c.permit)
	m.wheel.cancel(&c.timer)
	c.bides = false
	m.emit(Deliver{
		Conn: m.connID(h), Part: partID(part, p.gen), Message: m.messages.at(p.msg).id,
		Recipients: m.recipients(p), Attempts: int(p.attempts),
	})
}

// takeBack takes a part from the connection.
func (m *Machine) takeBack(h, part uint32) {
	c := m.conns.at(h)
	if c.recalled == part {
		c.recalled = 0
	}
	if c.parts[0] == part {
		c.parts[0] = c.parts[1]
	}
	c.parts[1] = 0
	c.held--
	p := m.parts.at(part)
	p.conn = 0
	m.queues.at(p.queue).flying--
}

// rest lets a connection without work wait for more, unless it, or its permit, is of use
// to others.
func (m *Machine) rest(h uint32, c *conn, l *lane) {
	switch m.passOn(h, c) {
	case passed:
		return
	case soon:
		m.bide(h, c)
		return
	case stays:
	}
	if c.bides {
		c.bides = false
		m.wheel.cancel(&c.timer)
	}
	q := m.queues.at(c.queue)
	if m.limits.Contended(&c.permit, limit.WaiterID(c.queue)) || l.policy.IdleTimeout <= 0 {
		m.retire(c, q)
		m.hangUp(h, CloseNow)
		return
	}
	m.limits.Idle(&c.permit, h)
	if c.timer == noTimer {
		c.timer = m.wheel.set(m.now+int64(l.policy.IdleTimeout), timerConn, h)
	}
	m.list(h, c, q, l)
}

func (m *Machine) list(h uint32, c *conn, q *queue, l *lane) {
	switch {
	case c.held == 2 && c.recalled == 0:
		c.in = inFull
		m.connList(&q.full).push(h)
	case c.retiring || !m.mayTake(c, l):
	case c.held == 0:
		c.in = inIdle
		m.connList(&q.idle).push(h)
		m.spareList(c.host).push(h)
		m.recall(q, l)
	case c.recalled == 0:
		c.in = inAhead
		m.connList(&q.ahead).push(h)
	}
}

func (m *Machine) unlist(h uint32, c *conn) {
	q := m.queues.at(c.queue)
	switch c.in {
	case inIdle:
		m.connList(&q.idle).remove(h)
		m.spareList(c.host).remove(h)
	case inAhead:
		m.connList(&q.ahead).remove(h)
	case inFull:
		m.connList(&q.full).remove(h)
	}
	c.in = inNone
}

// hangUp ends a connection: Closed will follow, and only then does its permit return.
func (m *Machine) hangUp(h uint32, how CloseHow) {
	c := m.conns.at(h)
	if c.state == connClosing {
		return
	}
	m.unlist(h, c)
	if !c.retiring {
		m.retire(c, m.queues.at(c.queue))
	}
	m.wheel.cancel(&c.timer)
	c.state, c.bides = connClosing, false
	m.emit(Close{Conn: m.connID(h), How: how})
}

// connTimer: a connection is slow to open, or an idle one has had no work for
// idle_timeout.
func (m *Machine) connTimer(h uint32) {
	c := m.conns.at(h)
	c.timer = noTimer
	switch {
	case c.calling:
		m.drags(c)
	case c.state == connOpen && c.held == 0:
		m.hangUp(h, CloseNow)
	}
}

func (m *Machine) wants(ev Wants) {
	if h, c, ok := m.connOf(ev.Conn); ok && ev.N > 0 {
		c.credit = min(c.credit+int32(min(ev.N, 2)), 2)
		m.settle(h)
	}
}
