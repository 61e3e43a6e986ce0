package sim

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
	"github.com/sluice-mta/sluice/internal/sched"
)

// What a domain is counted under: composed for the machine as the server does it, and
// found by the referee on its own from the same answers of the DNS.

// told is what the machine was last told of a binding and domain.
type told struct {
	best    []string // hosts of the best preference
	routing string   // by the referee's reading; empty: the domain itself
}

// best is the hosts of the best preference that a domain has now.
func (w *World) best(domain string) (names []string) {
	d := w.domainOf(domain)
	for _, h := range d.hosts {
		if h.preference == d.hosts[0].preference {
			names = append(names, h.name)
		}
	}
	return names
}

func (w *World) domainOf(name string) *domain {
	if d := w.domains[name]; d != nil {
		return d
	}
	return &domain{hosts: []mxHost{{name: "mx." + name, preference: 10}}}
}

// rollupOf decides as the server does.
func (w *World) rollupOf(binding, domain string, best []string) (string, *policy.Queue) {
	r := w.conf.resolver
	p := r.QueueUnder(binding, domain, "")
	q := route.Question{Domain: domain, Best: best, Setting: p.Rollup, Rollups: r.Snapshot().Rollups}
	if s := &q.Setting; s.Mode == policy.RollupDomain {
		q.Named = w.best(s.Name)
	}
	name := route.Rollup(q)
	return name, r.QueueUnder(binding, domain, name)
}

// answers completes an answer with what the domain is counted under.
func (w *World) answers(ev *sched.Resolved, asked uint64) {
	if w.conf == nil {
		return
	}
	d := w.domainOf(ev.Domain)
	for _, h := range d.hosts {
		ev.MX = append(ev.MX, h.name)
	}
	best := w.best(ev.Domain)
	ev.Best = len(best)
	ev.Routing, ev.Policy = w.rollupOf(ev.Binding, ev.Domain, best)
	ev.Generation = w.generation
	if asked == w.generation { // else the machine asks again
		w.note(ev.Binding, ev.Domain, best, ev.Routing)
	}
}

// note has the referee find for itself what a domain is counted under from now on, and
// counts the connections of it there.
func (w *World) note(binding, domain string, best []string, says string) {
	id := binding + "/" + domain
	t := told{best: best, routing: w.conf.root.rollup(whose{binding: binding, domain: domain}, best, w.best)}
	if t.routing != says {
		w.fail("%s of binding %s is counted under %q, and by the manual under %q", domain, binding, says, t.routing)
	}
	moved := w.told[id].routing != t.routing
	w.told[id] = t
	for _, c := range w.conns { // each is set by itself: the order does not matter
		if moved && c.Binding == binding && c.Domain == domain {
			c.on.now = w.ceilings(c.whose())
		}
	}
}

// under is a connection by the name that it is counted under.
func (w *World) under(x whose) whose {
	x.domain = cmp.Or(w.told[x.binding+"/"+x.domain].routing, x.domain)
	return x
}

// requeue is what a reload says of a binding and domain.
func (w *World) requeue(n *sched.Name) sched.QueuePolicy {
	out := sched.QueuePolicy{Binding: n.Binding, Domain: n.Domain}
	if w.conf == nil {
		out.Policy = w.queuePolicy(n.Binding, n.Domain)
		return out
	}
	out.Routing, out.Policy = w.rollupOf(n.Binding, n.Domain, n.Best)
	best := w.told[n.Binding+"/"+n.Domain].best
	if len(n.Best) == 0 && !slices.ContainsFunc(w.connList(), func(c *conn) bool { return c.Binding == n.Binding && c.Domain == n.Domain }) {
		best = nil // it has been forgotten meanwhile, with nothing open
	}
	w.note(n.Binding, n.Domain, best, out.Routing)
	return out
}

// apart are the options with which a domain's own stanza keeps it by itself.
var apart = []string{
	optMax, optScope, "cluster_" + optMax, "cluster_" + optScope, "max_connect_rate", "max_message_rate", "suspend_delivery",
	"outbound_throttle_connections", "outbound_throttle_messages", "cluster_outbound_throttle_connections", "cluster_outbound_throttle_messages",
}

// rollup is the referee's reading of what a domain is counted under.
func (s *stanza) rollup(x whose, best []string, bestOf func(string) []string) string {
	r := &reading{whose: x, root: s}
	r.group, r.own = s.binding(x.binding)
	set := r.chain("mx_rollup")
	var stanzas []*stanza
	for _, c := range s.in {
		if c.kind == "rollup" {
			stanzas = append(stanzas, c)
		}
	}
	word := ""
	if set.ok() {
		word = set.word
	}
	if len(best) == 0 || word == "off" || word == "" && len(stanzas) == 0 || r.keptApart(word) {
		return ""
	}
	for _, c := range stanzas {
		if mx := c.get("mx"); mx != nil && (word == "" || word == "auto" || word == c.label) && allMatch(mx.list, best) {
			return c.label
		}
	}
	named := slices.ContainsFunc(stanzas, func(c *stanza) bool { return c.label == word })
	switch {
	case word == "auto":
		return route.AutoName(best) // only the name is asked for
	case word == "" || named || word == x.domain:
		return ""
	}
	for _, h := range best {
		if !slices.Contains(bestOf(word), h) {
			return ""
		}
	}
	return word
}

// keptApart reports whether a stanza for the domain sets what a rollup would take away,
// and does not itself name the rollup.
func (r *reading) keptApart(word string) bool {
	for _, in := range []*stanza{r.own, r.group, r.root} {
		if in == nil {
			continue
		}
		for _, c := range in.in {
			if c.kind != "domain" || c.label != r.domain && (c.re == nil || !c.re.MatchString(r.domain)) {
				continue
			}
			if x := c.get("mx_rollup"); word != "" && x != nil && x.word == word {
				continue
			}
			if slices.ContainsFunc(apart, func(o string) bool { return c.get(o) != nil }) {
				return true
			}
		}
	}
	return false
}

func allMatch(patterns, hosts []string) bool {
	for _, h := range hosts {
		if !slices.ContainsFunc(patterns, func(p string) bool { return like(p, h) }) {
			return false
		}
	}
	return true
}

// like matches a pattern in which * stands for any text.
func like(pattern, s string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	for i := len(head); i <= len(s); i++ {
		if like(tail, s[i:]) {
			return true
		}
	}
	return false
}
