package sched

// Suspension is an operator's order to deliver nothing for a domain, a binding, a tenant,
// or what is named together; an empty name stands for all.
type Suspension struct {
	Domain  string
	Binding string
	Tenant  string
	By      string
	Reason  string
	Since   int64 // ns of CLOCK_BOOTTIME
}

// key is under what the order is remembered.
func (s *Suspension) key() string {
	return "suspend\x00" + s.Domain + "\x00" + s.Binding + "\x00" + s.Tenant
}

// suspensions is the suspensions that stand, in the order in which they were given.
type suspensions struct {
	list []Suspension
	at   map[orderKey]int
}

type orderKey struct{ binding, domain, tenant string }

func (o *suspensions) add(s Suspension) {
	if o.at == nil {
		o.at = map[orderKey]int{}
	}
	o.at[orderKey{s.Binding, s.Domain, s.Tenant}] = len(o.list)
	o.list = append(o.list, s)
}

// find returns the broadest order that holds for a binding and a domain: for all tenants,
// or (tenant not empty) for that one.
func (o *suspensions) find(binding, domain, tenant string) *Suspension {
	if len(o.list) == 0 {
		return nil
	}
	for _, k := range [...]orderKey{{"", "", tenant}, {"", domain, tenant}, {binding, "", tenant}, {binding, domain, tenant}} {
		if i, ok := o.at[k]; ok {
			return &o.list[i]
		}
	}
	return nil
}

// cut removes the orders that sel covers and returns them.
func (o *suspensions) cut(sel selector) []Suspension {
	var out []Suspension
	kept := o.list[:0]
	for _, x := range o.list {
		if (sel.binding == "" || sel.binding == x.Binding) && (sel.domain == "" || sel.domain == x.Domain) &&
			(sel.tenant == "" || sel.tenant == x.Tenant) {
			out = append(out, x)
			continue
		}
		kept = append(kept, x)
	}
	if len(out) > 0 {
		clear(o.list[len(kept):])
		o.list = kept
		clear(o.at)
		for i := range kept {
			o.at[orderKey{kept[i].Binding, kept[i].Domain, kept[i].Tenant}] = i
		}
	}
	return out
}

// lift takes back the orders that sel covers, and has them forgotten.
func (m *Machine) lift(sel selector, quiet bool) {
	for _, s := range m.suspensions.cut(sel) {
		if !quiet {
			m.emit(Remember{Key: s.key(), Forget: true})
		}
	}
}

// suspended returns the order that holds for all mail of a binding for a domain, nil if
// none does. An empty domain asks for orders about all of them.
func (m *Machine) suspended(binding, domain string) *Suspension {
	return m.suspensions.find(binding, domain, "")
}

// laneSuspension returns the order that holds for all tenants of a lane, nil if none does.
func (m *Machine) laneSuspension(l *lane) *Suspension {
	b, d := m.laneNames(l)
	if s := m.suspended(b, d); s != nil {
		return s
	}
	return m.suspended(b, m.routingOf(l))
}

// tenantSuspension returns the order that holds for a queue because of its tenant.
func (m *Machine) tenantSuspension(q *queue, l *lane) *Suspension {
	tenant := m.names.tenants[q.tenant]
	if tenant == "" {
		return nil
	}
	b, d := m.laneNames(l)
	if s := m.suspensions.find(b, d, tenant); s != nil {
		return s
	}
	return m.suspensions.find(b, m.routingOf(l), tenant)
}

// suspension returns the order that holds for a queue, nil if none does.
func (m *Machine) suspension(q *queue, l *lane) *Suspension {
	if s := m.laneSuspension(l); s != nil {
		return s
	}
	return m.tenantSuspension(q, l)
}

// halt has the lanes and queues of a selector do what the orders say now.
func (m *Machine) halt(sel selector) {
	m.eachLane(&m.jobs, func(_ uint32, l *lane) {
		if m.covers(&sel, l) {
			l.route.closed = l.policy.Suspended || m.laneSuspension(l) != nil
			m.forgetOthers(l)
		}
	})
	m.eachQueue(func(h uint32, q *queue) {
		if l := m.lanes.at(q.lane); m.covers(&sel, l) {
			m.haltQueue(h, l)
			m.replace(h)
		}
	})
}

// haltQueue sets what tenants' orders say about a queue of a lane.
func (m *Machine) haltQueue(h uint32, l *lane) {
	q := m.queues.at(h)
	q.mark(suspended, m.tenantSuspension(q, l) != nil)
}

// haltQueues does so for all queues of a lane.
func (m *Machine) haltQueues(l *lane) {
	m.eachOn(l, func(h uint32) { m.haltQueue(h, m.lanes.at(m.queues.at(h).lane)) })
}

// halted reports whether nothing of a queue may be delivered.
func (q *queue) halted(l *lane) bool { return l.route.closed || q.is(suspended) }

// Suspensions returns the orders that stand, in the order in which they were given.
func (m *Machine) Suspensions() []Suspension {
	return append([]Suspension(nil), m.suspensions.list...)
}
