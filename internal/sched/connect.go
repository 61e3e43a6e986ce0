package sched

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
)

// busyPatience is how long a queue bears that every host it may use says "too many
// connections" before its mail is deferred for it, visibly: an attempt is counted.
const busyPatience = int64(5 * time.Minute)

// choice is an address that a connection could be opened to.
type choice struct {
	host *routeHost
	addr *routeAddr
}

// connect opens one connection for the queue, or lines it up at what blocks it, or,
// when every host has failed, concludes a ready part. from is as in kick.
//
// Only hosts of the best preference that is not failed altogether are looked at: that
// they are full or busy never leads to a worse one.
func (m *Machine) connect(h uint32, from limit.CounterID) {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	if m.shutOut(h, m.gate) {
		return
	}
	if g := m.names.bindings[l.key.binding].gate; m.shutOut(h, g) {
		if m.gates.at(g).address {
			m.askRebind(l)
		}
		return
	}
	turn := m.asks(h, from)
	hosts := l.route.hosts
	n := m.nextSize(q)
	m.missed, m.refused = m.missed[:0], m.refused[:0]
	for i := 0; i < len(hosts); {
		j := i + 1
		for j < len(hosts) && hosts[j].preference == hosts[i].preference {
			j++
		}
		base, healthy := m.choose(l, hosts[i:j], n, turn)
		if healthy && j < len(hosts) && base.Counter == 0 && m.refuseAll(q) {
			healthy = false // what they say is no fullness any more: the next ones
			m.refused = append(m.refused, m.shut...)
		}
		switch {
		case healthy && m.takeOver(h, l, hosts[i:j], n, turn):
			return
		case len(m.cand) > 0:
			m.dial(h, m.lightest(), n, turn)
			return
		case healthy:
			m.await(h, base, turn)
			return
		}
		i = j
	}
	m.limits.Cancel(turn.Waiter)
	if m.bides(l) {
		m.missBetter(h)
		return
	}
	class, reply := m.hostsFailed(l)
	m.failHead(h, class, reply)
}

// choose sorts the addresses of hosts with an equal preference into those that can be
// had now (cand), the counters and throttles of those that are full (full), the gates of those that
// are busy (shut), and those to which enough connections are being opened (crowds). base
// is a counter or throttle that blocks whatever the host. n is the recipients of the message
// that is to go. healthy says that not all have failed.
func (m *Machine) choose(l *lane, hosts []routeHost, n int32, turn limit.Turn) (base limit.Blocker, healthy bool) {
	m.cand, m.full, m.shut, m.crowds = m.cand[:0], m.full[:0], m.shut[:0], m.crowds[:0]
	m.way = m.way[:0]
	probed := m.prober(hosts)
	for i := range hosts {
		rh := &hosts[i]
		for k := rh.from; k < rh.to; k++ {
			a := &l.route.addrs[k]
			if m.failedUntil(a.place, rh.tls) > m.now {
				m.missed = append(m.missed, a.place)
				continue
			}
			healthy = true
			if g := m.closedGate(rh.host, a.place); g != 0 {
				m.shut = append(m.shut, g)
				continue
			}
			if at := m.crowdAt(rh, probed); at != 0 {
				for _, x := range [...]uint32{at, rh.host} { // it may be proven before its prober is
					if !slices.Contains(m.crowds, x) {
						m.crowds = append(m.crowds, x)
					}
				}
				break
			}
			fares := m.faresOf(l, a)
			if b, lacks := m.dryAt(fares); lacks {
				m.full = append(m.full, b)
				continue
			}
			path := m.pathOf(l, a)
			b, ok := m.limits.Check(m.now, path, m.openingTolls(fares, n), turn)
			if !ok && len(m.way) == 0 {
				m.way = append(m.way, path...)
			}
			switch {
			case ok:
				m.cand = append(m.cand, choice{rh, a})
			case isOwn(path[:a.own], fares, b.Counter):
				m.full = append(m.full, b)
			default:
				base = b
			}
		}
	}
	return base, healthy
}

// closedGate is the gate that keeps mail from an address of a host at this moment, 0 if none.
func (m *Machine) closedGate(host, place uint32) uint32 {
	x := m.hosts.at(host)
	for _, g := range [...]uint32{x.family[family(m.places.at(place))], x.gate} {
		if g != 0 && m.barred(m.gates.at(g)) {
			return g
		}
	}
	return 0
}

// isOwn reports whether a counter or throttle is the host's own.
func isOwn(path []limit.CounterID, fares []fare, id limit.CounterID) bool {
	return slices.Contains(path, id) || slices.ContainsFunc(fares, func(f fare) bool { return f.own && f.grant == id })
}

// failedUntil is how long an address is left alone by those with the given TLS needs.
func (m *Machine) failedUntil(h uint32, tls TLS) int64 {
	p := m.places.at(h)
	return max(p.failed, p.tlsFailed.of(tls))
}

// lightest picks the candidate with the fewest connections, at random among equals.
func (m *Machine) lightest() choice {
	best, n := 0, 1
	for i := 1; i < len(m.cand); i++ {
		a, b := m.places.at(m.cand[i].addr.place).conns, m.places.at(m.cand[best].addr.place).conns
		switch {
		case a < b:
			best, n = i, 1
		case a == b:
			if n++; m.rng.IntN(n) == 0 {
				best = i
			}
		}
	}
	return m.cand[best]
}

// dial takes the permit and opens the connection.
func (m *Machine) dial(h uint32, x choice, n int32, turn limit.Turn) {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	ch := m.conns.alloc()
	c := m.conns.at(ch)
	*c = conn{
		gen: c.gen + 1, state: connDialing, started: m.now, turn: m.now,
		queue: h, lane: q.lane, host: x.host.host, place: x.addr.place, tls: x.host.tls, protocol: x.host.protocol, dane: x.host.dane,
	}
	path, fares := m.pathOf(l, x.addr), m.faresOf(l, x.addr)
	tolls := m.openingTolls(fares, n)
	if b, ok := m.limits.Acquire(m.now, &c.permit, path, tolls, turn); !ok {
		panic(fmt.Sprintf("sched: %s was open a moment ago and blocks now; nothing may happen in between", m.label(b.Counter)))
	}
	m.noteWait(q)
	m.endWait(h, q)
	m.granted(path)
	m.grantedTolls(tolls)
	m.ride(c, fares, n)
	p := m.places.at(c.place)
	if c.tls == TLSIfAvailable && p.noTLS > m.now {
		c.tls = TLSNo
	}
	m.gains(q)
	m.count(ch, c, 1)
	m.doubt(q.lane, c)
	if p.failed != 0 { // nobody has been there since it failed: this one probes
		m.hosts.at(c.host).proven = false
	}
	m.begins(ch, c)
	m.gateTry(ch, c)
	b, d := m.laneNames(l)
	records, names := c.dane.certificate()
	m.emit(Connect{
		Conn: m.connID(ch), Binding: b, Domain: d, Tenant: m.names.tenants[q.tenant], Host: p.key.host, Address: p.key.addr, Port: p.key.port,
		TLS: c.tls, TLSA: records, Names: names, Protocol: c.protocol, Policy: l.policy,
	})
	m.touch(h) // it may want more
}

// await lines the queue up: at the counter that blocks all hosts; else at each host
// that is full or busy.
func (m *Machine) await(h uint32, base limit.Blocker, turn limit.Turn) {
	q := m.queues.at(h)
	switch {
	case base.Counter != 0:
		m.full = append(m.full[:0], base)
	case len(m.full) == 0 && len(m.crowds) == 0 && m.busyTooLong(q):
		m.limits.Cancel(turn.Waiter)
		m.failHead(h, mail.ClassDeferred, m.gates.at(m.shut[0]).reply)
		return
	}
	if base.Counter == 0 {
		for _, g := range m.shut {
			m.waitGate(h, g)
		}
		m.missBetter(h)
		for _, p := range m.crowds {
			m.waitCrowd(h, p)
		}
	}
	if len(m.full) == 0 {
		m.limits.Cancel(turn.Waiter)
		return
	}
	m.park(q, turn)
	for _, b := range m.full {
		m.yield(b.Counter)
	}
}

// missBetter has the queue hear of it when an address that has failed, or a host that
// refuses everything, is to be tried again.
func (m *Machine) missBetter(h uint32) {
	for _, p := range m.missed {
		m.missPlace(h, p)
	}
	for _, g := range m.refused {
		m.waitGate(h, g)
	}
}

// yield ends the connection that has been idle longest on a counter others wait for.
func (m *Machine) yield(id limit.CounterID) {
	if ch, ok := m.limits.Yield(id); ok {
		m.hangUp(ch, CloseNow)
	}
}

func (m *Machine) connected(ev *Connected) {
	h, c, ok := m.connOf(ev.Conn)
	if !ok || c.state != connDialing {
		return
	}
	c.state, c.opened, c.most = connOpen, true, ev.Limits
	m.proves(c.host)
	m.answered(c)
	p := m.places.at(c.place)
	x := m.hosts.at(c.host)
	if x.open++; x.gate != 0 {
		g := m.gates.at(x.gate)
		g.bears = max(g.bears, x.open)
	}
	p.speaks()
	m.lanes.at(c.lane).route.owes = false
	if ev.TLS {
		p.noTLS, p.noTLSWhy = 0, nil
		p.tlsFailed.proven(c.tls)
	}
	m.wakePlace(c.place)
	m.touch(c.queue)
	m.gateOpens(h, c)
	if c.retiring {
		m.hangUp(h, CloseNow)
		return
	}
	m.settle(h)
}

func (m *Machine) connectFailed(ev *ConnectFailed) {
	h, c, ok := m.connOf(ev.Conn)
	if !ok || c.failed {
		return
	}
	m.answered(c)
	if !c.retiring {
		m.retire(c, m.queues.at(c.queue))
	}
	m.connectTrouble(h, c, ev.Class, ev.Reply)
	c.failed = true
	c.state = connClosing
	m.touch(c.queue)
}

// connectTrouble marks whom a failed connection speaks of.
func (m *Machine) connectTrouble(h uint32, c *conn, class ConnectClass, reply mail.Reply) {
	l := m.lanes.at(c.lane)
	p := m.places.at(c.place)
	q := m.queues.at(c.queue)
	q.remember(reply)
	switch {
	case class == ConnectBusy:
		m.hostBusy(h, c, reply)
		return
	case class.Local():
		m.localTrouble(h, c, class, reply)
		return
	case class == ConnectAborted:
	case class == ConnectTLS && c.tls == TLSIfAvailable:
		m.breaksTLS(p, l, reply)
	case class == ConnectTLS:
		m.hostFails(c, p, p.tlsFailed.at(c.tls), l, reply)
	default:
		p.fails(m.now, class == ConnectNever)
		m.hostFails(c, p, &p.failed, l, reply)
	}
	m.gateDone(h, c)
}

// hostFails leaves an address alone for host_failure_retry. Its host has to prove itself
// anew.
func (m *Machine) hostFails(c *conn, p *place, until *int64, l *lane, reply mail.Reply) {
	if *until <= m.now {
		m.emit(Log{Level: Warn, Subject: "host " + p.key.host, Text: fmt.Sprintf("%v failed: %s; tried again in %v", p.key.addr, reply, l.policy.HostFailureRetry)})
	}
	l.route.owes = true
	*until = onTick(m.now + int64(l.policy.HostFailureRetry))
	r := reply
	p.reply = &r
	m.hosts.at(c.host).proven = false
}

// hostAnswers: a delivery through the host shows that it is in order. That it bears one
// more connection is shown only by one that was begun after it last refused: then the
// pauses begin anew, and the next ones are tried one after another.
func (m *Machine) hostAnswers(c *conn) {
	m.places.at(c.place).reply = nil
	m.proves(c.host)
	m.hostBears(c)
}
