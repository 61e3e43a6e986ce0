package sched

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// laneRoute is where the mail of a lane may go.
type laneRoute struct {
	hosts   []routeHost
	addrs   []routeAddr // of all hosts, in order
	until   int64
	asked   uint64      // generation under which Resolve was emitted
	said    *mail.Reply // why there is no route
	most    int         // smallest limit on the widest path; limit.Unlimited: none
	pace    float64     // messages a second that the rates let through; 0: any number
	trouble int         // answers in a row without a resolver
	class   mail.Class
	known   bool
	asking  bool
	owes    bool     // a message of the lane is to be deferred for a connection that failed
	partly  bool     // the domain has more hosts than these
	byMX    bool     // by MX records
	best    []string // those of the best preference, where hosts does not tell
	digest  uint64   // of all hosts that mail may go to, and how
}

// reply is why there is no route.
func (r *laneRoute) reply() mail.Reply {
	if r.said == nil {
		return mail.Reply{}
	}
	return *r.said
}

type routeHost struct {
	host       uint32
	preference int
	tls        TLS
	protocol   policy.Protocol
	dane       *dane  // for TLSDANE
	tlsWhy     string // what asks for it
	from, to   int    // in addrs
}

type routeAddr struct {
	place uint32
	own   int // so many counters of the path are the host's own
	path  []limit.CounterID
	fares []fare
}

// routed reports whether the lane has a route, good or bad, and asks for one if not.
//
// Whoever has waited for its turn (from) does not lose it to a question: it opens its
// connection by the answer that has run out, and gives it no message until there is
// another one.
func (m *Machine) routed(h uint32, l *lane, from limit.CounterID) bool {
	if l.route == nil {
		l.route = &laneRoute{most: limit.Unlimited}
	}
	r := l.route
	if r.known && m.now < r.until {
		return true
	}
	m.ask(h, l)
	return from != 0 && r.asking && r.known && r.until > 0 && r.class == mail.ClassDelivered
}

// ask asks where the lane's mail goes, unless that is under way.
func (m *Machine) ask(h uint32, l *lane) {
	if r := l.route; !r.asking && l.timer == noTimer {
		r.asking, r.asked = true, m.generation
		b, d := m.laneNames(l)
		m.emit(Resolve{Binding: b, Domain: d, Policy: l.policy})
	}
}

// refresh asks again in time where mail goes that has all the connections it may have, or
// a place in line: its hosts, and what they are counted under, may be others by now.
func (m *Machine) refresh(q *queue, l *lane) {
	r := l.route
	if q.ready.n == 0 || r == nil || !r.known || m.now < r.until || m.stopping || m.held || l.suspended || m.bindingOf(q).gone {
		return
	}
	m.ask(q.lane, l)
}

const (
	leastAnswer = int64(time.Second)      // an answer holds at least so long
	localPause  = int64(2 * time.Second)  // first pause when no resolver answers
	mostPause   = int64(60 * time.Second) // longest one
)

func (m *Machine) resolved(ev *Resolved) {
	b, okb := m.names.bindingOf[ev.Binding]
	d, okd := m.names.domainOf[ev.Domain]
	h, ok := m.laneTo(laneKey{b, d})
	if !okb || !okd || !ok {
		return // its mail is gone meanwhile
	}
	l := m.lanes.at(h)
	r := l.route
	if r == nil || !r.asking {
		return
	}
	r.asking = false
	same := false
	switch {
	case r.asked < m.generation, ev.Policy != nil && ev.Generation < l.generation:
		r.known = false // answered under a configuration that is no more: asked again
	case ev.Class == mail.ClassLocal:
		r.trouble++
		if r.trouble == 1 {
			m.emit(Log{Level: Warn, Subject: "resolver", Text: fmt.Sprintf("no answer for %s: %s", ev.Domain, ev.Reply)})
		}
		reply := ev.Reply
		r.said = &reply
		m.recount(l, nil, true)
		l.timer = m.wheel.set(m.now+m.jitter(backoff(localPause, mostPause, r.trouble)), timerLane, h)
	default:
		r.trouble = 0
		same = m.takeAnswer(h, l, ev)
	}
	m.stirLane(l, same)
}

// takeAnswer takes over where a lane's mail goes, and what it is counted under. It reports
// whether all is as it was.
func (m *Machine) takeAnswer(h uint32, l *lane, ev *Resolved) (same bool) {
	r := l.route
	same = r.known && r.class == mail.ClassDelivered && ev.Class == mail.ClassDelivered && m.sameHosts(r, ev.Hosts)
	r.partly = len(ev.MX) > len(ev.Hosts)
	changed, others := false, false
	if ev.Class == mail.ClassDelivered {
		changed = m.reroute(h, ev)
		others = r.remember(ev)
	} else {
		r.best = m.bestHosts(r) // what is open still counts by them
	}
	r.known, r.until = true, max(ev.Until, m.now+leastAnswer)
	r.class, r.said = ev.Class, nil
	if ev.Class != mail.ClassDelivered {
		reply := ev.Reply
		r.said = &reply
	}
	if same = same && !changed; !same {
		m.setRoute(l, ev.Hosts)
	}
	switch {
	case ev.Class != mail.ClassDelivered:
		m.recount(l, nil, true)
	case others || l.doubtful > 0:
		m.recount(l, hostNames(ev), false)
	case changed:
		m.recount(l, nil, false)
	}
	return same
}

// sameHosts reports whether an answer names the hosts and addresses of the route.
func (m *Machine) sameHosts(r *laneRoute, hosts []RouteHost) bool {
	if len(hosts) != len(r.hosts) {
		return false
	}
	for i := range hosts {
		x := &hosts[i]
		k := slices.IndexFunc(r.hosts, func(rh routeHost) bool { return m.hosts.at(rh.host).key.host == x.Name })
		if k < 0 {
			return false
		}
		rh := &r.hosts[k]
		if rh.preference != x.Preference || rh.tls != x.TLS || rh.protocol != x.Protocol || !rh.dane.same(daneOf(x)) || rh.tlsWhy != x.TLSWhy || rh.to-rh.from != len(x.Addresses) || m.hosts.at(rh.host).policy != x.Policy {
			return false
		}
		for _, a := range r.addrs[rh.from:rh.to] {
			if p := &m.places.at(a.place).key; p.port != x.Port || !slices.Contains(x.Addresses, p.addr) {
				return false
			}
		}
	}
	return true
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

// touchLane has all queues of a lane begin anew: those of many tenants in slices.
func (m *Machine) touchLane(l *lane) { m.stirLane(l, false) }

// stirLane has all queues of a lane looked at; with keep, those that wait in line stay
// there.
func (m *Machine) stirLane(l *lane, keep bool) {
	stir := func(h uint32) {
		if keep {
			m.touch(h)
		} else {
			m.replace(h)
		}
	}
	if l.queues.n > budget/4 {
		key := l.key
		m.eachQueue(func(h uint32, q *queue) {
			if m.lanes.at(q.lane).key == key {
				stir(h)
			}
		})
		return
	}
	m.visits -= int(l.queues.n)
	for q := l.queues.head; q != 0; q = m.queues.at(q).next {
		stir(q)
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
		rh := routeHost{host: m.hostFor(hk), preference: x.Preference, tls: x.TLS, protocol: x.Protocol, dane: daneOf(x), tlsWhy: x.TLSWhy, from: len(r.addrs)}
		m.useHost(rh.host, 1)
		m.hosts.at(rh.host).port = x.Port
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
		r.said = &mail.Reply{Enhanced: "4.4.4", Text: "no host of the domain has an address that can be used", Stage: mail.StageResolve}
	}
	m.setPaths(l)
	m.freeRoute(&old)
}

// setPaths puts the lane's addresses on their counters.
func (m *Machine) setPaths(l *lane) {
	r := l.route
	r.most = 0
	for i := range r.hosts {
		rh := &r.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			a := &r.addrs[k]
			old, fares := a.path, a.fares
			a.path, a.own = m.path(l, rh.host, a.place)
			a.fares = m.fares(l, rh.host, a.place)
			r.most = widest(r.most, m.narrowest(a.path))
			m.releasePath(old)
			m.releaseFares(fares)
		}
	}
	r.pace = m.pace(r)
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
		m.releaseFares(r.addrs[i].fares)
		m.usePlace(r.addrs[i].place, -1)
	}
}

func (m *Machine) dropRoute(l *lane) {
	if l.route != nil {
		m.freeRoute(l.route)
		l.route = nil
	}
}
