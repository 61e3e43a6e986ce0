package sched

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
)

// A lane carries the mail of a recipient domain to that domain's own hosts. What its
// connections are counted under is its routing domain: the domain itself, its rollup, or
// its gateway. Lanes of one routing domain share its counters and throttles, and nothing
// else. When a lane's routing domain changes, its open connections are moved (released
// where they were, charged where they are) before anything further is opened, so that
// no connection counts nowhere and none is opened into room that is not there (S11).

// routingOf is the routing domain of a lane by name.
func (m *Machine) routingOf(l *lane) string { return m.names.domains.at(l.routing).name }

// setRouting gives a lane its routing domain (empty: the gateway of its policy, or its
// own domain) and reports whether it is another than before. The caller sees to the
// paths and to connections.
func (m *Machine) setRouting(h uint32, name string) bool {
	l := m.lanes.at(h)
	if name == "" {
		name = l.policy.Gateway
	}
	own, old := l.key.domain, l.routing
	if name == "" || name == m.names.domains.at(own).name {
		name = m.names.domains.at(own).name
	}
	if old != 0 && m.names.domains.at(old).name == name {
		return false
	}
	now := m.domain(name)
	l.routing = now
	if now != own {
		m.underList(&m.names.domains.at(now).under).push(h)
	}
	if old != 0 && old != own {
		m.leaveRouting(h, old)
	}
	l.suspended = l.policy.Suspended || m.laneSuspension(l) != nil
	m.haltQueues(l)
	return old != 0
}

// leaveRouting takes a lane from under a domain that is not its own.
func (m *Machine) leaveRouting(h, domain uint32) {
	m.underList(&m.names.domains.at(domain).under).remove(h)
	m.dropDomain(domain)
}

// dropDomain forgets a name that nothing is queued for or counted under.
func (m *Machine) dropDomain(h uint32) {
	d := m.names.domains.at(h)
	if d.lanes.n > 0 || d.under.n > 0 {
		return
	}
	delete(m.names.domainOf, d.name)
	*d = domain{}
	m.names.domains.release(h)
}

// reroute takes over the routing domain of an answer and what holds under it.
func (m *Machine) reroute(h uint32, ev *Resolved) (changed bool) {
	l := m.lanes.at(h)
	if ev.Policy != nil && ev.Policy != l.policy {
		m.takePolicy(l, ev.Policy, ev.Generation)
		changed = true
	}
	return m.setRouting(h, ev.Routing) || changed
}

// recount has the connections of a lane counted where they belong now, before anything
// is opened. hosts are the names that its mail may go to; a connection to another one,
// or without the TLS that is asked for by now, takes no further part. Nil: any. Those opened
// in doubt take parts from now on, or, when nobody could tell (failed), end.
func (m *Machine) recount(l *lane, hosts []string, failed bool) {
	if l.open.n == 0 || failed && l.doubtful == 0 {
		return
	}
	key, n := l.key, l.open.n
	m.urgent.push(&job{end: func() uint32 { return n }, do: func(uint32) bool {
		h, ok := m.laneTo(key)
		if !ok || m.lanes.at(h).open.n == 0 {
			return false
		}
		open := m.openList(&m.lanes.at(h).open)
		ch := open.l.head
		open.remove(ch)
		open.push(ch) // each in turn
		c := m.conns.at(ch)
		ends := failed && c.doubtful ||
			hosts != nil && (!slices.Contains(hosts, m.hosts.at(c.host).key.host) || !m.stillSecure(m.lanes.at(h), c))
		m.noDoubt(m.lanes.at(h), c)
		if ends && !c.retiring {
			m.retire(c, m.queues.at(c.queue))
		}
		m.renewConn(ch, c)
		return false
	}})
}

// doubt: a connection that is given to a lane by an answer that has run out gets no part
// until there is another one.
func (m *Machine) doubt(lane uint32, c *conn) {
	if l := m.lanes.at(lane); m.now >= l.route.until {
		c.doubtful = true
		l.doubtful++
	}
}

// noDoubt: whether the connection's host is one that its mail may go to is known.
func (m *Machine) noDoubt(l *lane, c *conn) {
	if c.doubtful {
		c.doubtful = false
		l.doubtful--
	}
}

// nextUrgent does one visit of what must be done before anything is opened.
func (m *Machine) nextUrgent() bool { return m.nextOf(&m.urgent) }

// remember keeps what a reload needs to decide on the rollup again without asking the
// DNS, and reports whether the hosts are others than before.
func (r *laneRoute) remember(ev *Resolved) (others bool) {
	names := hostNames(ev)
	sum := digest(names) + kinds(ev.Hosts)
	others = r.digest != 0 && r.digest != sum
	r.digest = sum
	r.byMX, r.best = ev.Best > 0, nil
	if best := ev.MX[:min(ev.Best, len(ev.MX))]; !slices.Equal(best, firstHosts(ev.Hosts)) {
		r.best = slices.Clone(best)
	}
	return others
}

// hostNames is all hosts that mail may go to, by an answer.
func hostNames(ev *Resolved) []string {
	if len(ev.MX) > 0 && len(ev.Barred) == 0 {
		return ev.MX
	}
	if len(ev.MX) > 0 {
		return slices.DeleteFunc(slices.Clone(ev.MX), func(n string) bool { return slices.Contains(ev.Barred, n) })
	}
	names := make([]string, len(ev.Hosts))
	for i := range ev.Hosts {
		names[i] = ev.Hosts[i].Name
	}
	return names
}

func firstHosts(hosts []RouteHost) []string {
	var names []string
	for i := range hosts {
		if hosts[i].Preference == hosts[0].Preference {
			names = append(names, hosts[i].Name)
		}
	}
	return names
}

// digest is a number for a set of names, never 0.
func digest(names []string) uint64 {
	sum := uint64(1)
	for _, n := range names { // a sum, so that the order does not matter
		h := uint64(14695981039346656037)
		for i := range len(n) {
			h = (h ^ uint64(n[i])) * 1099511628211
		}
		sum += h | 1
	}
	return max(sum, 1)
}

// bestHosts is the hosts of the best preference in the lane's MX records; nil when they
// are not known.
func (m *Machine) bestHosts(r *laneRoute) []string {
	if r == nil || !r.byMX {
		return nil
	}
	if r.best != nil || len(r.hosts) == 0 {
		return r.best
	}
	var names []string
	for i := range r.hosts {
		if r.hosts[i].preference == r.hosts[0].preference {
			names = append(names, m.hosts.at(r.hosts[i].host).key.host)
		}
	}
	return names
}

// rollupText says why a lane is counted under what it is; empty when there is nothing to
// say or it is not known yet.
func (m *Machine) rollupText(l *lane) string {
	if l.policy.Under.Kind == policy.UnderNone && l.policy.Rollup.Apart == "" && m.bestHosts(l.route) == nil {
		return ""
	}
	_, d := m.laneNames(l)
	return route.Reason(l.policy, d, m.routingOf(l))
}

// sameWay reports whether two policies send mail the same way: what hosts it may go to
// and how is then as an answer under the other says.
func sameWay(a, b *policy.Queue) bool {
	x, y := a.Session, b.Session
	if a.MaxMXHosts != b.MaxMXHosts || a.MaxAddressesPerHost != b.MaxAddressesPerHost {
		return false
	}
	if x == nil || y == nil || x == y {
		return x == y
	}
	return x.Gateway == y.Gateway && slices.Equal(x.Routes, y.Routes) && x.Port == y.Port &&
		x.UseIPv4 == y.UseIPv4 && x.UseIPv6 == y.UseIPv6 &&
		x.TLS == y.TLS && x.TLSVerify == y.TLSVerify && x.UseDANE == y.UseDANE && x.UseMTASTS == y.UseMTASTS &&
		slices.Equal(x.SkipHosts, y.SkipHosts) && slices.Equal(x.Prohibited, y.Prohibited)
}
