package sched

// recall asks for the part back that has waited longest behind another one, since a
// connection of its queue has nothing to do: who knows how long the other one takes.
func (m *Machine) recall(q *queue, l *lane) {
	h := q.full.head
	if h == 0 || q.ready.n > 0 || m.held || q.halted(l) {
		return
	}
	c := m.conns.at(h)
	m.unlist(h, c)
	c.recalled = c.parts[1]
	m.emit(Recall{Conn: m.connID(h), Part: partID(c.recalled, m.parts.at(c.recalled).gen)})
}

// returned takes back a part that was not begun: it is ready again, before the others.
func (m *Machine) returned(ev Returned) {
	ch, c, ok := m.connOf(ev.Conn)
	h, p, live := m.partOf(ev.Part)
	if !ok || !live || p.conn != ch {
		return
	}
	if !ev.Sent {
		m.unspend(c, h)
		c.mails--
	}
	wanted := c.recalled == h
	m.takeBack(ch, h)
	m.putBack(h)
	if q := m.queues.at(c.queue); wanted {
		c.credit++ // its room is free again
		m.handOut(c.queue, q, m.lanes.at(c.lane), 0)
		m.touch(c.queue)
	}
	m.settle(ch)
}

// putBack makes a part ready again that was on a connection. One whose time is up ends: it
// would be handed out again at once, and asked back again.
func (m *Machine) putBack(h uint32) {
	p := m.parts.at(h)
	if m.now >= m.expiry(p) {
		m.expire(h)
		return
	}
	p.due = min(p.due, m.now)
	m.enter(h, true)
}
