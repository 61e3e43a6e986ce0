package sched

import (
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
)

// A connection belongs to a binding and a host, not to a queue. When its queue has no
// more work for it, or its turn on a contended path is over, it serves the queue that
// would have its place next if it ended now, if that queue may use it: no queue gains or
// loses a turn by it, but nobody has to dial. Who is next is asked as a return of the
// permit would ask: at the counters of its path, most specific first, the head of the fair
// line; then those who stand at the host itself. A queue that would dial looks for an
// idle connection first.
//
// The permit moves in one step: released where the connection was counted, charged where
// it is now, as a grant. What a connection has carried counts over its whole life, but for
// its turn, which begins anew.

// lookAt is how many places in a line, or idle connections, are looked at for one that
// fits.
const lookAt = 16

// bideMost is how long a connection that is to pass on waits for what it still needs: for
// its last outcomes to be written (S6), or for credit.
const bideMost = int64(5 * time.Second)

// verdict is what becomes of a connection that could pass on.
type verdict uint8

const (
	stays  verdict = iota // nobody whose turn it is may have it
	passed                // it serves another queue now
	soon                  // it will pass on when it can take a part
)

// spareList is the idle connections of a host, whoever's.
func (m *Machine) spareList(host uint32) links { return links{&m.hosts.at(host).idle, m.spareAt} }

// passOn has a connection that holds no part serve the queue whose turn it is.
func (m *Machine) passOn(h uint32, c *conn) verdict {
	if m.held || m.stopping {
		return stays
	}
	for _, id := range c.permit.Path() {
		for range lookAt {
			w := uint32(m.limits.Heir(&c.permit, id))
			if w == 0 {
				break
			}
			m.visits--
			if !m.wantsConn(w) {
				m.replace(w)
				continue
			}
			v, elsewhere := m.passTo(h, c, w, id)
			if !elsewhere {
				return v
			}
			break // it must wait at a broader counter: who is first there?
		}
	}
	x := m.hosts.at(c.host)
	if v := m.passAlong(h, c, &x.crowd); v != stays || x.gate == 0 {
		return v
	}
	return m.passAlong(h, c, &m.gates.at(x.gate).line)
}

// passAlong offers the connection to those in line at its host, in order: who cannot use
// it loses nothing by another having it.
func (m *Machine) passAlong(h uint32, c *conn, line *fifo[gatePlace]) verdict {
	for i, n := 0, 0; i < line.len() && n < lookAt; n++ {
		m.visits--
		p := *line.nth(i)
		switch {
		case !m.waitsHere(p) && i == 0:
			line.pop()
		case !m.waitsHere(p):
			i++
		case !m.wantsConn(p.queue):
			m.replace(p.queue)
		default:
			if v, _ := m.passTo(h, c, p.queue, 0); v != stays {
				return v
			}
			i++
		}
	}
	return stays
}

// passTo has the connection serve a queue if it may and can. from is the counter at which
// the queue is the first in line. elsewhere says that it could use the connection but for
// a broader counter, where others come first.
func (m *Machine) passTo(h uint32, c *conn, to uint32, from limit.CounterID) (v verdict, elsewhere bool) {
	q := m.queues.at(to)
	l := m.lanes.at(q.lane)
	a := m.leadsTo(c, l)
	if a == nil || !m.bears(c, l, q) {
		return stays, false
	}
	turn := m.asks(to, from)
	if to == c.queue {
		turn.Poor = q.conns == 1 // it would hold nothing if this one ended
	}
	n := m.nextSize(q)
	path := m.pathOf(l, a)
	if b, ok := m.limits.CheckPass(m.now, &c.permit, path, m.messageTolls(m.faresOf(l, a), 0, n), turn); !ok {
		return stays, broader(path, b.Counter, from)
	}
	if c.credit <= 0 || !m.gap(c) {
		return soon, false
	}
	if m.now >= l.route.until {
		if m.ask(q.lane, l); !l.route.asking {
			return stays, false
		}
	}
	m.adopt(h, to, a, n, turn)
	return passed, false
}

// broader reports whether counter a stands behind b on a path.
func broader(path []limit.CounterID, a, b limit.CounterID) bool {
	seen := false
	for _, id := range path {
		if id == a {
			return seen
		}
		seen = seen || id == b
	}
	return false
}

func (m *Machine) asks(h uint32, from limit.CounterID) limit.Turn {
	q := m.queues.at(h)
	return limit.Turn{Waiter: limit.WaiterID(h), Tenant: q.tenant, Poor: q.conns == 0, From: from}
}

// wantsConn reports whether the queue could use a connection at this moment; kick decides
// alike.
func (m *Machine) wantsConn(h uint32) bool {
	q := m.queues.at(h)
	if q.lane == 0 {
		return false
	}
	l := m.lanes.at(q.lane)
	if q.halted(l) || m.names.bindings[l.key.binding].gone || !m.wantsMore(q, l) {
		return false
	}
	r := &l.route
	return r.known && r.until > 0 && len(r.hosts) > 0
}

// leadsTo returns the address of the lane's route that the connection leads to, nil if its
// mail may not go over it now. Only hosts of the best preference that is not failed
// altogether are used.
func (m *Machine) leadsTo(c *conn, l *lane) *routeAddr {
	if !l.policy.Session.SameConnection(m.lanes.at(c.lane).policy.Session) {
		return nil
	}
	hosts := l.route.hosts
	healthy := false
	for i := range hosts {
		rh := &hosts[i]
		if healthy && rh.preference != hosts[i-1].preference {
			return nil
		}
		for k := rh.from; k < rh.to; k++ {
			a := &l.route.addrs[k]
			if m.failedUntil(a.place, rh.tls) > m.now {
				continue
			}
			healthy = true
			if rh.host == c.host && a.place == c.place && m.content(c, rh) {
				return a
			}
		}
	}
	return nil
}

// bears reports whether the connection may carry the queue's next part, and would not end
// at once, by what the lane allows a connection in its life.
func (m *Machine) bears(c *conn, l *lane, q *queue) bool {
	p := l.policy
	return !c.full() && c.takesDomain(l.key.domain) && (p.MaxDeliveriesPerConnection <= 0 || int(c.delivered) < p.MaxDeliveriesPerConnection) &&
		(p.MaxRecipientsPerConnection <= 0 || int(c.recipients) < p.MaxRecipientsPerConnection) &&
		m.fits(c, l, m.nextReady(q))
}

// adopt moves a connection that holds no part to another queue, and gives it parts of
// that queue: the next one has n recipients, and its tokens are taken with the permit.
func (m *Machine) adopt(h, to uint32, a *routeAddr, n int32, turn limit.Turn) {
	c := m.conns.at(h)
	m.unlist(h, c)
	m.unpay(c)
	q := m.queues.at(to)
	l := m.lanes.at(q.lane)
	path, fares := m.pathOf(l, a), m.faresOf(l, a)
	tolls := m.grantTolls(fares, n, 0)
	if b, ok := m.limits.Pass(m.now, &c.permit, path, tolls, turn); !ok {
		panic(fmt.Sprintf("sched: %s was open a moment ago and blocks now; nothing may happen in between", m.label(b.Counter)))
	}
	m.grantedTolls(tolls)
	m.ride(c, fares, n)
	m.wheel.cancel(&c.timer)
	c.bides = false
	was := *c
	m.noteWait(q)
	m.endWait(to, q)
	m.granted(path)
	m.count(h, c, -1) // the new route names host and address too: both stay
	c.queue, c.lane = to, q.lane
	m.count(h, c, 1)
	m.doubt(q.lane, c)
	c.retiring, c.spent = false, false
	c.served, c.turn = 0, m.now
	m.gains(q)
	o := m.queues.at(was.queue)
	if !was.retiring {
		o.serving--
	}
	m.loses(o)
	m.touch(was.queue)
	m.lostIdle(was.queue)
	if o.conns == 0 && o.waitOn != 0 {
		m.replace(was.queue) // it holds nothing any more: a reserve is open to it
	}
	m.touch(to) // it may want more
	m.settle(h)
}

// takeOver gives the queue an idle connection of another one to one of these hosts, all
// of the same preference, and reports whether it did.
func (m *Machine) takeOver(h uint32, l *lane, hosts []routeHost, n int32, turn limit.Turn) bool {
	for i := range hosts {
		x := m.hosts.at(hosts[i].host)
		if x.idle.n == 0 || m.lined(x) {
			continue
		}
		for i, ch := 0, x.idle.tail; ch != 0 && i < lookAt; i, ch = i+1, m.conns.at(ch).over {
			m.visits--
			c := m.conns.at(ch)
			a := m.leadsTo(c, l)
			if a == nil || c.queue == h || c.paid > 0 || !m.bears(c, l, m.queues.at(h)) || c.credit <= 0 || !m.gap(c) {
				continue
			}
			if _, ok := m.limits.CheckPass(m.now, &c.permit, m.pathOf(l, a), m.messageTolls(m.faresOf(l, a), 0, n), turn); ok {
				m.adopt(ch, h, a, n, turn)
				return true
			}
		}
	}
	return false
}

// lined reports whether queues stand in line at the host: they come first.
func (m *Machine) lined(x *host) bool {
	return m.firstOf(&x.crowd) != 0 || x.gate != 0 && m.firstOf(&m.gates.at(x.gate).line) != 0
}

// firstOf returns the queue that stands first in a line, 0 if none does; places before it
// that are void go.
func (m *Machine) firstOf(line *fifo[gatePlace]) uint32 {
	for range lookAt {
		if line.len() == 0 {
			return 0
		}
		if p := *line.front(); m.waitsHere(p) {
			return p.queue
		}
		line.pop()
	}
	if line.len() == 0 {
		return 0
	}
	return line.front().queue
}

// turnEnds decides on a connection that has nothing in hand and takes no more from its
// queue: another has it, or its queue goes on with it because nobody wants it any more,
// or it ends.
func (m *Machine) turnEnds(h uint32, c *conn) {
	if c.spent {
		switch m.passOn(h, c) {
		case passed:
			return
		case soon:
			m.bide(h, c)
			return
		case stays:
			if !m.disputed(c) && !m.limits.Surplus(&c.permit) && !m.stopping {
				m.goOn(h, c)
				return
			}
		}
	}
	m.hangUp(h, CloseNow)
}

// bide has the connection wait, for a while, until it can pass on.
func (m *Machine) bide(h uint32, c *conn) {
	if !c.bides {
		c.bides = true
		m.wheel.cancel(&c.timer)
		c.timer = m.wheel.set(m.now+bideMost, timerConn, h)
	}
}

// goOn gives the connection another turn for the queue that it serves.
func (m *Machine) goOn(h uint32, c *conn) {
	m.limits.Stay(&c.permit)
	c.retiring, c.spent = false, false
	c.served, c.turn = 0, m.now
	m.queues.at(c.queue).serving++
	m.touch(c.queue)
	m.settle(h)
}

// disputed reports whether others wait for the connection's place.
func (m *Machine) disputed(c *conn) bool {
	return m.limits.Contended(&c.permit, limit.WaiterID(c.queue)) || m.othersAtGate(c.host, c.queue)
}

// awaited reports whether somebody stands in line at the host who may have the connection.
func (m *Machine) awaited(c *conn) bool {
	w := m.firstOf(&m.hosts.at(c.host).crowd)
	if w == 0 || w == c.queue || !m.wantsConn(w) {
		return false
	}
	q := m.queues.at(w)
	l := m.lanes.at(q.lane)
	return m.leadsTo(c, l) != nil && m.bears(c, l, q)
}
