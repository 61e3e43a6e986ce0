package sched

// Name is a pair of names that the machine knows: a binding with a domain (Host is
// empty) or with a host (Domain is empty).
type Name struct {
	Binding, Domain, Host string
	Generation            uint64 // of the policy it has; below that of the last PolicyChanged: not covered by it
}

// Names returns up to n of the pairs that the machine knows, and the cursor of the
// next page: empty at the end. A reload resolves the policy of each outside the lock
// and sends PolicyChanged; pairs that came up meanwhile show by their Generation, so a
// reload asks again until no page holds an older one. Cursors are opaque; "" begins.
func (m *Machine) Names(cursor string, n int) (names []Name, next string) { return nil, "" }

// Queues returns up to n queues after the cursor and the cursor of the next page,
// empty at the end. Cursors are opaque; "" begins. A queue that lives through all
// pages is on exactly one of them.
func (m *Machine) Queues(now int64, cursor string, n int) (rows []QueueView, next string) {
	return nil, ""
}

// Queue returns one queue. An empty tenant is the queue without a tenant.
func (m *Machine) Queue(now int64, domain, binding, tenant string) (QueueView, bool) {
	return QueueView{}, false
}

// Explain says why a queue, named domain/binding or domain/binding/tenant, does or
// does not move.
func (m *Machine) Explain(now int64, queue string) (Explanation, bool) { return Explanation{}, false }

// Bindings returns every binding that the machine knows, by name, without Domains.
func (m *Machine) Bindings() []BindingView { return nil }

// Binding returns one binding with its domains: at most 1000, those with connections first.
func (m *Machine) Binding(name string) (BindingView, bool) { return BindingView{}, false }

// Domain returns what the machine knows of a domain: its queues and hosts, at most
// 1000 of each.
func (m *Machine) Domain(now int64, name string) (DomainView, bool) { return DomainView{}, false }

// Totals counts what the machine holds.
func (m *Machine) Totals(now int64) Totals { return Totals{} }

// CheckInvariants recounts everything from the lists of connections and parts and
// compares it with what the machine has counted; an error names the first difference.
// It is slow and meant for tests and the simulator.
func (m *Machine) CheckInvariants() error { return nil }
