package sim

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Rollups twice: as the server would decide on them (route.Rollup, for the machine), and
// as the referee reads them (rollupRules, which shares nothing with that).

// lastTold is what the machine was last told of the way of a binding's mail to a domain.
type lastTold struct {
	best  []string // hosts of the best preference
	hosts []string // all
	under string   // the referee's routing domain
}

// bestOf is the hosts of a domain's best preference.
func (w *World) bestOf(name string) (best []string) {
	for _, h := range w.hostsOf(name) {
		if h.preference == w.hostsOf(name)[0].preference {
			best = append(best, h.name)
		}
	}
	return best
}

// hostsOf is a domain's MX hosts, the best first.
func (w *World) hostsOf(name string) []mxHost {
	if d := w.domains[name]; d != nil {
		return d.hosts
	}
	return []mxHost{{name: "mx." + name, preference: 10}}
}

// routed is what the server would decide: the routing domain, and what holds under it.
func (w *World) routed(binding, domain string, best []string) (string, *policy.Queue) {
	q := w.queuePolicy(binding, domain, "")
	ask := route.Question{Domain: domain, Best: best, Setting: q.Rollup, Rollups: w.rollups()}
	if q.Rollup.Mode == policy.RollupDomain {
		ask.Named = w.bestOf(q.Rollup.Name)
	}
	name := route.Rollup(ask)
	return name, w.queuePolicy(binding, domain, name)
}

func (w *World) rollups() []policy.Rollup {
	if w.conf != nil {
		return w.conf.snapshot().Rollups
	}
	return w.rules.rollups
}

// tell notes an answer that the machine takes, and has the referee count the connections
// of the binding and domain where they belong now.
func (w *World) tell(ev *sched.Resolved) {
	key := ev.Binding + "/" + ev.Domain
	t := &lastTold{best: ev.MX[:ev.Best], hosts: ev.MX}
	w.told[key] = t
	t.under = w.read(ev.Binding, ev.Domain, t.best)
	for _, o := range w.conns { // each by itself: the order does not matter
		if o.Binding == ev.Binding && o.Domain == ev.Domain {
			w.referee.name(o, t.under)
			o.on.now = w.ceilings(o.whose())
		}
	}
}

// read is the routing domain by the referee's reading of the configuration that holds.
func (w *World) read(binding, domain string, best []string) string {
	if w.conf != nil {
		return w.conf.root.routing(binding, domain, best, w.bestOf)
	}
	return w.rules.routing(domain, best, w.bestOf)
}

// reread reads anew what everything is counted under, after a change of the
// configuration.
func (w *World) reread() {
	for key, t := range w.told { // each by itself: the order does not matter
		binding, domain, _ := strings.Cut(key, "/")
		t.under = w.read(binding, domain, t.best)
	}
}

// under names a connection by its routing domain instead of its recipients' domain.
func (w *World) under(x whose) whose {
	if t := w.told[x.binding+"/"+x.domain]; t != nil {
		x.domain = t.under
	}
	return x
}

// frozen is the same, as it is now, for later.
func (w *World) frozen() func(whose) whose {
	was := map[string]string{}
	for key, t := range w.told { // a copy: the order does not matter
		was[key] = t.under
	}
	return func(x whose) whose {
		if u, ok := was[x.binding+"/"+x.domain]; ok {
			x.domain = u
		}
		return x
	}
}

// checkHost: a message goes to a host of its own domain alone.
func (w *World) checkHost(c *conn, d sched.Deliver) {
	k := w.spool.live[d.Message]
	if k == nil {
		return
	}
	domain := k.part(d.Recipients[0]).Domain
	t := w.told[c.Binding+"/"+domain]
	if t == nil || !slices.Contains(t.hosts, c.Host) {
		w.fail("a message for %s is handed to %v, which is no host of its domain: %+v", domain, c, t)
	}
}

// rollupRules is what a configuration says of rollups for one binding and domain, as the
// referee reads it.
type rollupRules struct {
	names, patterns []string // of the Rollup stanzas, in order
	word            string   // mx_rollup; empty: not set
	apart           bool     // a domain stanza has a say of its own
}

// routing is what the domain is counted under.
func (r *rollupRules) routing(domain string, best []string, bestOf func(string) []string) string {
	if r.apart || r.word == "off" {
		return domain
	}
	if r.word == "" || r.word == "auto" || slices.Contains(r.names, r.word) {
		for i, name := range r.names {
			if r.word != "" && r.word != "auto" && r.word != name {
				continue
			}
			re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(r.patterns[i]), `\*`, ".*") + "$")
			if !slices.ContainsFunc(best, func(h string) bool { return !re.MatchString(h) }) {
				return name
			}
		}
		if r.word == "auto" {
			best = slices.Sorted(slices.Values(best))
			return "auto:" + strings.Join(best, "+")
		}
		return domain
	}
	named := bestOf(r.word)
	if slices.ContainsFunc(best, func(h string) bool { return !slices.Contains(named, h) }) {
		return domain
	}
	return r.word
}

// routing reads a whole configuration.
func (s *stanza) routing(binding, domain string, best []string, bestOf func(string) []string) string {
	x := &rollupRules{}
	for _, c := range s.in {
		if c.kind == "rollup" {
			pattern := "" // matches nothing
			if a := c.get("mx"); a != nil {
				pattern = a.word
			}
			x.names, x.patterns = append(x.names, c.label), append(x.patterns, pattern)
		}
	}
	r := &reading{whose: whose{binding: binding, domain: domain}, root: s}
	r.group, r.own = s.binding(binding)
	if f := r.chain("mx_rollup"); f.ok() {
		x.word = f.word
	}
	for _, in := range []*stanza{r.own, r.group, s} {
		if in == nil {
			continue
		}
		for _, c := range in.in {
			if c.kind != "domain" || c.label != domain && (c.re == nil || !c.re.MatchString(domain)) {
				continue
			}
			if a := c.get("mx_rollup"); c.hasSay() && (a == nil || a.word != x.word) {
				x.apart = true
			}
		}
	}
	return x.routing(domain, best, bestOf)
}

// hasSay reports whether a domain stanza sets a limit, a throttle, a rate or a
// suspension.
func (s *stanza) hasSay() bool {
	return slices.ContainsFunc(s.set, func(a assign) bool {
		return strings.HasSuffix(a.option, "_outbound_connections") || a.rate != nil || a.option == "suspend_delivery"
	})
}

// routing reads the rules of a scenario.
func (r *rules) routing(domain string, best []string, bestOf func(string) []string) string {
	x := &rollupRules{word: r.rollupWord(domain)}
	for i := range r.rollups {
		x.names, x.patterns = append(x.names, r.rollups[i].Name), append(x.patterns, r.rollups[i].MX[0])
	}
	for i := range r.limits {
		x.apart = x.apart || r.limits[i].target == domain && r.mxRollup[domain] == ""
	}
	for i := range r.rates {
		x.apart = x.apart || r.rates[i].target == domain && r.mxRollup[domain] == ""
	}
	x.apart = x.apart || r.off[domain]
	return x.routing(domain, best, bestOf)
}

func (r *rules) rollupWord(domain string) string {
	if w := r.mxRollup[domain]; w != "" {
		return w
	}
	return r.mxRollup["*"]
}

// setting is mx_rollup of a scenario as policy has it.
func (r *rules) setting(domain string) policy.RollupSetting {
	out := policy.RollupSetting{Origin: policy.Origin{File: "scenario", Line: 1}}
	switch word := r.rollupWord(domain); {
	case word == "off":
		out.Mode = policy.RollupOff
	case word == "auto":
		out.Mode = policy.RollupAuto
	case word == "" && len(r.rollups) > 0:
		out.Mode = policy.RollupStanzas
	case slices.ContainsFunc(r.rollups, func(x policy.Rollup) bool { return x.Name == word }):
		out.Mode, out.Name = policy.RollupNamed, word
	case word != "":
		out.Mode, out.Name = policy.RollupDomain, word
	}
	for i := range r.limits {
		if x := &r.limits[i]; x.target == domain && r.mxRollup[domain] == "" {
			out.Apart, out.ApartOrigin = x.option, policy.Origin{Stanza: domain, File: "scenario", Line: x.line}
		}
	}
	for i := range r.rates {
		if x := &r.rates[i]; x.target == domain && r.mxRollup[domain] == "" {
			out.Apart, out.ApartOrigin = x.option, policy.Origin{Stanza: domain, File: "scenario", Line: x.line}
		}
	}
	if r.off[domain] {
		out.Apart = "suspend_delivery"
	}
	return out
}

// under says what rolls a domain up.
func (r *rules) under(s policy.RollupSetting) policy.Under {
	kind := policy.UnderRollup
	switch s.Mode {
	case policy.RollupAuto:
		kind = policy.UnderAuto
	case policy.RollupDomain:
		kind = policy.UnderDomain
	}
	return policy.Under{Kind: kind, Origin: policy.Origin{File: "scenario", Line: 1}}
}

func (w *World) sayRollup(s *sentence) {
	name := s.word()
	w.rules.rollups = slices.DeleteFunc(slices.Clone(w.rules.rollups), func(x policy.Rollup) bool { return x.Name == name })
	if !s.is("none") {
		s.must("mx")
		w.rules.rollups = append(w.rules.rollups, policy.Rollup{Name: name, MX: []string{s.word()}, Origin: policy.Origin{File: "scenario", Line: s.line}})
	}
	w.Reload()
}

func (w *World) sayMXRollup(s *sentence) {
	target := s.word()
	words := map[string]string{target: s.word()}
	for k, v := range w.rules.mxRollup { // a copy: the order does not matter
		if k != target {
			words[k] = v
		}
	}
	w.rules.mxRollup = words
	w.Reload()
}
