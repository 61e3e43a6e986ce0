package sched

import (
	"github.com/sluice-mta/sluice/internal/mail"
)

// closed: the receiver has let go. Only now does the permit return (S4).
func (m *Machine) closed(ev *Closed) {
	h, c, ok := m.connOf(ev.Conn)
	if !ok {
		return
	}
	m.answered(c)
	m.unlist(h, c)
	m.wheel.cancel(&c.timer)
	for c.held > 0 { // S9 forbids it: rather sent again than lost
		part := c.parts[c.held-1]
		m.takeBack(h, part)
		m.putBack(part)
	}
	qh := c.queue
	q := m.queues.at(qh)
	if !c.retiring {
		m.retire(c, q)
	}
	m.ended(h, c, ev.Class, ev.Reply)
	m.limits.Return(&c.permit)
	m.releaseFares(c.fares)
	m.loses(q)
	x := m.hosts.at(c.host)
	if c.opened {
		x.open--
	}
	if x.conns == 1 {
		x.width = 0
	}
	if x.gate != 0 {
		m.wakeGate(x.gate) // a slot that the host bears is free
	}
	m.wakeCrowd(c.host)
	m.count(h, c, -1)
	*c = conn{gen: c.gen}
	m.conns.release(h)
	if q.conns == 0 && q.waitOn != 0 {
		m.replace(qh) // it holds nothing any more: a reserve is open to it
	}
	m.touch(qh)
}

// count books a connection on the views' figures.
func (m *Machine) count(h uint32, c *conn, by int) {
	l := m.lanes.at(c.lane)
	if by > 0 {
		m.openList(&m.needMore(l).open).push(h)
	} else {
		m.openList(&l.open).remove(h)
		m.noDoubt(l, c)
		m.tidy(l)
	}
	m.names.bindings[l.key.binding].conns += by
	m.connsTo(l.key.domain, by)
	m.hosts.at(c.host).conns += by
	m.places.at(c.place).conns += by
	m.useHost(c.host, by)
	m.usePlace(c.place, by)
}

// ended draws the consequences of how a connection ended.
func (m *Machine) ended(h uint32, c *conn, class ConnectClass, reply mail.Reply) {
	if c.failed {
		return // ConnectFailed has said it
	}
	switch {
	case class == ConnectOK && (c.fruitful || c.state == connClosing), class == ConnectAborted:
		m.gateDone(h, c)
	case c.state == connDialing:
		m.connectTrouble(h, c, class, reply)
	case class == ConnectHost && c.delivered == 0 && m.hosts.at(c.host).open == 1:
		// It opened, took nothing, and fell silent or was lost, and no other session shows
		// that the host is in order: the next one has its turn.
		m.connectTrouble(h, c, class, reply)
	case class == ConnectBusy || !c.fruitful:
		// It opened and ended without a single outcome: coming back at once might go on for
		// ever.
		m.hostBusy(h, c, reply)
	default:
		m.gateDone(h, c)
	}
}
