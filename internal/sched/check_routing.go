package sched

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/limit"
)

// checkRouting recounts which connections are open on each lane and which lanes are
// counted under each name. A connection counts under its lane's routing domain, but
// while it is being moved there.
func (m *Machine) checkRouting() error {
	open, under, conns := map[uint32]int{}, map[uint32]int{}, map[uint32]int{}
	for h := uint32(1); h < m.conns.next; h++ {
		c := m.conns.at(h)
		if c.state == 0 {
			continue
		}
		l := m.lanes.at(c.lane)
		open[c.lane]++
		conns[l.key.domain]++
		on := append([]limit.CounterID(nil), c.permit.Path()...)
		for _, f := range c.fares {
			on = append(on, f.grant)
		}
		for _, id := range on {
			if k := m.limits.Key(id); k.Domain != "" && k.Domain != m.routingOf(l) && m.urgent.len() == 0 {
				b, d := m.laneNames(l)
				return fmt.Errorf("a connection of %s/%s counts on %s, and its routing domain is %s", d, b, m.label(id), m.routingOf(l))
			}
		}
	}
	for h := uint32(1); h < m.lanes.next; h++ {
		l := m.lanes.at(h)
		if l.policy == nil {
			continue
		}
		n := 0
		for c := l.open.head; c != 0; c = m.conns.at(c).lnext {
			if n++; m.conns.at(c).lane != h {
				return fmt.Errorf("lane %d lists connection %d of lane %d", h, c, m.conns.at(c).lane)
			}
		}
		if n != open[h] || n != int(l.open.n) {
			return fmt.Errorf("lane %d lists %d connections and counts %d; they are %d", h, n, l.open.n, open[h])
		}
		if l.routing != l.key.domain {
			under[l.routing]++
		}
	}
	if len(m.names.under) != len(under) || len(m.names.conns) != len(conns) {
		return fmt.Errorf("lanes are counted under %d other names, and %d domains have connections; they are %d and %d", len(m.names.under), len(m.names.conns), len(under), len(conns))
	}
	for h := range uint32(m.limits.Names()) {
		n := 0
		if x := m.names.under[h]; x != nil {
			n = int(x.n)
		}
		if n != under[h] || int(m.names.conns[h]) != conns[h] {
			return fmt.Errorf("%s counts %d lanes under it and %d connections; they are %d and %d", m.domainText(h), n, m.names.conns[h], under[h], conns[h])
		}
	}
	return nil
}
