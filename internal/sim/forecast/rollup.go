package forecast

import (
	"cmp"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
)

// Rollups says how many domains were counted under another name than their own.
type Rollups struct {
	Domains int `json:"domains"` // from one binding at least
	Names   int `json:"names"`
}

// laneInfo is what all mail of a binding for a domain has in common.
type laneInfo struct {
	own     *policy.Queue // what holds for the domain by itself
	policy  *policy.Queue // what holds for it: under its rollup, when it has one
	routing string        // what its connections are counted under
	rolled  bool          // by a rollup
	counted []int32
}

func (s *sim) laneOf(k lane) *laneInfo {
	p := s.lanes[k]
	if p != nil {
		return p
	}
	binding, d := s.bindings.names[k.binding], &s.Load.Domains[k.domain]
	own := s.resolver.Queue(binding, d.Name)
	p = &laneInfo{own: own, policy: own, routing: cmp.Or(own.Gateway, d.Name)}
	s.lanes[k] = p
	if under := s.rollup(own, d); under != "" {
		p.policy, p.rolled = s.resolver.QueueUnder(binding, d.Name, under), true
		p.routing = cmp.Or(p.policy.Gateway, under)
		s.rolled[k.domain], s.under[under] = true, true
	}
	return p
}

// rollup is the rollup that a domain belongs to, by all the hosts that it is known to
// have; empty: none.
func (s *sim) rollup(own *policy.Queue, d *Domain) string {
	switch own.Rollup.Mode {
	case policy.RollupNone, policy.RollupOff:
		return ""
	}
	s.asked = true
	if own.Gateway != "" || own.Session != nil && len(own.Session.Routes) > 0 {
		return "" // neither goes by MX
	}
	q := route.Question{Domain: d.Name, Best: hostNames(d), Setting: own.Rollup, Rollups: s.Snapshot.Rollups}
	if i, ok := s.domainOf[own.Rollup.Name]; ok && own.Rollup.Mode == policy.RollupDomain {
		q.Named = hostNames(&s.Load.Domains[i])
	}
	return route.Rollup(q)
}

func hostNames(d *Domain) []string {
	names := make([]string, 0, len(d.Hosts))
	for i := range d.Hosts {
		names = append(names, d.Hosts[i].Name)
	}
	return names
}
