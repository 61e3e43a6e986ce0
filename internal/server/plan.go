package server

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

const (
	planPage     = 1000 // names or connections of one look
	planExamples = 3
	planGroups   = 200
	planDrains   = 200
)

// Plan implements admin.Backend: the configuration is compared with the one in force for
// everything that the scheduler knows, then for every name in a stanza of either.
func (b backend) Plan(shown policy.ShownScope) (admin.Plan, error) {
	now := b.policies.now.Load()
	snap, err := (&config.Loader{}).Restore(now.Snapshot().File, shown)
	if err != nil {
		return admin.Plan{}, fmt.Errorf("%w: the new configuration: %w", admin.ErrRefused, err)
	}
	snap.Generation = now.Snapshot().Generation + 1
	p := &plan{
		s: b.Server, old: now, new: resolverOf(snap), groups: map[planKey]*planGroup{}, routes: map[[2]string]*planGroup{},
		queues: map[queuePair][]policyChange{}, hosts: map[hostPair][]policyChange{}, routed: map[pair]sched.QueuePolicy{},
	}
	p.held()
	p.names()
	out := admin.Plan{Against: now.Snapshot().File, Queues: p.pairs, Hosts: p.hostPairs}
	p.stanzas(&out)
	out.Drains, out.MoreOver = p.drains()
	out.Routes = p.rerouted()
	out.Restart = list(needsRestart(b.begun, snap))
	out.Changes, out.More = p.changes()
	out.Changed = len(out.Changes)+len(out.Drains)+len(out.Routes)+len(out.Removed)+len(out.Added) > 0
	return out, nil
}

// plan compares two configurations for what there is.
type plan struct {
	s                *Server
	old, new         *resolved
	groups           map[planKey]*planGroup
	routes           map[[2]string]*planGroup
	queues           map[queuePair][]policyChange
	hosts            map[hostPair][]policyChange
	pairs, hostPairs int

	conns  []sched.HeldConn
	routed map[pair]sched.QueuePolicy // what those connections would fall under
}

// What differs between two policies is found once for all names that share them.
type (
	queuePair struct{ old, new *policy.Queue }
	hostPair  struct{ old, new *policy.Host }
)

// policyChange is a difference and what has the value.
type policyChange struct {
	planKey
	by      policy.By
	counted bool // a limit or a throttle of a path
}

type planKey struct{ option, old, new, stanza, file, of string }

// planGroup is the names for which a change is the same.
type planGroup struct {
	admin.PlanChange
	names   map[string]struct{}
	unknown int
}

func (g *planGroup) add(name string) {
	if _, ok := g.names[name]; ok {
		return
	}
	if g.names == nil {
		g.names = map[string]struct{}{}
	}
	g.names[name] = struct{}{}
	if len(g.Examples) < planExamples {
		g.Examples = append(g.Examples, name)
	}
}

// names compares for all pairs that the scheduler knows.
func (p *plan) names() {
	for cursor := ""; ; {
		var names []sched.Name
		p.s.driver.View(func(m *sched.Machine, _ int64) { names, cursor = m.Names(cursor, planPage) })
		for i := range names {
			if names[i].Host != "" {
				p.host(&names[i])
			} else {
				p.queue(&names[i])
			}
		}
		if cursor == "" {
			return
		}
	}
}

func (p *plan) queue(n *sched.Name) {
	p.pairs++
	if p.new.Snapshot().Bindings[n.Binding] == nil || p.old.Snapshot().Bindings[n.Binding] == nil {
		return // told as a binding that goes
	}
	old, next := p.s.reroutedBy(p.old, n), p.s.reroutedBy(p.new, n)
	if k := (pair{binding: n.Binding, domain: n.Domain}); p.has(k) {
		p.routed[k] = next
	}
	from, to := cmp.Or(old.Routing, n.Domain), cmp.Or(next.Routing, n.Domain)
	if from != to || next.Ask && !old.Ask || len(n.Best) == 0 && rolls(next.Policy) && !rolls(old.Policy) {
		next.Ask = next.Ask || len(n.Best) == 0
		p.route(n.Domain, &old, &next)
	}
	k := queuePair{old.Policy, next.Policy}
	changes, ok := p.queues[k]
	if !ok {
		changes = p.compareQueues(k, n, from, to)
		p.queues[k] = changes
	}
	group := p.new.Snapshot().Bindings[n.Binding].Group
	for i := range changes {
		p.count(&changes[i], counted{n.Binding, group, n.Domain})
	}
}

// rolls reports whether the hosts of a domain decide what it is counted under.
func rolls(q *policy.Queue) bool {
	r := &q.Rollup
	return q.Gateway == "" && len(q.Session.Routes) == 0 && r.Apart == "" && r.Mode != policy.RollupNone && r.Mode != policy.RollupOff
}

func (p *plan) route(domain string, from, to *sched.QueuePolicy) {
	k := [2]string{from.Routing, to.Routing}
	g := p.routes[k]
	if g == nil {
		g = &planGroup{}
		p.routes[k] = g
	}
	g.add(domain)
	if to.Ask {
		g.unknown++
	}
}

func (p *plan) compareQueues(k queuePair, n *sched.Name, from, to string) []policyChange {
	var out []policyChange
	if k.old == k.new {
		return nil
	}
	for _, c := range policy.ComparePaths(k.old.Limits, k.new.Limits, k.old.Throttles, k.new.Throttles) {
		out = append(out, policyChange{planKey{c.Option, c.Old, c.New, c.Origin.Stanza, c.Origin.String(), ofBy(c.By)}, c.By, true})
	}
	for _, d := range policy.CompareQueues(p.old.Snapshot(), p.new.Snapshot(), n.Binding, n.Domain, from, to) {
		out = append(out, policyChange{planKey{d.Option, d.Old, d.New, d.Origin.Stanza, d.Origin.String(), "domain"}, policy.ByDomain, false})
	}
	return out
}

func (p *plan) host(n *sched.Name) {
	p.hostPairs++
	if p.new.Snapshot().Bindings[n.Binding] == nil {
		return
	}
	k := hostPair{p.old.Host(n.Binding, n.Host, n.Addresses), p.new.Host(n.Binding, n.Host, n.Addresses)}
	changes, ok := p.hosts[k]
	if !ok {
		changes = compareHosts(k)
		p.hosts[k] = changes
	}
	for i := range changes {
		p.count(&changes[i], counted{binding: n.Binding, domain: n.Host})
	}
}

func compareHosts(k hostPair) []policyChange {
	var out []policyChange
	add := func(oldLimits, newLimits []policy.Limit, oldRates, newRates []policy.Throttle) {
		for _, c := range policy.ComparePaths(oldLimits, newLimits, oldRates, newRates) {
			x := policyChange{planKey{c.Option, c.Old, c.New, c.Origin.Stanza, c.Origin.String(), "host"}, policy.ByDomain, true}
			if !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	}
	add(k.old.Limits, k.new.Limits, k.old.Throttles, k.new.Throttles)
	for a, l := range k.new.Addresses { // the answer is sorted
		add(k.old.Addresses[a], l, nil, nil)
	}
	for a, l := range k.old.Addresses {
		if k.new.Addresses[a] == nil {
			add(l, nil, nil, nil)
		}
	}
	for a, l := range k.new.AddressThrottles {
		add(nil, nil, k.old.AddressThrottles[a], l)
	}
	for a, l := range k.old.AddressThrottles {
		if k.new.AddressThrottles[a] == nil {
			add(nil, nil, l, nil)
		}
	}
	return out
}

// ofBy says what has a value that is counted so.
func ofBy(by policy.By) string {
	switch {
	case by&policy.ByStanza != 0:
		return "stanza"
	case by&policy.ByHost != 0, by&policy.ByAddress != 0:
		return "host"
	case by&policy.ByDomain != 0:
		return "domain"
	case by&policy.ByBinding != 0:
		return "binding"
	case by&policy.ByGroup != 0:
		return "binding_group"
	}
	return "server"
}

type counted struct{ binding, group, domain string }

// count adds whoever has the value to the group of the change.
func (p *plan) count(c *policyChange, who counted) {
	g := p.group(c.planKey)
	switch c.of {
	case "domain", "host":
		g.add(who.domain)
	case "binding":
		g.add(who.binding)
	case "binding_group":
		g.add(who.group)
	case "stanza":
		g.add(c.stanza)
	default:
		g.add("server")
	}
}

func (p *plan) group(k planKey) *planGroup {
	g := p.groups[k]
	if g == nil {
		g = &planGroup{PlanChange: admin.PlanChange{Option: k.option, Old: k.old, New: k.new, Stanza: k.stanza, File: k.file, Of: k.of}}
		p.groups[k] = g
	}
	return g
}

// stanzas adds what the stanzas of either configuration say otherwise and nothing there is
// has shown, and the bindings that come and go.
func (p *plan) stanzas(out *admin.Plan) {
	told, toldAt := map[[3]string]bool{}, map[[3]string]bool{}
	for k := range p.groups { // the order does not matter: sets
		told[[3]string{k.option, plain(k.old), plain(k.new)}] = true
		toldAt[[3]string{k.option, k.stanza, k.file}] = true
		told[[3]string{k.option, k.stanza, plain(k.new)}] = true
	}
	for _, d := range policy.Compare(p.old.Snapshot(), p.new.Snapshot()) {
		at := [3]string{d.Option, d.Origin.Stanza, d.Origin.String()}
		if !told[[3]string{d.Option, plain(d.Old), plain(d.New)}] &&
			!told[[3]string{d.Option, d.Subject, plain(d.New)}] && !(d.Own && toldAt[at]) && !comesOrGoes(&d) {
			p.group(planKey{d.Option, d.Old, d.New, d.Subject, d.Origin.String(), "name"})
		}
	}
	out.Removed, out.Added = []admin.PlanGone{}, []string{}
	for name := range p.new.Snapshot().Bindings {
		if p.old.Snapshot().Bindings[name] == nil {
			out.Added = append(out.Added, name)
		}
	}
	slices.Sort(out.Added)
	for name := range p.old.Snapshot().Bindings {
		if p.new.Snapshot().Bindings[name] != nil {
			continue
		}
		var v sched.BindingView
		p.s.driver.View(func(m *sched.Machine, _ int64) { v, _ = m.Binding(name) })
		out.Removed = append(out.Removed, admin.PlanGone{Binding: name, Connections: v.Conns, Queued: v.Queued, Ready: v.Ready})
	}
	slices.SortFunc(out.Removed, func(a, b admin.PlanGone) int { return cmp.Compare(a.Binding, b.Binding) })
}

// plain is a value as both kinds of comparison would say it.
func plain(v string) string {
	if v == "-" || v == "-1" {
		return "unlimited"
	}
	v, _, _ = strings.Cut(v, ",burst=")
	return v
}

// comesOrGoes reports a binding, which has a list of its own.
func comesOrGoes(d *policy.Difference) bool {
	return d.Option == "" && strings.Contains(d.Subject, "binding \"")
}

// changes are the groups, those for most names first.
func (p *plan) changes() (rows []admin.PlanChange, more int) {
	rows = []admin.PlanChange{}
	for _, g := range p.groups { // sorted below
		c := g.PlanChange
		c.Count, c.Examples = len(g.names), list(g.Examples)
		c.File, c.Line = place(c.File)
		slices.Sort(c.Examples)
		rows = append(rows, c)
	}
	slices.SortFunc(rows, func(a, b admin.PlanChange) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Stanza, b.Stanza),
			cmp.Compare(a.Option, b.Option), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Old, b.Old), cmp.Compare(a.New, b.New))
	})
	if len(rows) > planGroups {
		rows, more = rows[:planGroups], len(rows)-planGroups
	}
	return rows, more
}

func (p *plan) rerouted() []admin.PlanRoute {
	out := []admin.PlanRoute{}
	for k, g := range p.routes { // sorted below
		slices.Sort(g.Examples)
		out = append(out, admin.PlanRoute{From: k[0], To: k[1], Domains: len(g.names), Unknown: g.unknown, Examples: g.Examples})
	}
	slices.SortFunc(out, func(a, b admin.PlanRoute) int {
		return cmp.Or(cmp.Compare(b.Domains, a.Domains), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return out[:min(len(out), planGroups)]
}
