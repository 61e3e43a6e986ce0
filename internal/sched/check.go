package sched

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/limit"
)

// CheckInvariants recounts everything from the lists of connections and parts and
// compares it with what the machine has counted; an error names the first difference.
// It is slow and meant for tests and the simulator.
func (m *Machine) CheckInvariants() error {
	if err := m.checkConns(); err != nil {
		return err
	}
	if err := m.checkServed(); err != nil {
		return err
	}
	if err := m.checkRouting(); err != nil {
		return err
	}
	if err := m.checkFound(); err != nil {
		return err
	}
	if err := m.checkSites(); err != nil {
		return err
	}
	if err := m.checkParts(); err != nil {
		return err
	}
	return m.checkWaiters()
}

// checkConns recounts permits (L1 to L3, S4) and figures kept per queue.
func (m *Machine) checkConns() error {
	used := make([]int, m.limits.Bound())
	conns := map[uint32]int32{}
	serving := map[uint32]int32{}
	flying := map[uint32]int32{}
	unstored := map[ConnID]int32{}
	opening, calling := map[uint32]int{}, map[uint32]int{}
	for h := uint32(1); h < m.conns.next; h++ {
		c := m.conns.at(h)
		if c.state == 0 {
			continue
		}
		if err := m.checkPaid(h, c); err != nil {
			return err
		}
		if !c.permit.Held() {
			return fmt.Errorf("connection %d has no permit", m.connID(h))
		}
		for _, id := range c.permit.Path() {
			used[id]++
		}
		conns[c.queue]++
		if c.calling {
			calling[c.host]++
		}
		if c.opening {
			opening[c.host]++
		}
		if !c.retiring {
			serving[c.queue]++
		}
		if int32(c.held)+c.unstored > 2 {
			return fmt.Errorf("connection %d: %d parts and %d outcomes not written (S6)", m.connID(h), c.held, c.unstored)
		}
		unstored[m.connID(h)] = c.unstored
		for _, p := range c.parts[:c.held] {
			flying[m.parts.at(p).queue]++
			if x := m.parts.at(p); x.state != partFlying || x.conn != h {
				return fmt.Errorf("part %d on connection %d says %d (S8)", p, h, x.conn)
			} else if x.timer == noTimer && m.expiry(x) < neverTime {
				return fmt.Errorf("part %d on connection %d has no timer", p, h)
			}
		}
	}
	for h := uint32(1); h < m.queues.next; h++ {
		if q := m.queues.at(h); q.lane != 0 && (q.conns != conns[h] || q.serving != serving[h] || q.flying != flying[h]) {
			return fmt.Errorf("queue %d counts %d connections, %d serving, %d parts on them; they are %d, %d, %d", h, q.conns, q.serving, q.flying, conns[h], serving[h], flying[h])
		}
	}
	for h := uint32(1); h < m.hosts.next; h++ {
		if p := m.hosts.at(h); p.opening != opening[h] || p.calling != calling[h] {
			return fmt.Errorf("host %v counts %d connections on their way of %d not answered; they are %d of %d", p.key, p.opening, p.calling, opening[h], calling[h])
		}
	}
	return m.limits.Verify(used)
}

// checkParts: every part has one owner (S8) and a timer if it can expire.
func (m *Machine) checkParts() error {
	owned, listed := map[uint32]bool{}, map[uint32][2]int32{}
	own := func(p, q uint32, s partState) error {
		x := m.parts.at(p)
		if owned[p] || x.queue != q || x.state != s {
			return fmt.Errorf("part %d in queue %d has state %d and queue %d, owned already: %v (S8)", p, q, x.state, x.queue, owned[p])
		}
		owned[p] = true
		n := listed[m.queues.at(q).lane]
		n[x.kind()]++
		listed[m.queues.at(q).lane] = n
		if x.timer == noTimer && (s == partWaiting || m.expiry(x) < neverTime) {
			return fmt.Errorf("part %d in queue %d has no timer", p, q)
		}
		return nil
	}
	queued, ready := make([]int, len(m.names.bindings)), make([]int, len(m.names.bindings))
	for h := uint32(1); h < m.queues.next; h++ {
		q := m.queues.at(h)
		if q.lane == 0 {
			continue
		}
		for p := q.waiting.head; p != 0; p = m.parts.at(p).next {
			if err := own(p, h, partWaiting); err != nil {
				return err
			}
		}
		if err := m.checkReady(h, q, own); err != nil {
			return err
		}
		if err := m.checkAge(h, q); err != nil {
			return err
		}
		b := m.lanes.at(q.lane).key.binding
		queued[b] += int(q.waiting.n)
		ready[b] += int(q.ready.n)
	}
	flying := 0
	for h := uint32(1); h < m.conns.next; h++ {
		if c := m.conns.at(h); c.state != 0 {
			flying += int(c.held)
		}
	}
	if len(owned)+flying != m.parts.live {
		return fmt.Errorf("%d parts in queues and %d on connections, but %d live (S8)", len(owned), flying, m.parts.live)
	}
	for h := uint32(1); h < m.lanes.next; h++ {
		if l := m.lanes.at(h); l.policy != nil && l.listed != listed[h] {
			return fmt.Errorf("lane %d counts %v parts in its queues, named and by the group; they are %v", h, l.listed, listed[h])
		}
	}
	for b := range queued {
		if x := &m.names.bindings[b]; x.queued != queued[b] || x.ready != ready[b] {
			return fmt.Errorf("binding %s counts %d queued and %d ready; they are %d and %d", x.name, x.queued, x.ready, queued[b], ready[b])
		}
	}
	return nil
}

// checkWaiters: nobody waits who could go (L5), and nobody is forgotten: a queue with
// ready mail that wants a connection waits on something. Both hold when no work is left.
func (m *Machine) checkWaiters() error {
	if !m.idle() {
		return nil
	}
	for h := uint32(1); h < m.hosts.next; h++ {
		// At one that has proven nothing those may stand, too, who wait for a probe of its equal.
		if p := m.hosts.at(h); p.crowd.len() > 0 && p.proven && !p.crowded() {
			return fmt.Errorf("%d places in line at the host %v, which has room", p.crowd.len(), p.key)
		}
	}
	for h := uint32(1); h < m.queues.next; h++ {
		q := m.queues.at(h)
		if q.lane == 0 {
			continue
		}
		l := m.lanes.at(q.lane)
		if err := m.checkTokens(h, q, l); err != nil {
			return err
		}
		id := m.limits.WaitsOn(limit.WaiterID(h))
		if (id != 0) != (q.waitOn != 0) {
			return fmt.Errorf("queue %d waits on counter %d, its engine says %d", h, q.waitOn, id)
		}
		if id != 0 {
			if err := m.checkBlocked(h, q, l); err != nil {
				return err
			}
			continue
		}
		if q.ready.n == 0 || m.stopping || m.held || q.halted(l) || m.bindingOf(q).gone || q.gated ||
			m.wanted(q, l) <= int(q.serving) || l.timer != noTimer {
			continue
		}
		if !l.route.begun || l.route.asking {
			continue // the answer brings it on
		}
		if q.serving > 0 && q.is(leaning) {
			continue
		}
		b, d := m.laneNames(l)
		return fmt.Errorf("queue %s/%s has %d ready parts and %d of %d connections, and waits for nothing; hosts %+v", d, b, q.ready.n, q.serving, m.wanted(q, l), m.hostViews(m.now, l))
	}
	return nil
}

// checkBlocked: a queue that waits is blocked at every address it could go to.
func (m *Machine) checkBlocked(h uint32, q *queue, l *lane) error {
	if !l.route.begun || l.route.asking || q.is(thirsty) || m.wanted(q, l) <= int(q.serving) {
		return nil
	}
	hosts := l.route.hosts
	for i := range hosts {
		if hosts[i].preference != hosts[0].preference {
			hosts = hosts[:i]
			break
		}
	}
	probed := m.prober(hosts)
	for i := range hosts {
		if m.crowdAt(&hosts[i], probed) != 0 {
			continue
		}
		for k := hosts[i].from; k < hosts[i].to; k++ {
			a := &l.route.addrs[k]
			if m.failedUntil(a.place, hosts[i].tls) > m.now {
				continue
			}
			if m.closedGate(hosts[i].host, a.place) != 0 {
				continue
			}
			if m.dryBeside(q, m.faresOf(l, a)) {
				continue
			}
			turn := limit.Turn{Waiter: limit.WaiterID(h), Tenant: q.tenant, Poor: q.conns == 0}
			path := m.pathOf(l, a)
			if n := len(path); n > 0 {
				turn.From = path[n-1]
			}
			tolls := m.openingTolls(m.faresOf(l, a), m.nextSize(q))
			if _, ok := m.limits.Check(m.now, path, tolls, turn); ok {
				b, d := m.laneNames(l)
				return fmt.Errorf("queue %s/%s waits on %s, but its path has room everywhere (L5): %s", d, b, m.label(q.waitOn), m.pathText(path))
			}
		}
	}
	return nil
}

func (m *Machine) pathText(path []limit.CounterID) string {
	text := ""
	for _, id := range path {
		text += fmt.Sprintf("%s %+v; ", m.label(id), m.limits.State(id))
	}
	return text
}

// checkAge: the parts that a queue remembers as its oldest and its first to be due are its
// own, and it forgets them only when it has none.
func (m *Machine) checkAge(h uint32, q *queue) error {
	if p := q.eldest; p == 0 && q.ready.n+q.waiting.n > 0 || p != 0 && (m.parts.at(p).msg == 0 || m.parts.at(p).queue != h) {
		return fmt.Errorf("queue %d with %d parts has the oldest part %d", h, q.ready.n+q.waiting.n, p)
	}
	if p := q.first; (p == 0) != (q.waiting.n == 0) || p != 0 && (m.parts.at(p).state != partWaiting || m.parts.at(p).queue != h) {
		return fmt.Errorf("queue %d with %d parts that wait has the first part %d", h, q.waiting.n, p)
	}
	return nil
}
