package sched

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
)

// most is the most rows of a list inside one answer.
const most = 1000

// Name is a pair of names that the machine knows: a binding with a domain (Host is
// empty) or with a host (Domain is empty).
type Name struct {
	Binding, Domain, Host string
	Routing               string       // of the domain
	Best                  []string     // the domain's MX hosts of the best preference; empty: not known, or not asked for
	Addresses             []netip.Addr // of the host: all that answers have named
	Generation            uint64       // of the policy it has; below that of the last PolicyChanged: not covered by it
}

// Names returns up to n of the pairs that the machine knows, and the cursor of the
// next page: empty at the end. A reload resolves the policy of each outside the lock
// and sends PolicyChanged; pairs that came up meanwhile show by their Generation, so a
// reload asks again until no page holds an older one. Cursors are opaque; "" begins.
func (m *Machine) Names(cursor string, n int) (names []Name, next string) {
	kind, at := parseCursor(cursor)
	if kind != 'h' {
		for ; at < m.lanes.next && len(names) < n; at++ {
			if l := m.lanes.at(at); l.policy != nil {
				b, d := m.laneNames(l)
				names = append(names, Name{Binding: b, Domain: d, Routing: m.routingOf(l), Best: m.bestHosts(l.route), Generation: l.generation})
			}
		}
		if at < m.lanes.next {
			return names, "l" + strconv.FormatUint(uint64(at), 10)
		}
		at = 1
	}
	for ; at < m.hosts.next && len(names) < n; at++ {
		if h := m.hosts.at(at); h.key.binding != 0 {
			names = append(names, Name{Binding: m.names.bindings[h.key.binding].name, Host: h.key.host, Addresses: h.addresses(), Generation: h.generation})
		}
	}
	if at < m.hosts.next {
		return names, "h" + strconv.FormatUint(uint64(at), 10)
	}
	return names, ""
}

func parseCursor(s string) (kind byte, at uint32) {
	if s == "" {
		return 0, 1
	}
	n, err := strconv.ParseUint(s[1:], 10, 32)
	if err != nil || n == 0 {
		return s[0], 1
	}
	return s[0], uint32(n)
}

// Queues returns up to n queues after the cursor and the cursor of the next page,
// empty at the end. Cursors are opaque; "" begins. A queue that lives through all
// pages is on exactly one of them.
func (m *Machine) Queues(now int64, cursor string, n int) (rows []QueueView, next string) {
	_, at := parseCursor(cursor)
	for ; at < m.queues.next && len(rows) < n; at++ {
		if q := m.queues.at(at); q.lane != 0 {
			rows = append(rows, m.queueView(max(now, m.now), at))
		}
	}
	if at < m.queues.next {
		next = "q" + strconv.FormatUint(uint64(at), 10)
	}
	return rows, next
}

// Queue returns one queue. An empty tenant is the queue without a tenant.
func (m *Machine) Queue(now int64, domain, binding, tenant string) (QueueView, bool) {
	h, ok := m.findQueue(domain, binding, tenant)
	if !ok {
		return QueueView{}, false
	}
	return m.queueView(max(now, m.now), h), true
}

func (m *Machine) findQueue(domain, binding, tenant string) (uint32, bool) {
	l, ok1 := m.findLane(binding, domain)
	t, ok2 := m.names.tenantOf[tenant]
	h, ok3 := m.queueOf[queueKey{l, t}]
	return h, ok1 && ok2 && ok3
}

func (m *Machine) queueView(now int64, h uint32) QueueView {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	b, d := m.laneNames(l)
	v := QueueView{
		Queue: d + "/" + b, Tenant: m.names.tenants[q.tenant], Binding: b, Domain: d, Routing: m.routingOf(l),
		Queued: int(q.waiting.n), Ready: int(q.ready.n), Conns: int(q.conns),
		Oldest: float64(now-m.oldestOf(q, now)) / float64(time.Second),
	}
	if v.Tenant != "" {
		v.Queue += "/" + v.Tenant
	}
	v.State, _ = m.state(now, h)
	if q.waitOn != 0 {
		c := m.counterView(q.waitOn, q.since)
		v.WaitingOn = &c
	}
	return v
}

// oldestOf is when the oldest message of the queue was received, as far as the first
// hundred of its parts tell.
func (m *Machine) oldestOf(q *queue, now int64) int64 {
	oldest := now
	n := 0
	look := func(p uint32) bool {
		oldest = min(oldest, m.messages.at(m.parts.at(p).msg).received)
		n++
		return n%100 != 0
	}
	m.eachReady(q, look)
	n = 0
	for p := q.waiting.head; p != 0 && look(p); {
		p = m.parts.at(p).next
	}
	return oldest
}

func (m *Machine) counterView(id limit.CounterID, since int64) CounterView {
	s, k, x := m.limits.State(id), m.limits.Key(id), m.meta[id].limit
	return CounterView{
		Option: k.Option, Key: k.String(), Use: s.Used, Limit: s.Limit, Waiters: s.Waiters,
		Stanza: x.Origin.Stanza, File: x.Origin.File, Line: x.Origin.Line, SinceAt: since,
	}
}

// Bindings returns every binding that the machine knows, by name, without Domains.
func (m *Machine) Bindings() []BindingView {
	out := make([]BindingView, 0, len(m.names.bindings)-1)
	limits := m.bindingLimits()
	for i := 1; i < len(m.names.bindings); i++ {
		out = append(out, m.bindingView(uint32(i), limits))
	}
	slices.SortFunc(out, func(a, b BindingView) int { return strings.Compare(a.Binding, b.Binding) })
	return out
}

func (m *Machine) bindingView(h uint32, limits map[string]int) BindingView {
	b := &m.names.bindings[h]
	v := BindingView{Binding: b.name, Group: b.group, Conns: b.conns, Limit: limit.Unlimited, Queued: b.queued, Ready: b.ready}
	if n, ok := limits[b.name]; ok {
		v.Limit = n
	}
	switch {
	case b.gone:
		v.Trouble = "removed from the configuration"
	case b.gate != 0 && m.gates.at(b.gate).level > 0:
		v.Trouble = m.gates.at(b.gate).reply.String()
	}
	return v
}

// bindingLimits is the smallest limit on all connections of each binding, as far as
// counters of bindings are alive.
func (m *Machine) bindingLimits() map[string]int {
	least := map[string]int{}
	for id := limit.CounterID(1); int(id) < m.limits.Bound(); id++ {
		k := m.limits.Key(id)
		if k.Binding == "" || k.Domain != "" || k.Host != "" || k.Address.IsValid() || k.Stanza != "" {
			continue
		}
		n := m.limits.State(id).Limit
		if old, ok := least[k.Binding]; !ok || n < old {
			least[k.Binding] = n
		}
	}
	return least
}

// Binding returns one binding with its domains: at most 1000, those with most
// connections first.
func (m *Machine) Binding(name string) (BindingView, bool) {
	h, ok := m.names.bindingOf[name]
	if !ok {
		return BindingView{}, false
	}
	v := m.bindingView(h, m.bindingLimits())
	for at := uint32(1); at < m.lanes.next; at++ {
		if l := m.lanes.at(at); l.policy != nil && l.key.binding == h {
			v.Domains = append(v.Domains, BindingUsage{Domain: m.names.domains.at(l.key.domain).name, Conns: int(l.conns), Limit: m.laneLimit(l)})
		}
	}
	slices.SortFunc(v.Domains, func(a, b BindingUsage) int {
		return cmp.Or(b.Conns-a.Conns, strings.Compare(a.Domain, b.Domain))
	})
	if len(v.Domains) > most {
		v.Domains = slices.Clone(v.Domains[:most])
	}
	return v, true
}

// laneLimit is the smallest limit of a binding's connections to a domain.
func (m *Machine) laneLimit(l *lane) int {
	least := limit.Unlimited
	for i := range l.policy.Limits {
		if n := l.policy.Limits[i].Max; n >= 0 && (least == limit.Unlimited || n < least) {
			least = n
		}
	}
	return least
}

// Domain returns what the machine knows of a domain, or of the domains that are counted
// under a name: queues and hosts, at most 1000 of each.
func (m *Machine) Domain(now int64, name string) (DomainView, bool) {
	h, ok := m.names.domainOf[name]
	if !ok {
		return DomainView{}, false
	}
	now = max(now, m.now)
	d := m.names.domains.at(h)
	v := DomainView{Domain: name, Conns: d.conns}
	seen := map[string]bool{}
	show := func(l *lane) {
		for q := l.queues.head; q != 0 && len(v.Queues) < most; q = m.queues.at(q).next {
			v.Queues = append(v.Queues, m.queueView(now, q))
		}
		for _, x := range m.hostViews(now, l) {
			if id := x.Host + " " + x.State; !seen[id] && len(v.Hosts) < most {
				seen[id] = true
				v.Hosts = append(v.Hosts, x)
			}
		}
	}
	for lh := d.lanes.head; lh != 0 && len(v.Queues) < most; lh = m.lanes.at(lh).next {
		show(m.lanes.at(lh))
	}
	for lh := d.under.head; lh != 0 && len(v.Queues) < most; lh = m.lanes.at(lh).unext {
		show(m.lanes.at(lh))
		v.Conns += int(m.lanes.at(lh).conns)
	}
	slices.SortFunc(v.Queues, func(a, b QueueView) int { return strings.Compare(a.Queue, b.Queue) })
	return v, true
}

// Totals counts what the machine holds.
func (m *Machine) Totals(now int64) Totals {
	now = max(now, m.now)
	oldest := now
	for h := uint32(1); h < m.messages.next; h++ {
		if x := m.messages.at(h); x.open > 0 {
			oldest = min(oldest, x.received)
		}
	}
	return Totals{
		Messages: m.messages.live, Parts: m.parts.live, Queues: m.queues.live, Connections: m.conns.live,
		Oldest: time.Duration(now - oldest),
	}
}
