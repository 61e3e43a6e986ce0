package sched

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Counters that are counted by the routing domain are each lane's own. A site says which there
// are (slots); the lane holds them.

const ownSlot = limit.CounterID(1) << 31

// slot is a counter or a bucket of a throttle that is counted by the routing domain.
type slot struct {
	limit       *policy.Limit
	throttle    *policy.Throttle
	sent        bool
	host, place uint32
	generation  uint64
}

// ownRest holds a lane's own counters but the first.
type ownRest struct {
	ids  [3]limit.CounterID
	next uint32
}

func (m *Machine) ownOf(l *lane, id limit.CounterID) limit.CounterID {
	if id&ownSlot == 0 {
		return id
	}
	k := int(id &^ ownSlot)
	if k == 0 {
		return l.own
	}
	h := l.ownRest
	for k--; k >= len(ownRest{}.ids); k -= len(ownRest{}.ids) {
		h = m.rests.at(h).next
	}
	return m.rests.at(h).ids[k]
}

// setOwn finds or makes the lane's own counters at its site.
func (m *Machine) setOwn(l *lane) {
	names := m.laneText(l)
	tail := &l.ownRest
	for k := range l.route.slots {
		id := m.slotCounter(&l.route.slots[k], names)
		if k == 0 {
			l.own = id
			continue
		}
		i := (k - 1) % len(ownRest{}.ids)
		if i == 0 {
			*tail = m.rests.alloc()
			*m.rests.at(*tail) = ownRest{}
		}
		rest := m.rests.at(*tail)
		if rest.ids[i] = id; i == len(rest.ids)-1 {
			tail = &rest.next
		}
	}
}

func (m *Machine) slotCounter(x *slot, names laneText) limit.CounterID {
	host, place := "", (*placeKey)(nil)
	if x.host != 0 {
		host, place = m.hosts.at(x.host).key.host, &m.places.at(x.place).key
	}
	if x.throttle == nil {
		return m.counter(x.limit, keyOf(x.limit, names, host, place), x.generation)
	}
	k := throttleKey(x.throttle, names, host, place)
	k.Sent = x.sent
	return m.throttle(x.throttle, k, x.generation)
}

// owned is a lane's own counters, to be released.
type owned struct {
	first limit.CounterID
	rest  uint32
	n     int
}

func (m *Machine) takeOwn(l *lane) owned {
	o := owned{l.own, l.ownRest, len(l.route.slots)}
	l.own, l.ownRest = 0, 0
	return o
}

func (m *Machine) releaseOwn(o owned) {
	if o.n > 0 {
		m.limits.Release(o.first)
	}
	for h, left := o.rest, o.n-1; h != 0; left -= len(ownRest{}.ids) {
		x := *m.rests.at(h)
		for _, id := range x.ids[:min(left, len(x.ids))] {
			m.limits.Release(id)
		}
		m.rests.release(h)
		h = x.next
	}
}

// most is the smallest limit on the lane's widest path; limit.Unlimited if there is none. A
// limit that counts by domain holds for all hosts.
func (m *Machine) most(l *lane) int {
	most := l.route.most
	for k := range l.route.slots {
		if l.route.slots[k].throttle != nil {
			continue
		}
		if n := m.limits.Limit(m.ownOf(l, ownSlot|limit.CounterID(k))); most == limit.Unlimited || n < most {
			most = n
		}
	}
	return most
}

// slot finds or adds a slot. Of two that are counted alike the first one holds.
func (s *site) slot(x slot, by policy.By, host, place uint32) limit.CounterID {
	if by&byHost != 0 {
		x.host, x.place = host, place
	}
	k := slices.IndexFunc(s.slots, func(y slot) bool { return x.alike(&y) })
	if k < 0 {
		k = len(s.slots)
		s.slots = append(s.slots, x)
	}
	return ownSlot | limit.CounterID(k)
}

func (x *slot) alike(y *slot) bool {
	if (x.throttle == nil) != (y.throttle == nil) || x.sent != y.sent || x.host != y.host || x.place != y.place {
		return false
	}
	a, b := x.key(), y.key()
	return a == b
}

// key is what the slot counts together, whatever the names.
func (x *slot) key() limit.Key {
	if x.throttle != nil {
		return throttleKey(x.throttle, laneText{}, "", nil)
	}
	return keyOf(x.limit, laneText{}, "", nil)
}
