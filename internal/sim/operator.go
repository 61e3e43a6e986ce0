package sim

import (
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

var verbs = map[string]sched.Verb{
	"suspend": sched.Suspend, "resume": sched.Resume, "retry": sched.Retry, "fail": sched.Fail, "move": sched.Move,
}

func (w *World) sayVerb(verb string, s *sentence) {
	ev := sched.Operator{Verb: verbs[verb], By: "scenario", Reply: mail.Reply{Enhanced: "5.7.1", Text: "as the scenario says"}}
	for s.more() && s.err == nil {
		word := s.word()
		kind, name, _ := strings.Cut(word, ":")
		switch {
		case word == "*":
		case kind == "binding":
			ev.Binding = name
		case kind == "tenant":
			ev.Tenant = name
		case kind == "job":
			ev.Job = name
		case word == "to" && verb == "move":
			w.targets(&ev, s.word())
		default:
			ev.Domain = word
		}
	}
	w.step(ev)
}

// targets fills in where mail of every domain is moved to.
func (w *World) targets(ev *sched.Operator, to string) {
	group, byGroup := strings.CutPrefix(to, "group:")
	names := []string{to}
	if byGroup {
		names = nil
		for name, b := range w.bindings {
			if b.group == group && !b.gone {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	ev.Group, ev.Targets = byGroup, map[string][]sched.Candidate{}
	domains := map[string]bool{}
	for _, k := range w.spool.live { // a set: the order does not matter
		for _, p := range k.parts {
			domains[p.Domain] = true
		}
	}
	for d := range domains { // a map for a map
		for _, n := range names {
			w.rebounds[d] = append(w.rebounds[d], n)
			ev.Targets[d] = append(ev.Targets[d], sched.Candidate{
				Binding: n, Weight: w.bindingOf(n).weight, Policy: w.queuePolicy(n, d, ""), Generation: w.generation,
			})
		}
	}
}

// remember keeps what the machine wants to know after a crash.
func (w *World) remember(a sched.Remember) {
	if w.facts == nil {
		w.facts = map[string]sched.Suspension{}
	}
	w.keys = slices.DeleteFunc(w.keys, func(k string) bool { return k == a.Key })
	delete(w.facts, a.Key)
	if !a.Forget {
		w.facts[a.Key] = a.State
		w.keys = append(w.keys, a.Key)
	}
}

// restore tells a machine that begins anew what was remembered.
func (w *World) restore() {
	for _, k := range slices.Clone(w.keys) {
		f := w.facts[k]
		w.step(sched.Operator{
			Verb: sched.Suspend, Domain: f.Domain, Binding: f.Binding, Tenant: f.Tenant, By: f.By, Since: f.Since, Restored: true,
			Reply: mail.Reply{Text: f.Reason},
		})
	}
}
