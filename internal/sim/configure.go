package sim

import (
	"net/netip"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// A world is configured by the rules of a scenario or by a whole configuration. Here is
// all that it asks of either.

// queuePolicy is what holds for a binding and domain under a rollup; empty: none.
func (w *World) queuePolicy(binding, domain, rollup string) *policy.Queue {
	if w.conf != nil {
		return w.conf.resolver.QueueUnder(binding, domain, rollup)
	}
	return w.rules.queue(w.bindingOf(binding), domain, rollup)
}

func (w *World) hostPolicy(binding string, r *Receiver, addrs []netip.Addr) *policy.Host {
	if w.conf != nil {
		return w.conf.resolver.Host(binding, r.Host, addrs)
	}
	return w.rules.host(w.bindingOf(binding), r)
}

func (w *World) serverPolicy() policy.Server {
	if w.conf != nil {
		return w.conf.snapshot().Server(0)
	}
	return w.rules.server()
}

func (w *World) tenantWeights() map[string]int {
	if w.conf != nil {
		return w.conf.snapshot().Tenants
	}
	return w.rules.tenants
}

// ceilings is what a connection counts on under the configuration that holds.
func (w *World) ceilings(x whose) []ceiling {
	x = w.under(x)
	if w.conf != nil {
		return w.conf.root.ceilings(x)
	}
	return w.rules.ceilings(w.bindingOf(x.binding), x)
}

func (w *World) standing(c *conn) standing {
	s := standing{now: w.ceilings(c.whose())}
	s.before = s.now
	if w.referee.reloading && w.was != nil {
		s.before = w.was(c.whose())
	}
	return s
}

// gauges is the rates that an act of a connection falls under.
func (w *World) gauges(c *conn, act string) []gauge { return w.gaugesOf(c.whose(), act) }

func (w *World) gaugesOf(x whose, act string) []gauge {
	if w.conf != nil {
		return w.conf.root.gauges(w.under(x), act)
	}
	return w.rules.gauges(w.bindingOf(x.binding), w.under(x), act)
}

// configure puts a configuration into force, by a reload if the machine runs.
func (w *World) configure(root *stanza) {
	c, err := load(root)
	if err != nil {
		w.fail("%v", err)
		return
	}
	old := w.conf
	w.conf = c
	if old != nil {
		under := w.frozen()
		w.was = func(x whose) []ceiling { return old.root.ceilings(under(x)) }
	}
	snap := c.snapshot()
	for _, b := range w.bindings { // each is set by itself: the order does not matter
		b.gone = snap.Bindings[b.name] == nil
	}
	for name, b := range snap.Bindings { // likewise
		x := w.bindingOf(name)
		x.group, x.weight = b.Group, b.Weight
	}
	w.reload()
}

// Reload applies the rules as they are now.
func (w *World) Reload() {
	old := w.rules
	old.limits = append([]rule(nil), old.limits...)
	under := w.frozen()
	w.was = func(x whose) []ceiling { return old.ceilings(w.bindingOf(x.binding), under(x)) }
	w.rules.queues, w.rules.hosts = nil, nil
	w.reload()
}

// reload tells the machine of a new configuration, all that it knows at once.
func (w *World) reload() {
	if w.m == nil {
		return
	}
	w.reread()
	w.referee.reload(w)
	w.generation++
	ev := sched.PolicyChanged{Generation: w.generation, Server: w.serverPolicy(), Tenants: w.tenantWeights()}
	for cursor := ""; ; {
		names, next := w.m.Names(cursor, 100)
		for _, n := range names {
			gone := w.bindingOf(n.Binding).gone
			switch {
			case gone && n.Host == "":
				ev.Queues = append(ev.Queues, sched.QueuePolicy{Binding: n.Binding, Domain: n.Domain})
			case gone:
			case n.Host != "":
				ev.Hosts = append(ev.Hosts, sched.HostPolicy{Binding: n.Binding, Host: n.Host, Policy: w.hostPolicy(n.Binding, w.receivers[n.Host], n.Addresses)})
			default:
				x := sched.QueuePolicy{Binding: n.Binding, Domain: n.Domain}
				x.Routing, x.Policy = w.routed(n.Binding, n.Domain, n.Best)
				ev.Queues = append(ev.Queues, x)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	w.step(ev)
}
