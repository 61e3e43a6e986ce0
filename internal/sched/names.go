package sched

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// names turns the names that events carry into small numbers. Bindings and tenants
// come from the configuration and stay. Domains come from mail and go with their last
// lane; their numbers and texts are those of the engine's keys.
type names struct {
	bindings  []binding // from 1
	bindingOf map[string]uint32
	tenants   []string // from 0: no tenant
	tenantOf  map[string]int32
	under     map[uint32]*list  // by routing domain: lanes of other domains that are counted under it
	conns     map[uint32]uint32 // by domain: the connections of its lanes, if there are any
}

// binding is a binding that the machine has met.
type binding struct {
	name   string
	group  string
	policy *policy.Queue // of some lane: for what holds for the whole binding
	gate   uint32        // trouble with its own address
	gone   bool          // a reload has removed it
	conns  int
	queued int // parts that wait for a time
	ready  int // parts that wait for a connection
}

func newNames() names {
	return names{
		bindings: make([]binding, 1), bindingOf: map[string]uint32{},
		tenants: []string{""}, tenantOf: map[string]int32{"": 0},
		under: map[uint32]*list{}, conns: map[uint32]uint32{},
	}
}

func (m *Machine) binding(name string) uint32 {
	if b, ok := m.names.bindingOf[name]; ok {
		return b
	}
	name = strings.Clone(name)
	b := uint32(len(m.names.bindings))
	m.names.bindings = append(m.names.bindings, binding{name: name})
	m.names.bindingOf[name] = b
	return b
}

func (m *Machine) tenant(name string) int32 {
	if t, ok := m.names.tenantOf[name]; ok {
		return t
	}
	name = strings.Clone(name)
	t := int32(len(m.names.tenants))
	m.names.tenants = append(m.names.tenants, name)
	m.names.tenantOf[name] = t
	m.limits.SetWeight(t, max(m.weights[name], 1))
	return t
}

// findDomain returns the handle of a domain that some lane or counter names, else 0.
func (m *Machine) findDomain(name string) uint32 { return uint32(m.limits.FindName(name)) }

// useDomain returns the handle of a domain, and refers to it once more.
func (m *Machine) useDomain(name string) uint32 {
	if m.findDomain(name) == 0 {
		name = strings.Clone(name) // else it would keep the whole envelope alive
	}
	return uint32(m.limits.Name(name))
}

func (m *Machine) dropDomain(h uint32) { m.limits.DropName(limit.NameID(h)) }

func (m *Machine) domainText(h uint32) string { return m.limits.NameText(limit.NameID(h)) }

// connsTo counts connections of a domain's lanes.
func (m *Machine) connsTo(domain uint32, by int) {
	if n := m.names.conns[domain] + uint32(by); n > 0 {
		m.names.conns[domain] = n
	} else {
		delete(m.names.conns, domain)
	}
}

// laneKey and its kind are the numbers by which records are found.
type (
	laneKey  struct{ binding, domain uint32 }
	queueKey struct {
		lane   uint32
		tenant int32
	}
)

// lane is a binding's way to a domain: what the queues of all tenants on it share.
// It lives while it has queues. There may be a million of them, so what lanes have in
// common, or have at times, lies apart.
type lane struct {
	*rules    // its policy
	*laneMore // noMore while there is nothing in it
	route     laneRoute
	key       laneKey
	queues    list
	listed    [2]int32        // parts in its queues: those that named the binding, those that came by the group
	routing   uint32          // the domain whose name its connections are counted under
	own       limit.CounterID // its own counters at its site: the first, and
	ownRest   uint32          // the others
}

// laneMore is what a lane has while it has connections, or is counted under another name, or
// is in trouble, or under a rate.
type laneMore struct {
	open     list // its connections
	others   *others
	said     *mail.Reply // why there is no route
	asked    uint64      // generation under which Resolve was emitted, while it is asking
	service  int64       // ns that a message takes, a running mean, where rates ask for it; 0: not known yet
	doubtful int32       // connections opened by an answer that had run out
	trouble  int32       // answers in a row without a resolver
	timer    uint32      // a pause of resolving is over
	uprev    uint32      // among those under one routing domain
	unext    uint32
	under    bool   // it is one of them
	handle   uint32 // in its slab
}

// noMore is never written.
var noMore laneMore

// needMore is the lane's, to be written.
func (m *Machine) needMore(l *lane) *laneMore {
	if l.laneMore == &noMore {
		h := m.mores.alloc()
		l.laneMore = m.mores.at(h)
		*l.laneMore = laneMore{handle: h}
	}
	return l.laneMore
}

// tidy gives back what a lane does not need any more.
func (m *Machine) tidy(l *lane) {
	x := l.laneMore
	if x == &noMore {
		return
	}
	if l.route.pace == 0 {
		x.service = 0
	}
	if *x == (laneMore{handle: x.handle}) {
		m.mores.release(x.handle)
		l.laneMore = &noMore
	}
}

func (m *Machine) laneNames(l *lane) (binding, domain string) {
	return m.names.bindings[l.key.binding].name, m.domainText(l.key.domain)
}

// laneFor finds or creates a lane. One that is there keeps its policy: that of its
// routing domain, which changes by Resolved and PolicyChanged alone.
func (m *Machine) laneFor(b, d string, p *policy.Queue, generation uint64) uint32 {
	key := laneKey{m.binding(b), m.findDomain(d)}
	h, ok := m.laneTo(key)
	if !ok {
		key.domain = m.useDomain(d)
		h = m.lanes.alloc()
		*m.lanes.at(h) = lane{key: key, rules: m.rulesOf(p, generation), laneMore: &noMore, route: laneRoute{site: &noSite}}
		m.laneIndex.Insert(key.hash(), h)
		m.setGroup(key.binding, p)
		m.setRouting(h, "")
	}
	return h
}

// setGroup takes over what a lane's policy says of its whole binding.
func (m *Machine) setGroup(b uint32, p *policy.Queue) {
	x := &m.names.bindings[b]
	x.policy = p
	if x.group != p.Group {
		x.group = strings.Clone(p.Group)
	}
}

func (m *Machine) queueFor(lane uint32, tenant int32) uint32 {
	key := queueKey{lane, tenant}
	if h, ok := m.queueOn(key); ok {
		return h
	}
	h := m.queues.alloc()
	*m.queues.at(h) = queue{served: &noConns, lane: lane, tenant: tenant, epoch: m.queues.at(h).epoch, born: m.queues.at(h).born + 1}
	m.addQueue(h, key)
	m.queues.at(h).mark(suspended, m.tenantSuspension(m.queues.at(h), m.lanes.at(lane)) != nil)
	return h
}

// dropQueue frees a queue that holds nothing, and its lane and domain with it.
func (m *Machine) dropQueue(h uint32) {
	q := m.queues.at(h)
	if q.lane == 0 || q.dirty || q.conns > 0 || q.waiting.n > 0 || q.ready.n > 0 || q.flying > 0 {
		return
	}
	m.unwait(h)
	m.forgetWaits(h, q)
	lh, l := q.lane, m.lanes.at(q.lane)
	m.removeQueue(h, queueKey{lh, q.tenant})
	*q = queue{served: &noConns, epoch: q.epoch + 1, born: q.born} // places in lines that name it are void
	m.queues.release(h)
	if l.queues.n > 0 {
		return
	}
	own, s := m.takeOwn(l), l.route.site
	m.releaseOwn(own)
	m.leaveSite(s)
	m.wheel.cancel(&l.timer)
	if l.routing != l.key.domain {
		m.leaveRouting(lh, l.routing)
	}
	m.laneIndex.Remove(lh)
	m.dropDomain(l.key.domain)
	if l.laneMore != &noMore {
		m.mores.release(l.handle)
	}
	*l = lane{rules: &noRules, laneMore: &noMore, route: laneRoute{site: &noSite}}
	m.lanes.release(lh)
}
