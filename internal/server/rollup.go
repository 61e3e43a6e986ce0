package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
	"github.com/sluice-mta/sluice/internal/sched"
)

// learnTimeout bounds how long a reload waits for the MX records of domains that
// mx_rollup names.
const learnTimeout = 5 * time.Second

// named remembers the best MX hosts of domains that mx_rollup names: what was known last
// holds while nobody can tell better. The configuration bounds how many they are.
type named struct {
	mu    sync.Mutex
	hosts map[string][]string
}

func (n *named) get(domain string) ([]string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h, ok := n.hosts[domain]
	return h, ok
}

func (n *named) put(domain string, hosts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = map[string][]string{}
	}
	n.hosts[domain] = hosts
}

// bestHosts asks for the best MX hosts of a domain that mx_rollup names.
func (s *Server) bestHosts(ctx context.Context, domain string) ([]string, time.Duration, error) {
	if s.sandbox != nil {
		return []string{sandboxHost(domain)}, sandboxTTL, nil
	}
	hosts, ttl, err := s.router.Load().BestHosts(ctx, domain)
	if err == nil {
		s.named.put(domain, hosts)
		return hosts, ttl, nil
	}
	if hosts, ok := s.named.get(domain); ok {
		return hosts, ttl, nil
	}
	return nil, ttl, err
}

// learnNamed looks up what a configuration names before it comes into force.
func (s *Server) learnNamed(snap *policy.Snapshot) {
	ctx, cancel := context.WithTimeout(s.ctx, learnTimeout)
	defer cancel()
	var wait sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for _, d := range snap.RollupDomains() {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if hosts, _, err := s.bestHosts(ctx, d); err == nil {
				s.named.put(d, hosts)
			} else {
				s.log.Warn("mx_rollup names a domain whose MX records cannot be looked up", "domain", d, "error", err)
			}
		})
	}
	wait.Wait()
}

// roll says what a recipient domain with the given best MX hosts is counted under: the
// configuration in force and the hosts decide (route.Rollup).
func (s *Server) roll(ctx context.Context, q sched.Resolve, best []string) (dns.Rolled, error) {
	r := s.policies.now.Load()
	var ttl time.Duration
	name, err := rollupOf(r, q.Binding, q.Domain, best, func(d string) ([]string, error) {
		hosts, keep, err := s.bestHosts(ctx, d)
		ttl = keep
		return hosts, err
	})
	if err != nil {
		return dns.Rolled{}, err
	}
	p := r.queue(q.Binding, q.Domain, name)
	return dns.Rolled{Routing: cmp.Or(p.Gateway, name), Policy: p, Generation: r.Snapshot().Generation, TTL: ttl}, nil
}

// rollupOf decides under which rollup a recipient domain is; empty: none. lookup finds
// the best hosts of a domain that mx_rollup names.
func rollupOf(r *resolved, binding, domain string, best []string, lookup func(string) ([]string, error)) (string, error) {
	p := r.queue(binding, domain, "")
	if p.Gateway != "" || len(p.Session.Routes) > 0 {
		return "", nil // neither goes by MX
	}
	q := route.Question{Domain: domain, Best: best, Setting: p.Rollup, Rollups: r.Snapshot().Rollups}
	if set := &q.Setting; set.Mode == policy.RollupDomain && set.Apart == "" && set.Name != domain && len(best) > 0 {
		hosts, err := lookup(set.Name)
		if err != nil {
			return "", fmt.Errorf("what %s is counted under depends on the MX records of %s (mx_rollup, %s): %w", domain, set.Name, set.Origin, err)
		}
		q.Named = hosts
	}
	return route.Rollup(q), nil
}

// rerouted is what a queue that the scheduler knows falls under by the configuration in
// force. It asks nobody: what MX records said last decides.
func (s *Server) rerouted(n *sched.Name) sched.QueuePolicy {
	return s.reroutedBy(s.policies.now.Load(), n)
}

// reroutedBy is rerouted by another configuration.
func (s *Server) reroutedBy(r *resolved, n *sched.Name) sched.QueuePolicy {
	out := sched.QueuePolicy{Binding: n.Binding, Domain: n.Domain}
	name, err := rollupOf(r, n.Binding, n.Domain, n.Best, func(d string) ([]string, error) {
		if s.sandbox != nil {
			return []string{sandboxHost(d)}, nil
		}
		hosts, ok := s.named.get(d)
		if !ok {
			return nil, fmt.Errorf("the MX records of %s are not known", d)
		}
		return hosts, nil
	})
	if err != nil {
		out.Ask = true
		if name = n.Routing; name == n.Domain {
			name = ""
		}
	}
	out.Policy = r.queue(n.Binding, n.Domain, name)
	out.Routing = cmp.Or(out.Policy.Gateway, name)
	return out
}

// rollups says in words what a domain is counted under, and why, from each binding: one
// line for each answer.
func (s *Server) rollups(ctx context.Context, domain string) []string {
	r := s.policies.now.Load()
	if x := r.Snapshot().RollupNamed(domain); x != nil {
		return []string{"a rollup, declared at " + x.Origin.String() + ": domains whose best MX hosts all match " + strings.Join(x.MX, ", ")}
	}
	best, _, err := s.bestHostsOf(ctx, domain)
	if err != nil {
		return nil
	}
	by := map[string][]string{}
	for b := range r.Snapshot().Bindings {
		name, err := rollupOf(r, b, domain, best, func(d string) ([]string, error) {
			hosts, _, err := s.bestHosts(ctx, d)
			return hosts, err
		})
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			p := r.queue(b, domain, name)
			text = route.Reason(p, domain, cmp.Or(p.Gateway, name, domain))
		}
		by[text] = append(by[text], b)
	}
	var out []string
	for text, bindings := range by { // sorted below
		if text == "" {
			continue
		}
		if len(by) > 1 {
			slices.Sort(bindings)
			text += ", from " + few(bindings)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// bestHostsOf is the best MX hosts of a recipient domain.
func (s *Server) bestHostsOf(ctx context.Context, domain string) ([]string, time.Duration, error) {
	if s.sandbox != nil {
		return []string{sandboxHost(domain)}, sandboxTTL, nil
	}
	return s.router.Load().BestHosts(ctx, domain)
}

// few lists names, the first of many.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// routingName is the canonical form of a domain's name, or of another that mail is
// counted under.
func routingName(s string) (string, error) {
	if name := strings.ToLower(s); strings.HasPrefix(name, route.AutoPrefix) {
		return name, nil
	}
	return mail.CanonicalDomain(s)
}
