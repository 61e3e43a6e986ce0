package sched

import (
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// site is where mail may go by an answer, and the counters of each address. A million domains
// may share a few hosts; so lanes of one binding that have one policy and equal answers share
// a site. It never changes: another answer, policy or configuration gives another site.
type site struct {
	key    siteKey
	hosts  []routeHost
	addrs  []routeAddr // of all hosts, in order
	slots  []slot      // the counters that each lane has for itself
	best   []string    // the MX hosts of the best preference, where hosts does not tell
	digest uint64      // of all hosts that mail may go to, and how; 0: never known
	most   int         // smallest shared limit on the widest path; limit.Unlimited: none
	pace   float64     // messages a second that the rates let through; 0: any number
	refs   int32
	byMX   bool // by MX records
}

// siteKey is by what an equal site is looked for.
type siteKey struct {
	rules   *rules
	binding uint32
	reloads uint32 // so many configurations had come
	sum     uint64 // of the answer
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

// routeAddr is an address with its counters and throttles. Those with ownSlot are the lane's
// own: the slot says which.
type routeAddr struct {
	place uint32
	own   int // so many counters of the path are the host's own
	path  []limit.CounterID
	fares []fare
}

// noSite stands for lanes that know of no host; it is never written.
var noSite = site{most: limit.Unlimited}

// pathOf is the counters of a connection from a lane to an address, most specific first;
// good until the next call.
func (m *Machine) pathOf(l *lane, a *routeAddr) []limit.CounterID {
	m.pathRoom = m.pathRoom[:0]
	for _, id := range a.path {
		m.pathRoom = append(m.pathRoom, m.ownOf(l, id))
	}
	return m.pathRoom
}

// faresOf is the throttles, likewise.
func (m *Machine) faresOf(l *lane, a *routeAddr) []fare {
	m.fareRoom = m.fareRoom[:0]
	for _, f := range a.fares {
		f.grant, f.sent = m.ownOf(l, f.grant), m.ownOf(l, f.sent)
		m.fareRoom = append(m.fareRoom, f)
	}
	return m.fareRoom
}

// findSite puts a lane on the site of an answer.
func (m *Machine) findSite(l *lane, f *finding) {
	key := siteKey{l.rules, l.key.binding, m.reloads, f.sum()}
	s := m.siteOf[key]
	if s == nil || f.saysMore(s) || !m.sameHosts(s, f.hosts) {
		s = m.makeSite(l, key, f)
	} else {
		for i := range s.hosts {
			k := slices.IndexFunc(f.hosts, func(x RouteHost) bool { return x.Name == m.hosts.at(s.hosts[i].host).key.host })
			m.learn(s.hosts[i].host, &f.hosts[k], f.asked)
		}
	}
	m.moveTo(l, s)
}

// makeSite makes the site of an answer.
func (m *Machine) makeSite(l *lane, key siteKey, f *finding) *site {
	s := &site{key: key, best: f.best, digest: f.digest, byMX: f.byMX}
	for i := range f.hosts {
		x := &f.hosts[i]
		hk := hostKey{l.key.binding, strings.Clone(x.Name)}
		rh := routeHost{host: m.hostFor(hk), preference: x.Preference, tls: x.TLS, protocol: x.Protocol, dane: daneOf(x), tlsWhy: x.TLSWhy, from: len(s.addrs)}
		m.useHost(rh.host, 1)
		m.learn(rh.host, x, f.asked)
		for _, a := range x.Addresses {
			p := m.placeFor(placeKey{hk.host, a, x.Port})
			m.usePlace(p, 1)
			s.addrs = append(s.addrs, routeAddr{place: p})
		}
		rh.to = len(s.addrs)
		s.hosts = append(s.hosts, rh)
	}
	m.furnish(l, s)
	return s
}

// learn takes over what an answer says of a host.
func (m *Machine) learn(host uint32, x *RouteHost, asked uint64) {
	hs := m.hosts.at(host)
	hs.port = x.Port
	if x.Policy != nil && asked >= hs.generation {
		hs.learn(x, asked)
	}
}

// renewSite puts a lane on a site with the hosts of its present one, by its present policy.
func (m *Machine) renewSite(l *lane) {
	old := l.route.site
	if old == &noSite {
		return
	}
	key := siteKey{l.rules, l.key.binding, m.reloads, old.key.sum}
	s := m.siteOf[key]
	if s == nil || s.digest != old.digest || s.byMX != old.byMX || !slices.Equal(s.best, old.best) || !slices.Equal(s.hosts, old.hosts) ||
		!slices.EqualFunc(s.addrs, old.addrs, func(a, b routeAddr) bool { return a.place == b.place }) {
		s = &site{key: key, hosts: old.hosts, best: old.best, digest: old.digest, byMX: old.byMX, addrs: make([]routeAddr, len(old.addrs))}
		for i := range s.hosts {
			m.useHost(s.hosts[i].host, 1)
		}
		for i := range s.addrs {
			s.addrs[i].place = old.addrs[i].place
			m.usePlace(s.addrs[i].place, 1)
		}
		m.furnish(l, s)
	}
	m.moveTo(l, s)
}

// furnish gives a new site the counters of its addresses.
func (m *Machine) furnish(l *lane, s *site) {
	for i := range s.hosts {
		rh := &s.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			a := &s.addrs[k]
			a.path, a.own = m.sitePath(l, s, rh.host, a.place)
			a.fares = m.siteFares(l, s, rh.host, a.place)
			s.most = widest(s.most, m.narrowest(a.path))
		}
	}
	s.pace = m.pace(s)
	m.siteOf[s.key] = s
}

// sitePath is the counters that lanes share on the way to an address, with slots for those
// that each has for itself.
func (m *Machine) sitePath(l *lane, s *site, host, place uint32) (path []limit.CounterID, own int) {
	names := m.laneText(l)
	return m.pathBy(l, host, place, func(x *policy.Limit, generation uint64) limit.CounterID {
		if x.By&policy.ByDomain == 0 {
			return m.counter(x, keyOf(x, names, m.hosts.at(host).key.host, &m.places.at(place).key), generation)
		}
		return s.slot(slot{limit: x, generation: generation}, x.By, host, place)
	})
}

func (m *Machine) siteFares(l *lane, s *site, host, place uint32) []fare {
	names := m.laneText(l)
	return m.faresBy(l, host, place, func(x *policy.Throttle, sent bool, generation uint64) limit.CounterID {
		if x.By&policy.ByDomain == 0 {
			k := throttleKey(x, names, m.hosts.at(host).key.host, &m.places.at(place).key)
			k.Sent = sent
			return m.throttle(x, k, generation)
		}
		return s.slot(slot{throttle: x, sent: sent, generation: generation}, x.By, host, place)
	})
}

// moveTo puts a lane on a site, with counters of its own.
func (m *Machine) moveTo(l *lane, s *site) {
	old, own := l.route.site, m.takeOwn(l)
	s.refs++
	l.route.site = s
	m.setOwn(l)
	m.releaseOwn(own)
	m.leaveSite(old)
}

// leaveSite: a lane needs the site no more.
func (m *Machine) leaveSite(s *site) {
	if s == &noSite {
		return
	}
	if s.refs--; s.refs > 0 {
		return
	}
	if m.siteOf[s.key] == s {
		delete(m.siteOf, s.key)
	}
	for i := range s.hosts {
		m.useHost(s.hosts[i].host, -1)
	}
	for i := range s.addrs {
		a := &s.addrs[i]
		m.releasePath(a.path)
		m.releaseFares(a.fares)
		m.usePlace(a.place, -1)
	}
}

func widest(a, b int) int {
	if a == limit.Unlimited || b == limit.Unlimited {
		return limit.Unlimited
	}
	return max(a, b)
}

// narrowest is the smallest shared limit on a path.
func (m *Machine) narrowest(path []limit.CounterID) int {
	most := limit.Unlimited
	for _, id := range path {
		if id&ownSlot != 0 {
			continue
		}
		if n := m.limits.Limit(id); most == limit.Unlimited || n < most {
			most = n
		}
	}
	return most
}

func (m *Machine) releasePath(path []limit.CounterID) {
	for _, id := range path {
		if id&ownSlot == 0 {
			m.limits.Release(id)
		}
	}
}
