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

const ownSlot = limit.CounterID(1) << 31

// slot is a counter or a bucket of a throttle that is counted by the routing domain.
type slot struct {
	limit       *policy.Limit
	throttle    *policy.Throttle
	sent        bool
	host, place uint32
	generation  uint64
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

// ownRest holds a lane's own counters but the first.
type ownRest struct {
	ids  [3]limit.CounterID
	next uint32
}

func (m *Machine) ownOf(l *lane, id limit.CounterID) limit.CounterID {
	if id&ownSlot == 0 {
		return id
	}
	k := int(id &^ ownSlot)
	if k == 0 {
		return l.own
	}
	h := l.ownRest
	for k--; k >= len(ownRest{}.ids); k -= len(ownRest{}.ids) {
		h = m.rests.at(h).next
	}
	return m.rests.at(h).ids[k]
}

// setOwn finds or makes the lane's own counters at its site.
func (m *Machine) setOwn(l *lane) {
	names := m.laneText(l)
	tail := &l.ownRest
	for k := range l.route.slots {
		id := m.slotCounter(&l.route.slots[k], names)
		if k == 0 {
			l.own = id
			continue
		}
		i := (k - 1) % len(ownRest{}.ids)
		if i == 0 {
			*tail = m.rests.alloc()
			*m.rests.at(*tail) = ownRest{}
		}
		rest := m.rests.at(*tail)
		if rest.ids[i] = id; i == len(rest.ids)-1 {
			tail = &rest.next
		}
	}
}

func (m *Machine) slotCounter(x *slot, names laneText) limit.CounterID {
	host, place := "", (*placeKey)(nil)
	if x.host != 0 {
		host, place = m.hosts.at(x.host).key.host, &m.places.at(x.place).key
	}
	if x.throttle == nil {
		return m.counter(x.limit, keyOf(x.limit, names, host, place), x.generation)
	}
	k := throttleKey(x.throttle, names, host, place)
	k.Sent = x.sent
	return m.throttle(x.throttle, k, x.generation)
}

// owned is a lane's own counters, to be released.
type owned struct {
	first limit.CounterID
	rest  uint32
	n     int
}

func (m *Machine) takeOwn(l *lane) owned {
	o := owned{l.own, l.ownRest, len(l.route.slots)}
	l.own, l.ownRest = 0, 0
	return o
}

func (m *Machine) releaseOwn(o owned) {
	if o.n > 0 {
		m.limits.Release(o.first)
	}
	for h, left := o.rest, o.n-1; h != 0; left -= len(ownRest{}.ids) {
		x := *m.rests.at(h)
		for _, id := range x.ids[:min(left, len(x.ids))] {
			m.limits.Release(id)
		}
		m.rests.release(h)
		h = x.next
	}
}

// most is the smallest limit on the lane's widest path; limit.Unlimited if there is none. A
// limit that counts by domain holds for all hosts.
func (m *Machine) most(l *lane) int {
	most := l.route.most
	for k := range l.route.slots {
		if l.route.slots[k].throttle != nil {
			continue
		}
		if n := m.limits.Limit(m.ownOf(l, ownSlot|limit.CounterID(k))); most == limit.Unlimited || n < most {
			most = n
		}
	}
	return most
}

// finding is what an answer says, by which a site is found or made.
type finding struct {
	hosts  []RouteHost
	best   []string
	digest uint64
	asked  uint64
	byMX   bool
}

func (f *finding) sum() uint64 {
	h := f.digest
	for i := range f.hosts { // a sum: hosts and addresses come in any order
		x := &f.hosts[i]
		one := hashText(x.Name) + uint64(x.Preference)*0x9e3779b97f4a7c15 + uint64(x.Port)<<8 + uint64(x.Protocol)<<4 + uint64(x.TLS)
		for _, a := range x.Addresses {
			b := a.As16()
			one += hashText(string(b[:])) | 1
		}
		h += one * 0xbf58476d1ce4e5b9
	}
	for _, b := range f.best {
		h += hashText(b)
	}
	if f.byMX {
		h++
	}
	return h
}

// saysMore reports whether an answer with equal hosts tells something else than the site knows.
func (f *finding) saysMore(s *site) bool {
	return f.digest != s.digest || f.byMX != s.byMX || !slices.Equal(f.best, s.best)
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

// slot finds or adds a slot. Of two that are counted alike the first one holds.
func (s *site) slot(x slot, by policy.By, host, place uint32) limit.CounterID {
	if by&byHost != 0 {
		x.host, x.place = host, place
	}
	k := slices.IndexFunc(s.slots, func(y slot) bool { return x.alike(&y) })
	if k < 0 {
		k = len(s.slots)
		s.slots = append(s.slots, x)
	}
	return ownSlot | limit.CounterID(k)
}

func (x *slot) alike(y *slot) bool {
	if (x.throttle == nil) != (y.throttle == nil) || x.sent != y.sent || x.host != y.host || x.place != y.place {
		return false
	}
	a, b := x.key(), y.key()
	return a == b
}

// key is what the slot counts together, whatever the names.
func (x *slot) key() limit.Key {
	if x.throttle != nil {
		return throttleKey(x.throttle, laneText{}, "", nil)
	}
	return keyOf(x.limit, laneText{}, "", nil)
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

// sameHosts reports whether an answer names the hosts and addresses of a site.
func (m *Machine) sameHosts(s *site, hosts []RouteHost) bool {
	if len(hosts) != len(s.hosts) {
		return false
	}
	for i := range hosts {
		x := &hosts[i]
		k := slices.IndexFunc(s.hosts, func(rh routeHost) bool { return m.hosts.at(rh.host).key.host == x.Name })
		if k < 0 {
			return false
		}
		rh := &s.hosts[k]
		if rh.preference != x.Preference || rh.tls != x.TLS || rh.protocol != x.Protocol || !rh.dane.same(daneOf(x)) || rh.tlsWhy != x.TLSWhy || rh.to-rh.from != len(x.Addresses) || m.hosts.at(rh.host).policy != x.Policy {
			return false
		}
		for _, a := range s.addrs[rh.from:rh.to] {
			if p := &m.places.at(a.place).key; p.port != x.Port || !slices.Contains(x.Addresses, p.addr) {
				return false
			}
		}
	}
	return true
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

// bestOf is the hosts of the best preference in the MX records of a site; nil when they are
// not known.
func (m *Machine) bestOf(s *site) []string {
	if !s.byMX {
		return nil
	}
	if s.best != nil || len(s.hosts) == 0 {
		return s.best
	}
	var names []string
	for i := range s.hosts {
		if s.hosts[i].preference == s.hosts[0].preference {
			names = append(names, m.hosts.at(s.hosts[i].host).key.host)
		}
	}
	return names
}

// rules is what a lane goes by: a policy and the configuration that it is of. Lanes share
// them.
type rules struct {
	policy     *policy.Queue
	generation uint64
}

var noRules rules

// mostRules bounds the rules remembered for lanes to come; beyond it only sharing is lost.
const mostRules = 1 << 17

func (m *Machine) rulesOf(p *policy.Queue, generation uint64) *rules {
	t := m.rulesBy[p]
	if t == nil || t.generation != generation {
		if len(m.rulesBy) >= mostRules {
			clear(m.rulesBy)
		}
		t = &rules{p, generation}
		m.rulesBy[p] = t
	}
	return t
}

// foundBy is what an answer says that names hosts.
func foundBy(ev *Resolved, asked uint64) finding {
	f := finding{hosts: ev.Hosts, asked: asked, digest: digest(hostNames(ev)) + kinds(ev.Hosts), byMX: ev.Best > 0}
	if best := ev.MX[:min(ev.Best, len(ev.MX))]; !slices.Equal(best, firstHosts(ev.Hosts)) {
		f.best = slices.Clone(best)
	}
	return f
}

// noneOf is what an answer says that names no host: what is open still counts by the hosts of
// the one before.
func (m *Machine) noneOf(ev *Resolved, s *site) finding {
	return finding{best: m.bestOf(s), digest: s.digest, byMX: s.byMX, hosts: ev.Hosts}
}
