package sched

import (
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
)

// A gate stands before a host that says we come too often, a binding whose address is
// in trouble, or the whole machine when it has no files or ports left. It is shut for
// a time that doubles with each failure in a row; then it lets one connection try at a
// time. Trouble of our own is over when one succeeds; a host is asked one by one until it
// has refused nothing for forgetGate. Queues wait in its line and are woken; none polls.
//
// Before a busy host it never bars the number of connections that the host has shown it
// bears: those that stood when it refused one more. What they deliver says nothing about
// another one, so only connections beyond them try, one at a time, and each that is kept
// raises the number.
const (
	firstPause = int64(time.Second)
	longPause  = int64(time.Minute)
	forgetGate = int64(15 * time.Minute)
)

type gate struct {
	since   int64 // when it was shut first
	until   int64 // shut at least so long
	armed   int64 // when it was shut last
	reply   mail.Reply
	subject string
	line    fifo[gatePlace]
	route   uint32 // its owner is this host for one family, to which there is no route or no port
	family  int    // then: 0 IPv4, 1 IPv6
	address bool   // the binding's address is not on this machine: it is out of order
	timer   uint32
	trying  uint32 // the connection that tries
	host    uint32 // its owner, or
	binding uint32 // its owner; neither: the machine
	level   int    // failures in a row
	bears   int    // of a host: so many connections at once are not held up
	flush   int    // so many in line are woken although it is shut
	waking  bool
	live    bool
}

// gatePlace is a queue's place in the line, void once its epoch has moved on.
type gatePlace struct{ queue, epoch uint32 }

// worn reports whether a busy host has had more patience than mail should wait for.
func (g *gate) worn(now int64) bool {
	return g.host != 0 && g.level > 0 && now-g.since >= busyPatience
}

func (g *gate) closed(now int64) bool { return g.level > 0 && (now < g.until || g.trying != 0) }

// barred reports whether nobody may pass the gate now.
func (m *Machine) barred(g *gate) bool {
	return g.closed(m.now) && (g.host == 0 || m.hosts.at(g.host).conns >= g.bears)
}

// gateOf returns the handle kept in slot, making the gate when there is none.
func (m *Machine) gateOf(slot *uint32, g gate) uint32 {
	if *slot == 0 {
		*slot = m.gates.alloc()
		g.live = true
		*m.gates.at(*slot) = g
	}
	return *slot
}

// shutOut lines the queue up at a gate that is closed.
func (m *Machine) shutOut(h, g uint32) bool {
	if g == 0 || !m.barred(m.gates.at(g)) {
		return false
	}
	m.limits.Cancel(limit.WaiterID(h))
	m.waitGate(h, g)
	return true
}

func (m *Machine) waitGate(h, g uint32) {
	q := m.queues.at(h)
	x := m.gates.at(g)
	if !q.gated {
		q.gated, q.before = true, x.cause()
	}
	x.line.push(gatePlace{h, q.epoch})
}

// cause is what those wait for who stand before the gate.
func (g *gate) cause() uint8 {
	switch {
	case g.host != 0:
		return uint8(causeBusy)
	case g.route != 0:
		return uint8(causeRoute)
	case g.binding != 0:
		return uint8(causeBinding)
	}
	return uint8(causeServer)
}

// shutGate closes a gate after a failure, for longer each time. Connections that were
// begun before it was last shut tell nothing new.
func (m *Machine) shutGate(h, conn uint32, c *conn, reply mail.Reply) {
	g := m.gates.at(h)
	if g.trying == conn {
		g.trying = 0
	} else if g.level > 0 && c.started <= g.armed {
		return
	}
	if g.level++; g.level == 1 {
		g.since = m.now
		m.emit(Log{Level: Warn, Subject: g.subject, Text: fmt.Sprintf("new connections wait: %s", reply)})
	}
	g.reply, g.armed = reply, m.now
	if g.host != 0 {
		g.bears = m.hosts.at(g.host).open
		if c.opened && !c.fruitful {
			g.bears-- // itself has been of no use
		}
	}
	g.until = onTick(m.now + m.jitter(backoff(firstPause, longPause, g.level)))
	m.wheel.cancel(&g.timer)
	g.timer = m.wheel.set(g.until, timerGate, h)
	if g.worn(m.now) {
		g.flush = g.line.len() // they are to be deferred now
		m.wakeGate(h)
	}
}

// gateTimer: the pause is over, one connection may try. When nobody does for long, the
// gate is forgotten.
func (m *Machine) gateTimer(h uint32) {
	g := m.gates.at(h)
	g.timer = noTimer
	if forget := g.until + forgetGate; m.now < forget {
		g.timer = m.wheel.set(forget, timerGate, h)
	} else if g.trying == 0 && (g.line.len() == 0 || g.host != 0) {
		m.openGate(h)
	}
	m.wakeGate(h)
}

func (m *Machine) wakeGate(h uint32) {
	if g := m.gates.at(h); !g.waking {
		g.waking = true
		m.waked.push(h)
	}
}

// nextWaked wakes one of those who wait at a gate; when the first one tries, the
// others stay in line.
func (m *Machine) nextWaked() bool {
	if m.waked.len() == 0 {
		return false
	}
	h := *m.waked.front()
	g := m.gates.at(h)
	if g.line.len() == 0 || m.barred(g) && g.flush == 0 {
		g.waking = false
		m.waked.pop()
		if g.level == 0 && g.line.len() == 0 {
			m.freeGate(h)
		}
		return true
	}
	p, _ := g.line.pop()
	g.flush = max(g.flush-1, 0)
	if m.waitsHere(p) {
		m.unwait(p.queue)
		m.kick(p.queue, 0)
	}
	return true
}

// waitsHere reports whether a place in a line is still good.
func (m *Machine) waitsHere(p gatePlace) bool {
	q := m.queues.at(p.queue)
	return q.lane != 0 && q.gated && q.epoch == p.epoch
}

func (m *Machine) freeGate(h uint32) {
	g := m.gates.at(h)
	if !g.live {
		return
	}
	m.wheel.cancel(&g.timer)
	switch {
	case g.host != 0:
		m.hosts.at(g.host).gate = 0
		m.useHost(g.host, 0)
	case g.route != 0:
		m.hosts.at(g.route).family[g.family] = 0
		m.useHost(g.route, 0)
	case g.binding != 0:
		m.names.bindings[g.binding].gate = 0
	default:
		m.gate = 0
	}
	*g = gate{}
	m.gates.release(h)
}

// connGates are the gates that a connection passes; the last one is the host's.
func (m *Machine) connGates(c *conn) [4]uint32 {
	b := &m.names.bindings[m.lanes.at(c.lane).key.binding]
	x := m.hosts.at(c.host)
	return [4]uint32{m.gate, b.gate, x.family[family(m.places.at(c.place))], x.gate}
}

// family is 0 for an IPv4 address, 1 for IPv6.
func family(p *place) int {
	if p.key.addr.Is4() || p.key.addr.Is4In6() {
		return 0
	}
	return 1
}

// gateTry makes a connection the one that tries gates that are not open yet.
func (m *Machine) gateTry(h uint32, c *conn) {
	for _, g := range m.connGates(c) {
		if g == 0 || m.gates.at(g).level == 0 {
			continue
		}
		if x := m.gates.at(g); x.host == 0 || m.hosts.at(x.host).conns > x.bears {
			x.trying = h
			c.extra = x.host != 0
		}
	}
}

// gateOpens: a session came about, so our own side is in order. Whether the host bears
// more of us shows when it has taken mail or kept the session (gateDone).
func (m *Machine) gateOpens(h uint32, c *conn) {
	gates := m.connGates(c)
	for _, g := range gates[:3] {
		if g != 0 && c.started > m.gates.at(g).armed { // what was begun before says nothing
			m.openGate(g)
		}
	}
	m.gateDone(h, c)
}

func (m *Machine) openGate(h uint32) {
	g := m.gates.at(h)
	if g.level > 0 {
		m.emit(Log{Level: Info, Subject: g.subject, Text: "connections are opened again"})
	}
	g.level, g.trying, g.until = 0, 0, 0
	m.wheel.cancel(&g.timer)
	m.wakeGate(h)
}

// gateDone: the connection that tried ended without saying anything about the gate;
// another may try.
func (m *Machine) gateDone(h uint32, c *conn) {
	for _, g := range m.connGates(c) {
		if g != 0 && m.gates.at(g).trying == h {
			m.gates.at(g).trying = 0
			m.wakeGate(g)
		}
	}
}

// hostBusy shuts the gate before a host that wants fewer connections from a binding.
func (m *Machine) hostBusy(h uint32, c *conn, reply mail.Reply) {
	x := m.hosts.at(c.host)
	g := m.gateOf(&x.gate, gate{host: c.host, subject: hostSubject(x, &m.names.bindings[x.key.binding])})
	m.shutGate(g, h, c, reply)
	m.gateDone(h, c) // the other gates
}

func hostSubject(x *host, b *binding) string {
	return fmt.Sprintf("host %s from binding %s", x.key.host, b.name)
}

// hostBears: a host has taken mail over a connection. When that was begun after the last
// refusal the host is still there for us; when it was one more than before, pauses can
// be short again.
func (m *Machine) hostBears(c *conn) {
	x := m.hosts.at(c.host)
	if x.gate == 0 {
		return
	}
	if g := m.gates.at(x.gate); g.level > 0 && c.started > g.armed {
		g.since = m.now
		if c.extra {
			g.level = 1
		}
	}
}

// othersAtGate reports whether a queue other than q waits for a connection to the host.
func (m *Machine) othersAtGate(host, q uint32) bool {
	g := m.hosts.at(host).gate
	if g == 0 || m.gates.at(g).line.len() == 0 {
		return false
	}
	first := *m.gates.at(g).line.front()
	return first.queue != q && m.waitsHere(first)
}

// busyTooLong reports whether all hosts of a queue without connections (shut holds
// their gates) have been busy for longer than busyPatience.
func (m *Machine) busyTooLong(q *queue) bool {
	for _, g := range m.shut {
		if !m.gates.at(g).worn(m.now) {
			return false
		}
	}
	return len(m.shut) > 0 && q.serving == 0
}

// refuseAll reports whether all hosts of one preference (shut holds their gates) have refused
// every connection for longer than busyPatience, and nothing else keeps the queue from them.
func (m *Machine) refuseAll(q *queue) bool {
	if len(m.cand)+len(m.full)+len(m.crowds) > 0 || !m.busyTooLong(q) {
		return false
	}
	for _, g := range m.shut {
		if x := m.gates.at(g); x.host == 0 || x.bears > 0 {
			return false
		}
	}
	return true
}

// localTrouble is trouble of our own: no attempt is counted and no host is marked.
func (m *Machine) localTrouble(h uint32, c *conn, class ConnectClass, reply mail.Reply) {
	l := m.lanes.at(c.lane)
	b := &m.names.bindings[l.key.binding]
	var g uint32
	switch class {
	case ConnectLocalRoute, ConnectLocalPorts: // to this host: others may have them, and its other family
		f, x := family(m.places.at(c.place)), m.hosts.at(c.host)
		g = m.gateOf(&x.family[f], gate{route: c.host, family: f, subject: hostSubject(x, b)})
	case ConnectLocalAddress:
		g = m.gateOf(&b.gate, gate{binding: l.key.binding, subject: "binding " + b.name})
		m.gates.at(g).address = true
	default:
		g = m.gateOf(&m.gate, gate{subject: "server"})
	}
	if reply.IsZero() {
		reply.Text = class.String()
	}
	m.shutGate(g, h, c, reply)
	m.gateDone(h, c)
	if class == ConnectLocalAddress {
		m.askRebind(l)
	}
}
