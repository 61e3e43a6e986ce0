package sched

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// noTLSFor is how long an address whose TLS failed is spoken to in clear where TLS was
// only wished for.
const noTLSFor = int64(time.Hour)

// place is one address of a host, as all bindings see it.
type place struct {
	key       placeKey
	failed    int64 // left alone until then
	tlsFailed int64 // the same, for those who insist on TLS
	noTLS     int64 // until then in clear where TLS is only wished for
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
	// known holds every address seen in an answer, with the limits that address labels give
	// it: the answers for two domains may name different addresses of one host.
	known      map[netip.Addr][]policy.Limit
	generation uint64
	gate       uint32 // too many connections, says the receiver
	refs       int
	conns      int
}

type hostKey struct {
	binding uint32
	host    string
}

// laneRoute is where the mail of a lane may go.
type laneRoute struct {
	hosts   []routeHost
	addrs   []routeAddr // of all hosts, in order
	until   int64
	asked   uint64 // generation under which Resolve was emitted
	reply   mail.Reply
	most    int // smallest limit on the widest path; limit.Unlimited: none
	trouble int // answers in a row without a resolver
	class   mail.Class
	known   bool
	asking  bool
}

type routeHost struct {
	host       uint32
	preference int
	tls        TLS
	from, to   int // in addrs
}

type routeAddr struct {
	place uint32
	own   int // so many counters of the path are the host's own
	path  []limit.CounterID
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
	if until := max(p.failed, p.tlsFailed, p.noTLS); until > m.now {
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
	if until := max(p.failed, p.tlsFailed); until > m.now && p.line.len() > 0 {
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
	q.gated = true
	p.line.push(gatePlace{h, q.epoch})
	if p.timer == noTimer {
		p.timer = m.wheel.set(max(p.failed, p.tlsFailed), timerPlace, place)
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
	if x.refs += by; x.refs > 0 || x.gate != 0 {
		return
	}
	delete(m.hostOf, x.key)
	*x = host{}
	m.hosts.release(h)
}

// routed reports whether the lane has a route, good or bad, and asks for one if not.
func (m *Machine) routed(h uint32, l *lane) bool {
	if l.route == nil {
		l.route = &laneRoute{most: limit.Unlimited}
	}
	r := l.route
	if r.known && m.now < r.until {
		return true
	}
	if !r.asking && l.timer == noTimer {
		r.asking, r.asked = true, m.generation
		b, d := m.laneNames(l)
		m.emit(Resolve{Binding: b, Domain: d, Policy: l.policy})
	}
	return false
}

const (
	leastAnswer = int64(time.Second)      // an answer holds at least so long
	localPause  = int64(2 * time.Second)  // first pause when no resolver answers
	mostPause   = int64(60 * time.Second) // longest one
)

func (m *Machine) resolved(ev *Resolved) {
	b, okb := m.names.bindingOf[ev.Binding]
	d, okd := m.names.domainOf[ev.Domain]
	h, ok := m.laneOf[laneKey{b, d}]
	if !okb || !okd || !ok {
		return // its mail is gone meanwhile
	}
	l := m.lanes.at(h)
	r := l.route
	if r == nil || !r.asking {
		return
	}
	r.asking = false
	switch {
	case r.asked < m.generation:
		r.known = false // answered under a configuration that is no more: asked again
	case ev.Class == mail.ClassLocal:
		r.trouble++
		if r.trouble == 1 {
			m.emit(Log{Level: Warn, Subject: "resolver", Text: fmt.Sprintf("no answer for %s: %s", ev.Domain, ev.Reply)})
		}
		r.reply = ev.Reply
		l.timer = m.wheel.set(m.now+m.jitter(backoff(localPause, mostPause, r.trouble)), timerLane, h)
	default:
		r.trouble = 0
		r.known, r.until = true, max(ev.Until, m.now+leastAnswer)
		r.class, r.reply = ev.Class, ev.Reply
		m.setRoute(l, ev.Hosts)
	}
	m.touchLane(l)
}

// backoff doubles from first to most with each trouble in a row, from 1.
func backoff(first, most int64, n int) int64 {
	return min(first<<min(max(n-1, 0), 20), most)
}

// laneTimer: the pause after a resolver's silence is over.
func (m *Machine) laneTimer(h uint32) {
	l := m.lanes.at(h)
	l.timer = noTimer
	m.touchLane(l)
}

func (m *Machine) touchLane(l *lane) {
	for q := l.queues.head; q != 0; q = m.queues.at(q).next {
		m.replace(q)
	}
}

// setRoute takes over the hosts of an answer.
func (m *Machine) setRoute(l *lane, hosts []RouteHost) {
	r := l.route
	old := *r
	r.hosts, r.addrs = nil, nil
	for i := range hosts {
		x := &hosts[i]
		hk := hostKey{l.key.binding, strings.Clone(x.Name)}
		rh := routeHost{host: m.hostFor(hk), preference: x.Preference, tls: x.TLS, from: len(r.addrs)}
		m.useHost(rh.host, 1)
		if hs := m.hosts.at(rh.host); x.Policy != nil && r.asked >= hs.generation {
			hs.learn(x, r.asked)
		}
		for _, a := range x.Addresses {
			p := m.placeFor(placeKey{hk.host, a, x.Port})
			m.usePlace(p, 1)
			r.addrs = append(r.addrs, routeAddr{place: p})
		}
		rh.to = len(r.addrs)
		r.hosts = append(r.hosts, rh)
	}
	if len(r.addrs) == 0 && r.class == mail.ClassDelivered {
		r.class = mail.ClassDeferred
		r.reply = mail.Reply{Enhanced: "4.4.4", Text: "no host of the domain has an address that can be used", Stage: mail.StageResolve}
	}
	m.setPaths(l)
	m.freeRoute(&old)
}

// maxKnown bounds the addresses remembered of one host; a host that rotates through
// more begins anew.
const maxKnown = 4096

// learn takes over what an answer says of the host.
func (h *host) learn(x *RouteHost, generation uint64) {
	h.policy, h.generation = x.Policy, generation
	if h.known == nil || len(h.known) > maxKnown {
		h.known = make(map[netip.Addr][]policy.Limit, len(x.Addresses))
	}
	for _, a := range x.Addresses {
		h.known[a] = x.Policy.Addresses[a]
	}
}

// renew takes over a new policy for every address known.
func (h *host) renew(p *policy.Host, generation uint64) {
	h.policy, h.generation = p, generation
	for a := range h.known { // each is set by itself: the order does not matter
		h.known[a] = p.Addresses[a]
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

// setPaths puts the lane's addresses on their counters.
func (m *Machine) setPaths(l *lane) {
	r := l.route
	r.most = 0
	for i := range r.hosts {
		rh := &r.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			a := &r.addrs[k]
			old := a.path
			a.path, a.own = m.path(l, rh.host, a.place)
			r.most = widest(r.most, m.narrowest(a.path))
			m.releasePath(old)
		}
	}
}

func widest(a, b int) int {
	if a == limit.Unlimited || b == limit.Unlimited {
		return limit.Unlimited
	}
	return max(a, b)
}

// narrowest is the smallest limit on a path.
func (m *Machine) narrowest(path []limit.CounterID) int {
	most := limit.Unlimited
	for _, id := range path {
		if n := m.limits.State(id).Limit; most == limit.Unlimited || n < most {
			most = n
		}
	}
	return most
}

func (m *Machine) releasePath(path []limit.CounterID) {
	for _, id := range path {
		m.limits.Release(id)
	}
}

func (m *Machine) freeRoute(r *laneRoute) {
	for i := range r.hosts {
		m.useHost(r.hosts[i].host, -1)
	}
	for i := range r.addrs {
		m.releasePath(r.addrs[i].path)
		m.usePlace(r.addrs[i].place, -1)
	}
}

func (m *Machine) dropRoute(l *lane) {
	if l.route != nil {
		m.freeRoute(l.route)
		l.route = nil
	}
}
