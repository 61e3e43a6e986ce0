package sched

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// What one query does under its driver's lock is bounded: so many rows, and so many
// records looked at for them.
const (
	pageRows  = 128
	pageSlots = 4096
)

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
	left := pageSlots
	if kind != 'h' {
		for ; at < m.lanes.next && len(names) < min(n, 2*pageRows) && left > 0; at++ {
			left--
			if l := m.lanes.at(at); l.policy != nil {
				b, d := m.laneNames(l)
				names = append(names, Name{Binding: b, Domain: d, Routing: m.routingOf(l), Best: m.bestOf(l.route.site), Generation: l.generation})
			}
		}
		if at < m.lanes.next {
			return names, cursorAt('l', at)
		}
		at = 1
	}
	for ; at < m.hosts.next && len(names) < min(n, 2*pageRows) && left > 0; at++ {
		left--
		if h := m.hosts.at(at); h.key.binding != 0 {
			left -= len(h.known)
			names = append(names, Name{Binding: m.names.bindings[h.key.binding].name, Host: h.key.host, Addresses: h.addresses(), Generation: h.generation})
		}
	}
	if at < m.hosts.next {
		return names, cursorAt('h', at)
	}
	return names, ""
}

func cursorAt(kind byte, at uint32) string { return string(kind) + strconv.FormatUint(uint64(at), 10) }

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

// Queues returns up to n queues after the cursor, not more than one look under the lock
// can show, and the cursor of the next page, empty at the end; a page may be empty before
// it. Cursors are opaque; "" begins. A queue that lives through all pages is on exactly one
// of them.
func (m *Machine) Queues(now int64, cursor string, n int) (rows []QueueView, next string) {
	_, at := parseCursor(cursor)
	now = max(now, m.now)
	for left := pageSlots; at < m.queues.next && len(rows) < min(n, pageRows) && left > 0; at++ {
		left--
		if q := m.queues.at(at); q.lane != 0 {
			rows = append(rows, m.queueView(now, at))
		}
	}
	if at < m.queues.next {
		next = cursorAt('q', at)
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
	h, ok3 := m.queueOn(queueKey{l, t})
	return h, ok1 && ok2 && ok3
}

func (m *Machine) queueView(now int64, h uint32) QueueView {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	b, d := m.laneNames(l)
	v := QueueView{
		Queue: m.queueName(q), Tenant: m.names.tenants[q.tenant], Binding: b, Domain: d, Routing: m.routingOf(l),
		Queued: int(q.waiting.n), Ready: int(q.ready.n), Conns: int(q.conns),
		Oldest: seconds(now - m.oldestOf(q, now)),
	}
	v.State, _ = m.state(now, h)
	if q.cause != noCause {
		v.Cause, v.For = m.causeName(q.cause), seconds(now-q.since)
	}
	if q.waitOn != 0 {
		c := m.counterView(now, q.waitOn, q.since)
		c.State = "blocks"
		v.WaitingOn = &c
	}
	return v
}

// Bindings returns every binding that the machine knows, by name, without Domains.
func (m *Machine) Bindings() []BindingView {
	out := make([]BindingView, 0, len(m.names.bindings)-1)
	for i := 1; i < len(m.names.bindings); i++ {
		out = append(out, m.bindingView(uint32(i)))
	}
	slices.SortFunc(out, func(a, b BindingView) int { return strings.Compare(a.Binding, b.Binding) })
	return out
}

func (m *Machine) bindingView(h uint32) BindingView {
	b := &m.names.bindings[h]
	v := BindingView{Binding: b.name, Group: b.group, Conns: b.conns, Limit: limit.Unlimited, Queued: b.queued, Ready: b.ready}
	if b.policy != nil {
		v.Limit = least(b.policy.Limits, func(x *policy.Limit) bool { return x.By == policy.ByBinding })
	}
	switch {
	case b.gone:
		v.Trouble = "removed from the configuration"
	case b.gate != 0 && m.gates.at(b.gate).level > 0:
		v.Trouble = m.gates.at(b.gate).reply.String()
	}
	return v
}

// least is the smallest of the limits that are meant, limit.Unlimited if there is none.
func least(limits []policy.Limit, meant func(*policy.Limit) bool) int {
	n := limit.Unlimited
	for i := range limits {
		if x := &limits[i]; x.Max >= 0 && meant(x) && (n == limit.Unlimited || x.Max < n) {
			n = x.Max
		}
	}
	return n
}

// Binding returns one binding, without Domains.
func (m *Machine) Binding(name string) (BindingView, bool) {
	h, ok := m.names.bindingOf[name]
	if !ok {
		return BindingView{}, false
	}
	return m.bindingView(h), true
}

// BindingDomains returns a binding's connections to domains in pages, as Queues does.
func (m *Machine) BindingDomains(name, cursor string, n int) (rows []BindingUsage, next string) {
	h, ok := m.names.bindingOf[name]
	if !ok {
		return nil, ""
	}
	_, at := parseCursor(cursor)
	for left := pageSlots; at < m.lanes.next && len(rows) < n && left > 0; at++ {
		left--
		if l := m.lanes.at(at); l.policy != nil && l.key.binding == h {
			rows = append(rows, BindingUsage{Domain: m.domainText(l.key.domain), Conns: int(l.open.n), Limit: m.laneLimit(l)})
		}
	}
	if at < m.lanes.next {
		next = cursorAt('l', at)
	}
	return rows, next
}

// laneLimit is the smallest limit of a binding's connections to a domain.
func (m *Machine) laneLimit(l *lane) int {
	return least(l.policy.Limits, func(*policy.Limit) bool { return true })
}

// Domain returns what the machine knows of a domain, and of the domains that are counted
// under its name, in pages as Queues does: some of its queues, and the hosts of the lanes
// whose queues begin on the page.
func (m *Machine) Domain(now int64, name, cursor string, n int) (v DomainView, next string, ok bool) {
	h := m.findDomain(name)
	if h == 0 {
		return DomainView{}, "", false
	}
	var under list
	if x := m.names.under[h]; x != nil {
		under = *x
	}
	p := domainPage{m: m, now: max(now, m.now), rows: min(n, pageRows), left: pageSlots / 4}
	p.v = DomainView{Domain: name, Conns: int(m.names.conns[h]), Under: int(under.n)}
	kind, at, t := domainCursor(cursor)
	if kind == 'd' {
		for ; at < uint32(len(m.names.bindings)); at, t = at+1, 0 {
			p.left--
			if lh, ok := m.laneTo(laneKey{at, h}); ok {
				p.found = true
				if t, ok = p.lane(lh, t); !ok {
					return p.v, fmt.Sprintf("d%d.%d", at, t), true
				}
			}
		}
		at, t = under.head, 0
	}
	for ; at != 0 && m.isUnder(at, h); at, t = m.lanes.at(at).unext, 0 {
		var ok bool
		if t, ok = p.lane(at, t); !ok {
			return p.v, fmt.Sprintf("u%d.%d", at, t), true
		}
	}
	return p.v, "", p.found || under.n > 0 || cursor != ""
}

// isUnder reports whether a lane is (still) counted under another domain's name.
func (m *Machine) isUnder(lane, domain uint32) bool {
	l := m.lanes.at(lane)
	return l.policy != nil && l.routing == domain && l.key.domain != domain
}

// domainPage is a page of a domain that is being filled.
type domainPage struct {
	m          *Machine
	now        int64
	rows, left int
	found      bool // a lane to it
	v          DomainView
}

// lane adds the queues of a lane from a tenant on; false and the tenant to go on with when
// the page is full.
func (p *domainPage) lane(lh, tenant uint32) (uint32, bool) {
	l := p.m.lanes.at(lh)
	if tenant == 0 {
		p.v.addHosts(p.m.hostViews(p.now, l))
	}
	for ; int(tenant) < len(p.m.names.tenants); tenant++ {
		if len(p.v.Queues) >= p.rows || p.left <= 0 {
			return tenant, false
		}
		p.left--
		if q, ok := p.m.queueOn(queueKey{lh, int32(tenant)}); ok {
			p.v.Queues = append(p.v.Queues, p.m.queueView(p.now, q))
		}
	}
	return 0, true
}

// domainCursor is where a page of a domain begins: its own lanes (d) by binding and tenant,
// those under its name (u) by lane and tenant.
func domainCursor(s string) (kind byte, at, tenant uint32) {
	if len(s) > 0 && (s[0] == 'd' || s[0] == 'u') {
		if _, err := fmt.Sscanf(s[1:], "%d.%d", &at, &tenant); err == nil && at > 0 {
			return s[0], at, tenant
		}
	}
	return 'd', 1, 0
}

// addHosts adds hosts that are not there yet in the same state.
func (v *DomainView) addHosts(more []HostView) {
	for _, x := range more {
		if !slices.ContainsFunc(v.Hosts, func(y HostView) bool { return x.Host == y.Host && x.State == y.State }) {
			v.Hosts = append(v.Hosts, x)
		}
	}
}

// Totals counts what the machine holds.
func (m *Machine) Totals(now int64) Totals {
	now = max(now, m.now)
	oldest := now
	if m.byAge.head != 0 {
		oldest = m.messages.at(m.byAge.head).received
	}
	t := Totals{
		Messages: m.messages.live, Parts: m.parts.live, Queues: m.queues.live, Connections: m.conns.live,
		Oldest: time.Duration(now - oldest), OldestSecs: seconds(now - oldest),
		Counters: m.limits.Counters(), Backlog: m.results.len() + m.unstored.len(),
	}
	for i := range m.names.bindings {
		t.Queued += m.names.bindings[i].queued
		t.Ready += m.names.bindings[i].ready
	}
	t.Flying = t.Parts - t.Queued - t.Ready
	for i := range m.tallies {
		x := &m.tallies[i]
		ticks := x.ticks + (now>>tickBits)*int64(x.waiting) - x.since
		if x.waiting > 0 || ticks > 0 {
			t.Waiting = append(t.Waiting, CauseTotal{Cause: x.name, Queues: x.waiting, Seconds: seconds(ticks << tickBits)})
		}
	}
	return t
}
