package sched

import (
	"net/netip"
	"slices"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// place is one address of a host, as all bindings see it.
type place struct {
	key       placeKey
	failed    int64       // left alone until then
	tlsFailed tlsTimes    // the same, for those who insist on TLS
	noTLS     int64       // until then in clear where TLS is only wished for
	noTLSWhy  *mail.Reply // why
	down      int64       // since when it has not been spoken to; 0: it has, or has not been tried
	rounds    int32       // failures in a row
	never     bool        // it says that it never takes mail
	reply     *mail.Reply
	line      fifo[gatePlace] // queues that wait elsewhere because of it
	timer     uint32
	refs      int
	conns     int
}

type placeKey struct {
	host string
	addr netip.Addr
	port uint16
}

// host is a host as one binding sees it.
type host struct {
	key    hostKey
	policy *policy.Host
	// known holds every address seen in an answer, with what address labels give it: the
	// answers for two domains may name different addresses of one host.
	known      map[netip.Addr]labels
	generation uint64
	gate       uint32    // too many connections, says the receiver
	family     [2]uint32 // gates: no route to it, or no port, by IPv4, IPv6
	port       uint16    // at which it was last to be reached
	refs       int
	conns      int             // permits
	open       int             // of them sessions, until the receiver has let go
	calling    int             // connections not answered yet
	opening    int             // of them on their way: not for long
	width      int             // most connections at present, if more than the first ones
	timer      uint32          // it is to grow
	takes      int64           // ns that a message takes, a running mean
	light      int64           // the least of it, which follows slowly while few sessions are open
	idle       list            // open connections without a part that may take one
	crowd      fifo[gatePlace] // queues that wait until fewer are
	calls      int             // so many in the crowd are to be woken
	waking     bool            // is in roomy
	proven     bool            // connected to or delivered to since it was learned or an address of it failed
}

// labels is what address labels add to a host's limits and throttles.
type labels struct {
	limits    []policy.Limit
	throttles []policy.Throttle
}

func labelsOf(p *policy.Host, a netip.Addr) labels {
	return labels{p.Addresses[a], p.AddressThrottles[a]}
}

type hostKey struct {
	binding uint32
	host    string
}

func (m *Machine) placeFor(k placeKey) uint32 {
	if h, ok := m.placeOf[k]; ok {
		return h
	}
	h := m.places.alloc()
	*m.places.at(h) = place{key: k}
	m.placeOf[k] = h
	return h
}

func (m *Machine) usePlace(h uint32, by int) {
	p := m.places.at(h)
	if p.refs += by; p.refs > 0 {
		return
	}
	if until := max(p.failed, p.tlsFailed.last(), p.noTLS); until > m.now {
		if p.timer == noTimer {
			p.timer = m.wheel.set(until, timerPlace, h) // what is known of it outlives its routes
		}
		return
	}
	m.wheel.cancel(&p.timer)
	delete(m.placeOf, p.key)
	*p = place{}
	m.places.release(h)
}

func (m *Machine) placeTimer(h uint32) {
	p := m.places.at(h)
	p.timer = noTimer
	m.wakePlace(h)
	if until := max(p.failed, p.tlsFailed.last()); until > m.now && p.line.len() > 0 {
		p.timer = m.wheel.set(until, timerPlace, h)
		return
	}
	m.usePlace(h, 0)
}

// missPlace has a queue that lines up elsewhere looked at again when a failed address
// is to be tried again.
func (m *Machine) missPlace(h, place uint32) {
	p := m.places.at(place)
	q := m.queues.at(h)
	if !q.gated {
		q.gated, q.before = true, uint8(causeHosts)
	}
	p.line.push(gatePlace{h, q.epoch})
	at := max(p.failed, p.tlsFailed.last())
	if p.timer != noTimer && m.wheel.timers.at(p.timer).tick > ticks(at) {
		m.wheel.cancel(&p.timer) // it is for what is to be forgotten later
	}
	if p.timer == noTimer {
		p.timer = m.wheel.set(at, timerPlace, place)
	}
}

// wakePlace has all those looked at who missed an address.
func (m *Machine) wakePlace(h uint32) {
	p := m.places.at(h)
	if p.line.len() == 0 {
		return
	}
	line := p.line
	p.line = fifo[gatePlace]{}
	m.eachOf(line.len(), func(int) {
		if x, ok := line.pop(); ok && m.waitsHere(x) {
			m.replace(x.queue)
		}
	})
}

func (m *Machine) hostFor(k hostKey) uint32 {
	if h, ok := m.hostOf[k]; ok {
		return h
	}
	h := m.hosts.alloc()
	*m.hosts.at(h) = host{key: k}
	m.hostOf[k] = h
	return h
}

func (m *Machine) useHost(h uint32, by int) {
	x := m.hosts.at(h)
	if x.refs += by; x.refs > 0 || x.gate != 0 || x.family != [2]uint32{} {
		return
	}
	m.wheel.cancel(&x.timer)
	delete(m.hostOf, x.key)
	*x = host{}
	m.hosts.release(h)
}

// maxKnown bounds the addresses remembered of one host; a host that rotates through
// more begins anew.
const maxKnown = 4096

// learn takes over what an answer says of the host.
func (h *host) learn(x *RouteHost, generation uint64) {
	h.policy, h.generation = x.Policy, generation
	if h.known == nil || len(h.known) > maxKnown {
		h.known = make(map[netip.Addr]labels, len(x.Addresses))
	}
	for _, a := range x.Addresses {
		h.known[a] = labelsOf(x.Policy, a)
	}
}

// renew takes over a new policy for every address known.
func (h *host) renew(p *policy.Host, generation uint64) {
	h.policy, h.generation = p, generation
	for a := range h.known { // each is set by itself: the order does not matter
		h.known[a] = labelsOf(p, a)
	}
}

// addresses returns every address known, in order.
func (h *host) addresses() []netip.Addr {
	out := make([]netip.Addr, 0, len(h.known))
	for a := range h.known { // sorted below: the order does not matter
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}
