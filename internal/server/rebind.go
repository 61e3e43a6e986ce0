package server

import "github.com/sluice-mta/sluice/internal/sched"

// candidates answers which bindings of a group could take over the mail of one of
// them: those that the configuration does not suspend.
func (s *Server) candidates(a sched.Rebind) sched.Rebound {
	out := sched.Rebound{Binding: a.Binding, Domain: a.Domain}
	snap := s.policies.snapshot()
	group := snap.Groups[a.Group]
	if group == nil {
		return out
	}
	for _, name := range group.Bindings {
		b := snap.Bindings[name]
		if name == a.Binding || b == nil {
			continue
		}
		q, gen := s.policies.queue(name, a.Domain)
		if q.Suspended {
			continue
		}
		out.Candidates = append(out.Candidates, sched.Candidate{Binding: name, Weight: b.Weight, Policy: q, Generation: gen})
	}
	return out
}
