package sched

import (
	"math"
	"slices"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// fare is one throttle that the acts of a connection are counted on.
//
// The tokens of a connection and of its first message are taken with the permit (grant):
// without them none is opened. But the receiver counts a message when it comes, and one
// session takes longer to come about than another; so every message is counted once more
// when it is handed out (sent), at the same rate: tokens of different ages never meet.
type fare struct {
	grant limit.CounterID
	sent  limit.CounterID // 0: it counts connections
	own   bool            // of the host or its address
	act   policy.Act
}

// cost is what a message of n recipients costs.
func (f *fare) cost(n int32) int32 {
	if f.act == policy.ActRecipients {
		return n
	}
	return 1
}

// fares is the throttles of a connection from a lane to an address of a host, most
// specific first. Each is referred to once more.
func (m *Machine) fares(l *lane, host, place uint32) []fare {
	names := m.laneText(l)
	return m.faresBy(l, host, place, func(x *policy.Throttle, sent bool, generation uint64) limit.CounterID {
		k := throttleKey(x, names, m.hosts.at(host).key.host, &m.places.at(place).key)
		k.Sent = sent
		return m.throttle(x, k, generation)
	})
}

// faresBy is the same with buckets as find gives them.
func (m *Machine) faresBy(l *lane, host, place uint32, find func(x *policy.Throttle, sent bool, generation uint64) limit.CounterID) (out []fare) {
	hs, pl := m.hosts.at(host), m.places.at(place)
	add := func(all []policy.Throttle, own bool, generation uint64) {
		for i := range all {
			x := &all[i]
			f := fare{grant: find(x, false, generation), own: own, act: x.Act}
			if slices.ContainsFunc(out, func(o fare) bool { return o.grant == f.grant }) {
				m.releaseFares([]fare{f})
				continue
			}
			if x.Act != policy.ActConnections {
				f.sent = find(x, true, generation)
			}
			out = append(out, f)
		}
	}
	add(hs.known[pl.key.addr].throttles, true, hs.generation)
	if hs.policy != nil {
		add(hs.policy.Throttles, true, hs.generation)
	}
	add(l.policy.Throttles, false, l.generation)
	return out
}

func throttleKey(x *policy.Throttle, l laneText, host string, p *placeKey) limit.Key {
	return keyOf(&policy.Limit{Option: x.Option, By: x.By, Origin: x.Origin}, l, host, p)
}

func rateOf(r policy.Rate) limit.Rate {
	return limit.Rate{N: int64(r.N), Per: int64(r.Per), Burst: int64(r.Burst)}
}

// throttle finds or creates a throttle. The newest generation that names it sets its rate;
// what it owes it keeps.
func (m *Machine) throttle(x *policy.Throttle, k limit.Key, generation uint64) limit.CounterID {
	id, fresh := m.limits.Throttle(k, rateOf(x.Rate))
	by := sourceKey{throttle: x, generation: generation}
	switch {
	case fresh:
		m.setSource(id, by, true)
	case generation > m.sourceOf(id).generation:
		m.setSource(id, by, false)
		if m.limits.State(id).Rate != rateOf(x.Rate) {
			m.limits.SetRate(m.now, id, rateOf(x.Rate))
		}
	}
	return id
}

// slow slows the throttle of a key down at once if the new configuration has it slower.
func (m *Machine) slow(x *policy.Throttle, k limit.Key, generation uint64) {
	for _, k.Sent = range [...]bool{false, true} {
		id, ok := m.limits.Lookup(k)
		if !ok {
			continue
		}
		old, r := m.limits.State(id).Rate, rateOf(x.Rate)
		if old.N == 0 || perSecond(r) < perSecond(old) || r.Burst < old.Burst {
			m.setSource(id, sourceKey{throttle: x, generation: generation}, false)
			m.limits.SetRate(m.now, id, r)
		}
	}
}

func perSecond(r limit.Rate) float64 { return float64(r.N) * 1e9 / float64(r.Per) }

func (m *Machine) releaseFares(fares []fare) {
	for _, f := range fares {
		if f.grant&ownSlot == 0 {
			m.limits.Release(f.grant)
		}
		if f.sent != 0 && f.sent&ownSlot == 0 {
			m.limits.Release(f.sent)
		}
	}
}

// ride puts a connection on throttles; the tokens of its next message, of n recipients, have
// been taken just now.
func (m *Machine) ride(c *conn, fares []fare, n int32) {
	for _, f := range fares {
		m.limits.Retain(f.grant)
		if f.sent != 0 {
			m.limits.Retain(f.sent)
		}
	}
	m.releaseFares(c.fares)
	if c.fares = slices.Clone(fares); c.metered() {
		c.paid, c.paidAt = n, m.now
	}
}

// nextSize is how many recipients the next ready part of a queue has.
func (m *Machine) nextSize(q *queue) int32 { return int32(m.size(m.parts.at(m.nextReady(q)))) }

// pace is how many messages a second the rates let through to a route, 0 if they do not
// bound it: the slowest rate of the queue's own, and no more than all hosts' together.
func (m *Machine) pace(r *site) float64 {
	least, hosts := math.Inf(1), 0.0
	for i := range r.hosts {
		best := 0.0
		for k := r.hosts[i].from; k < r.hosts[i].to; k++ {
			own := math.Inf(1)
			for _, f := range r.addrs[k].fares {
				switch rate := m.siteRate(r, f.grant); {
				case f.sent == 0:
				case f.own:
					own = min(own, perSecond(rate))
				default:
					least = min(least, perSecond(rate))
				}
			}
			best = max(best, own)
		}
		hosts += best
	}
	if least = min(least, hosts); math.IsInf(least, 1) {
		return 0
	}
	return least
}

// siteRate is the rate of a throttle at a site; of one that each lane has for itself, as the
// policy says.
func (m *Machine) siteRate(s *site, id limit.CounterID) limit.Rate {
	if id&ownSlot != 0 {
		return rateOf(s.slots[id&^ownSlot].throttle.Rate)
	}
	return m.limits.State(id).Rate
}

// busy is how many connections the rates can keep busy at most, with one to spare: the
// message rate times the time that a message takes, the opening of its connection included.
func (l *lane) busy() int {
	if l.route.pace == 0 {
		return math.MaxInt32
	}
	return int(min(math.Ceil(l.route.pace*float64(l.service)/1e9), 1e9)) + 1
}

// paced takes note of how long a message took. When that changes how many connections the
// rates can keep busy, every queue of the lane is looked at.
func (m *Machine) paced(l *lane, ns int64) {
	if l.route.pace == 0 {
		return
	}
	before := l.busy()
	if m.needMore(l).takes(ns); l.busy() != before {
		m.stirLane(l, true)
	}
}

// takes has the mean time that a message takes follow one more sample.
func (l *laneMore) takes(ns int64) {
	if l.service == 0 {
		l.service = max(ns, 1)
		return
	}
	l.service = max(l.service+(ns-l.service)/8, 1)
}

// openingTolls is what a connection costs that is opened for a message of n recipients.
func (m *Machine) openingTolls(fares []fare, n int32) []limit.Toll {
	m.tolls = m.tolls[:0]
	for i := range fares {
		f := &fares[i]
		m.tolls = append(m.tolls, limit.Toll{Throttle: f.grant, N: f.cost(n)})
	}
	return m.tolls
}

// messageTolls is what a message of n recipients costs on a connection that has tokens
// for a message of paid recipients; paid 0: for none.
func (m *Machine) messageTolls(fares []fare, paid, n int32) []limit.Toll {
	m.tolls = m.tolls[:0]
	for i := range fares {
		f := &fares[i]
		if f.sent == 0 {
			continue
		}
		more := f.cost(n)
		if paid > 0 {
			more -= f.cost(paid)
		}
		if more > 0 {
			m.tolls = append(m.tolls, limit.Toll{Throttle: f.grant, N: more})
		}
		m.tolls = append(m.tolls, limit.Toll{Throttle: f.sent, N: f.cost(n)})
	}
	return m.tolls
}

// pay takes the tokens of the part that the connection is about to be given, all or none.
func (m *Machine) pay(c *conn, q *queue, part uint32) (limit.Blocker, bool) {
	if len(c.fares) == 0 {
		return limit.Blocker{}, true
	}
	n := int32(m.size(m.parts.at(part)))
	t := limit.Turn{Tenant: q.tenant}
	own := m.turn != 0 && m.handing == c.queue
	if own {
		t.Waiter, t.From = limit.WaiterID(c.queue), m.turn
	}
	tolls := m.messageTolls(c.fares, c.paid, n)
	if len(tolls) == 0 {
		return limit.Blocker{}, true
	}
	if b, ok := m.limits.Spend(m.now, tolls, t); !ok {
		return b, false
	}
	if own {
		m.turn = 0
	}
	m.grantedTolls(tolls)
	if c.paid > n {
		m.limits.Refund(m.now, c.paidAt, m.grantTolls(c.fares, c.paid, n))
	}
	c.paid = 0
	return limit.Blocker{}, true
}

// grantTolls is what a message of paid recipients has cost beyond one of n, n 0 being none.
func (m *Machine) grantTolls(fares []fare, paid, n int32) []limit.Toll {
	m.tolls = m.tolls[:0]
	for i := range fares {
		f := &fares[i]
		if f.sent == 0 {
			continue
		}
		back := f.cost(paid)
		if n > 0 {
			back -= f.cost(n)
		}
		m.tolls = append(m.tolls, limit.Toll{Throttle: f.grant, N: back})
	}
	return m.tolls
}

func (m *Machine) grantedTolls(tolls []limit.Toll) {
	for _, x := range tolls {
		m.needUse(x.Throttle).grants.add(m.now, uint32(x.N))
	}
}

// unpay gives back the tokens of a first message that the connection will not carry.
func (m *Machine) unpay(c *conn) {
	if c.paid > 0 {
		m.limits.Refund(m.now, c.paidAt, m.grantTolls(c.fares, c.paid, 0))
		c.paid = 0
	}
}

// unspend gives back the tokens of a part of which nothing was sent.
func (m *Machine) unspend(c *conn, part uint32) {
	if c.metered() {
		m.limits.Refund(m.now, c.began, m.messageTolls(c.fares, 0, int32(m.size(m.parts.at(part)))))
	}
}

// metered reports whether messages on the connection are counted by a rate. They are
// given one at a time: one that was handed out ahead would be counted before its time.
func (c *conn) metered() bool {
	return slices.ContainsFunc(c.fares, func(f fare) bool { return f.sent != 0 })
}

// setFares puts an open connection on the throttles that hold for it now. What it has paid
// elsewhere does not count here.
func (m *Machine) setFares(c *conn) {
	now := m.fares(m.lanes.at(c.lane), c.host, c.place)
	if slices.Equal(now, c.fares) {
		m.releaseFares(now)
		return
	}
	m.unpay(c)
	m.releaseFares(c.fares)
	c.fares = now
}
