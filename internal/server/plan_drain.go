package server

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// tallied is a counter as the new configuration would have it, with the connections there
// are now.
type tallied struct{ use, limit int }

// held lists the connections there are, and asks names for what their queues would fall
// under.
func (p *plan) held() {
	for cursor := ""; ; {
		var page []sched.HeldConn
		p.s.driver.View(func(m *sched.Machine, _ int64) { page, cursor = m.Held(cursor, planPage) })
		for i := range page {
			p.routed[pair{binding: page[i].Binding, domain: page[i].Domain}] = sched.QueuePolicy{}
		}
		p.conns = append(p.conns, page...)
		if cursor == "" {
			return
		}
	}
}

func (p *plan) has(k pair) bool {
	_, ok := p.routed[k]
	return ok
}

// drains counts every connection as the new configuration would, and returns the counters
// that would hold more than they admit.
func (p *plan) drains() (rows []admin.PlanDrain, more int) {
	counters := map[string]*tallied{}
	for i := range p.conns {
		p.tally(counters, &p.conns[i])
	}
	rows = []admin.PlanDrain{}
	for name, c := range counters { // sorted below
		if c.use > c.limit {
			rows = append(rows, admin.PlanDrain{Counter: name, Connections: c.use, Limit: c.limit, Over: c.use - c.limit})
		}
	}
	slices.SortFunc(rows, func(a, b admin.PlanDrain) int {
		return cmp.Or(cmp.Compare(b.Over, a.Over), cmp.Compare(a.Counter, b.Counter))
	})
	if len(rows) > planDrains {
		rows, more = rows[:planDrains], len(rows)-planDrains
	}
	return rows, more
}

func (p *plan) tally(counters map[string]*tallied, c *sched.HeldConn) {
	if p.new.Snapshot().Bindings[c.Binding] == nil {
		return // told as a binding that goes
	}
	under := p.routed[pair{binding: c.Binding, domain: c.Domain}]
	q := under.Policy
	if q == nil { // its queue has gone meanwhile
		q = p.new.queue(c.Binding, c.Domain, "")
	}
	routing := cmp.Or(under.Routing, c.Domain)
	add := func(x *policy.Limit) {
		name := c.CounterName(x, q.Group, routing)
		t := counters[name]
		if t == nil {
			t = &tallied{limit: x.Max + x.Reserve}
			counters[name] = t
		}
		t.use++
	}
	for i := range q.Limits {
		add(&q.Limits[i])
	}
	h := p.new.Host(c.Binding, c.Host, []netip.Addr{c.Address})
	for i := range h.Limits {
		add(&h.Limits[i])
	}
	at := h.Addresses[c.Address]
	for i := range at {
		add(&at[i])
	}
}

// place splits FILE:LINE.
func place(s string) (file string, line int) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return "", 0 // a default
	}
	n, err := strconv.Atoi(s[at+1:])
	if err != nil {
		return s, 0
	}
	return s[:at], n
}
