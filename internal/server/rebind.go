package server

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/spool"
)

// defaultBinding is the binding that is there without being declared.
const defaultBinding = "default"

// candidates answers which bindings could take over the mail of one that cannot send:
// those of its group that the configuration does not suspend. The mail of a binding that
// is no more and was in no group goes to the default one where unknown_binding says so.
func (s *Server) candidates(a sched.Rebind) sched.Rebound {
	out := sched.Rebound{Binding: a.Binding, Domain: a.Domain, Group: a.Group}
	snap := s.policies.snapshot()
	for _, c := range heirs(snap, a.Binding, a.Group) {
		q, gen := s.policies.queue(c.Name, a.Domain)
		if !q.Suspended {
			out.Candidates = append(out.Candidates, sched.Candidate{Binding: c.Name, Weight: c.Weight, Policy: q, Generation: gen})
		}
	}
	return out
}

// heirs are the bindings to which mail of the given one may go instead.
func heirs(snap *policy.Snapshot, binding, group string) []route.Candidate {
	if g := snap.Groups[group]; g != nil {
		return slices.DeleteFunc(members(snap, g), func(c route.Candidate) bool { return c.Name == binding })
	}
	if snap.Bindings[binding] == nil && snap.UnknownBindingDefault {
		return []route.Candidate{{Name: defaultBinding, Weight: 1}}
	}
	return nil
}

// members are the bindings of a group with their weights.
func members(snap *policy.Snapshot, g *policy.Group) []route.Candidate {
	out := make([]route.Candidate, 0, len(g.Bindings))
	for _, name := range g.Bindings {
		if b := snap.Bindings[name]; b != nil {
			out = append(out, route.Candidate{Name: name, Weight: b.Weight})
		}
	}
	return out
}

// adopt gives the recipients of a recovered message whose binding has been removed from
// the configuration another one. It returns the bindings and domains that have no heir:
// their mail waits.
func (s *Server) adopt(r *spool.Recovered) (orphans []sched.QueuePolicy) {
	snap := s.policies.snapshot()
	for i := range r.Envelope.Recipients {
		to := &r.Envelope.Recipients[i]
		binding, group := to.Binding, to.Group
		at := slices.IndexFunc(r.States, func(st mail.RecipientState) bool { return st.Index == i })
		if at >= 0 && r.States[at].Binding != "" {
			binding, group = r.States[at].Binding, r.States[at].Group
		}
		if snap.Bindings[binding] != nil || at >= 0 && r.States[at].Status != mail.Pending {
			continue
		}
		options := heirs(snap, binding, group)
		k := route.Pick(r.Envelope.ID, options)
		if k < 0 {
			orphans = append(orphans, sched.QueuePolicy{Binding: binding, Domain: to.Domain})
			continue
		}
		if at < 0 {
			at = len(r.States)
			r.States = append(r.States, mail.RecipientState{Index: i})
		}
		r.States[at].Binding, r.States[at].Group = options[k].Name, ""
		if snap.Groups[group] != nil {
			r.States[at].Group = group
		}
	}
	return orphans
}

// orphaned tells the scheduler which bindings with mail are not in the configuration.
func (s *Server) orphaned(pairs []sched.QueuePolicy) {
	if len(pairs) == 0 {
		return
	}
	snap := s.policies.snapshot()
	s.driver.Step(sched.PolicyChanged{Generation: snap.Generation, Server: s.bounds(snap), Tenants: snap.Tenants, Queues: pairs})
}
