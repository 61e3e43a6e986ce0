package sched

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/policy"
)

// finding is what an answer says, by which a site is found or made.
type finding struct {
	hosts  []RouteHost
	best   []string
	digest uint64
	asked  uint64
	byMX   bool
}

func (f *finding) sum() uint64 {
	h := f.digest
	for i := range f.hosts { // a sum: hosts and addresses come in any order
		x := &f.hosts[i]
		one := hashText(x.Name) + uint64(x.Preference)*0x9e3779b97f4a7c15 + uint64(x.Port)<<8 + uint64(x.Protocol)<<4 + uint64(x.TLS)
		for _, a := range x.Addresses {
			b := a.As16()
			one += hashText(string(b[:])) | 1
		}
		h += one * 0xbf58476d1ce4e5b9
	}
	for _, b := range f.best {
		h += hashText(b)
	}
	if f.byMX {
		h++
	}
	return h
}

// saysMore reports whether an answer with equal hosts tells something else than the site knows.
func (f *finding) saysMore(s *site) bool {
	return f.digest != s.digest || f.byMX != s.byMX || !slices.Equal(f.best, s.best)
}

// sameHosts reports whether an answer names the hosts and addresses of a site.
func (m *Machine) sameHosts(s *site, hosts []RouteHost) bool {
	if len(hosts) != len(s.hosts) {
		return false
	}
	for i := range hosts {
		x := &hosts[i]
		k := slices.IndexFunc(s.hosts, func(rh routeHost) bool { return m.hosts.at(rh.host).key.host == x.Name })
		if k < 0 {
			return false
		}
		rh := &s.hosts[k]
		if rh.preference != x.Preference || rh.tls != x.TLS || rh.protocol != x.Protocol || !rh.dane.same(daneOf(x)) || rh.tlsWhy != x.TLSWhy || rh.to-rh.from != len(x.Addresses) || m.hosts.at(rh.host).policy != x.Policy {
			return false
		}
		for _, a := range s.addrs[rh.from:rh.to] {
			if p := &m.places.at(a.place).key; p.port != x.Port || !slices.Contains(x.Addresses, p.addr) {
				return false
			}
		}
	}
	return true
}

// bestOf is the hosts of the best preference in the MX records of a site; nil when they are
// not known.
func (m *Machine) bestOf(s *site) []string {
	if !s.byMX {
		return nil
	}
	if s.best != nil || len(s.hosts) == 0 {
		return s.best
	}
	var names []string
	for i := range s.hosts {
		if s.hosts[i].preference == s.hosts[0].preference {
			names = append(names, m.hosts.at(s.hosts[i].host).key.host)
		}
	}
	return names
}

// rules is what a lane goes by: a policy and the configuration that it is of. Lanes share
// them.
type rules struct {
	policy     *policy.Queue
	generation uint64
}

var noRules rules

// mostRules bounds the rules remembered for lanes to come; beyond it only sharing is lost.
const mostRules = 1 << 17

func (m *Machine) rulesOf(p *policy.Queue, generation uint64) *rules {
	t := m.rulesBy[p]
	if t == nil || t.generation != generation {
		if len(m.rulesBy) >= mostRules {
			clear(m.rulesBy)
		}
		t = &rules{p, generation}
		m.rulesBy[p] = t
	}
	return t
}

// foundBy is what an answer says that names hosts.
func foundBy(ev *Resolved, asked uint64) finding {
	f := finding{hosts: ev.Hosts, asked: asked, digest: digest(hostNames(ev)) + kinds(ev.Hosts), byMX: ev.Best > 0}
	if best := ev.MX[:min(ev.Best, len(ev.MX))]; !slices.Equal(best, firstHosts(ev.Hosts)) {
		f.best = slices.Clone(best)
	}
	return f
}

// noneOf is what an answer says that names no host: what is open still counts by the hosts of
// the one before.
func (m *Machine) noneOf(ev *Resolved, s *site) finding {
	return finding{best: m.bestOf(s), digest: s.digest, byMX: s.byMX, hosts: ev.Hosts}
}
