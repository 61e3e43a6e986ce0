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
func (m *Machine) routingOf(l *lane) string { return m.domainText(l.routing) }

// setRouting gives a lane its routing domain (empty: the gateway of its policy, or its
// own domain) and reports whether it is another than before. The caller sees to the
// paths and to connections.
func (m *Machine) setRouting(h uint32, name string) bool {
	l := m.lanes.at(h)
	if name == "" {
		name = l.policy.Gateway
	}
	own, old := l.key.domain, l.routing
	now := own
	if name != "" && name != m.domainText(own) {
		now = m.useDomain(name)
	}
	if now == old {
		if now != own {
			m.dropDomain(now)
		}
		return false
	}
	if old != 0 && old != own {
		m.leaveRouting(h, old)
	}
	l.routing = now
	if now != own {
		under := m.names.under[now]
		if under == nil {
			under = &list{}
			m.names.under[now] = under
		}
		m.needMore(l).under = true
		m.underList(under).push(h)
	}
	l.route.closed = l.policy.Suspended || m.laneSuspension(l) != nil
	m.haltQueues(l)
	return old != 0
}

// leaveRouting takes a lane from under a domain that is not its own.
func (m *Machine) leaveRouting(h, domain uint32) {
	m.lanes.at(h).under = false
	under := m.names.under[domain]
	if m.underList(under).remove(h); under.n == 0 {
		delete(m.names.under, domain)
	}
	m.dropDomain(domain)
	m.tidy(m.lanes.at(h))
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
		sum += hashText(n) | 1
	}
	return max(sum, 1)
}

// hashText is FNV-1a.
func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// rollupText says why a lane is counted under what it is; empty when there is nothing to
// say or it is not known yet.
func (m *Machine) rollupText(l *lane) string {
	if l.policy.Under.Kind == policy.UnderNone && l.policy.Rollup.Apart == "" && m.bestOf(l.route.site) == nil {
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
