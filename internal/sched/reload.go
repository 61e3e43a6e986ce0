package sched

import (
	"cmp"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// policyChanged takes over a new configuration in slices: what is lowered first; then
// policies and paths, with what is raised; then open connections move to their new
// paths. Nothing is opened until all of that is done, because a counter that the new
// configuration brings does not count what is open already before then.
func (m *Machine) policyChanged(ev *PolicyChanged) {
	if ev.Generation < m.generation {
		return // an older one that was overtaken
	}
	m.generation, m.weights = ev.Generation, ev.Tenants
	m.reloads++
	m.rulesBy = map[*policy.Queue]*rules{}
	m.server = ev.Server
	m.openFiles()
	queues, hosts, generation := ev.Queues, ev.Hosts, ev.Generation
	eachOf(&m.urgent, len(m.names.tenants), func(t int) {
		m.limits.SetWeight(int32(t), max(m.weights[m.names.tenants[t]], 1))
	})
	eachOf(&m.urgent, len(queues), func(i int) { m.lowerQueue(&queues[i], generation) })
	eachOf(&m.urgent, len(hosts), func(i int) { m.lowerHost(&hosts[i], generation) })
	eachOf(&m.urgent, len(queues), func(i int) { m.renewQueue(&queues[i], generation) })
	eachOf(&m.urgent, len(hosts), func(i int) { m.renewHost(&hosts[i], generation) })
	m.eachLane(&m.urgent, func(_ uint32, l *lane) { m.renewPaths(l) })
	m.eachConn(&m.urgent, m.renewConn)
}

// lowerQueue lowers the counters that the new policy of a lane lowers.
func (m *Machine) lowerQueue(x *QueuePolicy, generation uint64) {
	h, ok := m.findLane(x.Binding, x.Domain)
	if !ok || x.Policy == nil {
		return
	}
	names := m.laneText(m.lanes.at(h))
	names.group = x.Policy.Group
	if names.domain = x.Routing; x.Routing == "" {
		names.domain = cmp.Or(x.Policy.Gateway, x.Domain)
	}
	for i := range x.Policy.Limits {
		m.lower(&x.Policy.Limits[i], keyOf(&x.Policy.Limits[i], names, "", nil), generation)
	}
	for i := range x.Policy.Throttles {
		m.slow(&x.Policy.Throttles[i], throttleKey(&x.Policy.Throttles[i], names, "", nil), generation)
	}
}

func (m *Machine) lowerHost(x *HostPolicy, generation uint64) {
	h, ok := m.findHost(x.Binding, x.Host)
	if !ok || x.Policy == nil {
		return
	}
	names := laneText{binding: x.Binding, group: m.names.bindings[m.hosts.at(h).key.binding].group}
	for i := range x.Policy.Limits {
		m.lower(&x.Policy.Limits[i], keyOf(&x.Policy.Limits[i], names, x.Host, nil), generation)
	}
	for i := range x.Policy.Throttles {
		m.slow(&x.Policy.Throttles[i], throttleKey(&x.Policy.Throttles[i], names, x.Host, nil), generation)
	}
}

func (m *Machine) lower(x *policy.Limit, k limit.Key, generation uint64) {
	if x.Max < 0 {
		return
	}
	id, ok := m.limits.Lookup(k)
	if !ok {
		return
	}
	if s := m.limits.State(id); x.Max+x.Reserve < s.Limit+s.Reserve {
		m.setSource(id, sourceKey{limit: x, generation: generation}, false)
		m.limits.SetLimit(id, x.Max, x.Reserve)
	}
}

func (m *Machine) findLane(b, d string) (uint32, bool) {
	return m.laneTo(laneKey{m.names.bindingOf[b], m.findDomain(d)})
}

func (m *Machine) findHost(b, name string) (uint32, bool) {
	bh, ok1 := m.names.bindingOf[b]
	h, ok := m.hostOf[hostKey{bh, name}]
	return h, ok && ok1
}

func (m *Machine) renewQueue(x *QueuePolicy, generation uint64) {
	h, ok := m.findLane(x.Binding, x.Domain)
	if !ok {
		return
	}
	l := m.lanes.at(h)
	if x.Policy == nil {
		m.names.bindings[l.key.binding].gone = true
		l.rules = m.rulesOf(l.policy, generation)
		return
	}
	if generation < l.generation {
		return
	}
	m.takePolicy(l, x.Policy, generation)
	if x.Ask {
		l.route.until = 0
	}
	m.setRouting(h, x.Routing)
}

func (m *Machine) renewHost(x *HostPolicy, generation uint64) {
	h, ok := m.findHost(x.Binding, x.Host)
	if !ok || x.Policy == nil {
		return
	}
	if hs := m.hosts.at(h); generation >= hs.generation {
		hs.renew(x.Policy, generation)
	}
}

func (m *Machine) takePolicy(l *lane, p *policy.Queue, generation uint64) {
	if !sameWay(l.policy, p) {
		l.route.until = 0 // where its mail goes is asked again
	}
	if p.Expiration != l.policy.Expiration {
		m.sweep(sweepTimes)
	}
	l.rules = m.rulesOf(p, generation)
	m.setGroup(l.key.binding, p)
	m.names.bindings[l.key.binding].gone = false
	l.route.closed = p.Suspended || m.laneSuspension(l) != nil
	m.forgetOthers(l)
}

// renewPaths puts a lane on the counters of its policy, and has its queues begin anew.
func (m *Machine) renewPaths(l *lane) {
	m.renewSite(l)
	m.touchLane(l)
}

// renewConn moves an open connection: released where it was, charged where it is.
func (m *Machine) renewConn(h uint32, c *conn) {
	path := m.path(m.lanes.at(c.lane), c.host, c.place)
	m.limits.Move(&c.permit, path)
	m.releasePath(path)
	m.setFares(c)
	m.settle(h)
}
