package sched

import "fmt"

// checkServed recounts whom each connection serves: everything that it holds and that it
// is counted on is that queue's, and it is found idle at its host exactly when it is.
func (m *Machine) checkServed() error {
	idle := map[uint32]uint32{}
	for h := uint32(1); h < m.conns.next; h++ {
		c := m.conns.at(h)
		if c.state == 0 {
			continue
		}
		if err := m.checkServes(h, c); err != nil {
			return err
		}
		if c.in == inIdle {
			idle[c.host]++
		}
		if c.spent && !c.retiring || c.bides && (c.held > 0 || c.timer == noTimer) {
			return fmt.Errorf("connection %d: turn over %v, retiring %v, waits to pass on %v with %d parts", m.connID(h), c.spent, c.retiring, c.bides, c.held)
		}
	}
	for h := uint32(1); h < m.hosts.next; h++ {
		x := m.hosts.at(h)
		n := uint32(0)
		for ch := x.idle.head; ch != 0; ch = m.conns.at(ch).low {
			if c := m.conns.at(ch); c.in != inIdle || c.host != h || c.held > 0 {
				return fmt.Errorf("connection %d is listed as idle at the host %v, and is not", m.connID(ch), x.key)
			}
			n++
		}
		if n != x.idle.n || n != idle[h] {
			return fmt.Errorf("host %v lists %d idle connections and counts %d; they are %d", x.key, n, x.idle.n, idle[h])
		}
	}
	return nil
}

func (m *Machine) checkServes(h uint32, c *conn) error {
	q := m.queues.at(c.queue)
	if q.lane == 0 || q.lane != c.lane {
		return fmt.Errorf("connection %d serves queue %d on lane %d; the queue is on lane %d", m.connID(h), c.queue, c.lane, q.lane)
	}
	for _, p := range c.parts[:c.held] {
		if x := m.parts.at(p); x.queue != c.queue {
			return fmt.Errorf("connection %d serves queue %d and holds part %d of queue %d", m.connID(h), c.queue, p, x.queue)
		}
	}
	l := m.lanes.at(c.lane)
	host := m.hosts.at(c.host)
	if host.key.binding != l.key.binding {
		return fmt.Errorf("connection %d of binding %d serves binding %d", m.connID(h), host.key.binding, l.key.binding)
	}
	for _, id := range c.permit.Path() { // of its routing domain: checkRouting
		if k := m.limits.Key(id); k.Host != "" && k.Host != host.key.host {
			return fmt.Errorf("connection %d leads to %s and counts on %s", m.connID(h), host.key.host, m.label(id))
		}
	}
	return nil
}
