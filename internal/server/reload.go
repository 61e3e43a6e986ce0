package server

import (
	"fmt"
	"slices"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Reload reads the configuration again and puts it into force: all of it or, on any
// error, nothing. What takes effect only at a start (listeners that come, go or move,
// the directories of spool and accounting) is named in the warnings.
func (s *Server) Reload() ([]string, error) {
	s.reloadMu.Lock()
	defer s.reloadMu.Unlock()
	if s.opts.Load == nil {
		return nil, fmt.Errorf("%w: the server runs without a configuration file", admin.ErrRefused)
	}
	next, warnings, err := s.opts.Load()
	if err != nil {
		return nil, fmt.Errorf("%w; the running configuration stays: %w", admin.ErrRefused, err)
	}
	now := s.policies.snapshot()
	next.Generation = now.Generation + 1
	warnings = append(warnings, needsRestart(s.begun, next)...)
	rules, err := readRules(next)
	if err != nil {
		return nil, fmt.Errorf("%w; the running configuration stays: %w", admin.ErrRefused, err)
	}
	if err := s.routeBy(next); err != nil {
		return nil, fmt.Errorf("%w; the running configuration stays: %w", admin.ErrRefused, err)
	}
	s.learnNamed(next)
	for i := range next.Listeners {
		if f := s.fronts[next.Listeners[i].Address]; f != nil {
			if err := f.Apply(&next.Listeners[i]); err != nil {
				warnings = append(warnings, err.Error()+"; the listener keeps its settings")
			}
		}
	}
	s.policies.set(next)
	s.rules.Store(rules)
	s.checkFiles(next)
	s.readSuppression()
	s.driver.Reload(sched.PolicyChanged{Generation: next.Generation, Server: s.bounds(next), Tenants: next.Tenants}, s.fill)
	s.log.Info("configuration reloaded", "file", next.File, "generation", next.Generation)
	return warnings, nil
}

// fill resolves the policies of names under the configuration in force.
func (s *Server) fill(ev *sched.PolicyChanged, names []sched.Name) {
	snap := s.policies.snapshot()
	for _, n := range names {
		gone := snap.Bindings[n.Binding] == nil
		switch {
		case n.Host != "" && !gone:
			ev.Hosts = append(ev.Hosts, sched.HostPolicy{Binding: n.Binding, Host: n.Host, Policy: s.policies.host(n.Binding, n.Host, n.Addresses)})
		case n.Host != "":
			ev.Hosts = append(ev.Hosts, sched.HostPolicy{Binding: n.Binding, Host: n.Host, Policy: &policy.Host{}})
		case gone:
			ev.Queues = append(ev.Queues, sched.QueuePolicy{Binding: n.Binding, Domain: n.Domain})
		default:
			ev.Queues = append(ev.Queues, s.rerouted(&n))
		}
	}
}

// needsRestart names what a reload cannot change, now being what was started with.
func needsRestart(now, next *policy.Snapshot) []string {
	var out []string
	have := map[string]policy.ListenerKind{}
	for _, l := range now.Listeners {
		have[l.Address] = l.Kind
	}
	for _, l := range next.Listeners {
		kind, ok := have[l.Address]
		if !ok || kind != l.Kind {
			out = append(out, fmt.Sprintf("%s: the new listener %s begins at the next start", l.Origin, l.Address))
		}
		delete(have, l.Address)
	}
	for _, l := range now.Listeners {
		if _, ok := have[l.Address]; ok {
			out = append(out, fmt.Sprintf("the listener %s is gone from the configuration and ends at the next start", l.Address))
		}
	}
	if now.Spool != next.Spool {
		out = append(out, "spool: its settings change at the next start")
	}
	if a, b := &now.Account, &next.Account; a.Directory != b.Directory || a.MaxSize != b.MaxSize || a.MaxAge != b.MaxAge ||
		!slices.Equal(a.Formats, b.Formats) {
		out = append(out, "accounting: its settings change at the next start")
	}
	return out
}
