package server

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
)

// maxKnown bounds the names whose policy is remembered; beyond it names are resolved
// anew, which costs microseconds.
const maxKnown = 100_000

// policies answers what holds for names under the configuration in force. A reload
// puts another in its place as a whole.
type policies struct {
	now atomic.Pointer[resolved]
}

// resolved is one configuration with the names asked so far.
type resolved struct {
	*config.Resolver
	mu     sync.RWMutex
	queues map[pair]*policy.Queue
}

// pair is a binding and a domain, under a rollup if that is not empty.
type pair struct{ binding, domain, rollup string }

func (p *policies) set(s *policy.Snapshot) { p.now.Store(resolverOf(s)) }

func resolverOf(s *policy.Snapshot) *resolved {
	return &resolved{Resolver: config.NewResolver(s), queues: map[pair]*policy.Queue{}}
}

func (p *policies) snapshot() *policy.Snapshot { return p.now.Load().Snapshot() }

// queue implements live.Policies.
func (p *policies) queue(binding, domain string) (*policy.Queue, uint64) {
	r := p.now.Load()
	return r.queue(binding, domain, ""), r.Snapshot().Generation
}

// queue is what holds for a binding and a recipient domain under a rollup; empty: none.
func (r *resolved) queue(binding, domain, rollup string) *policy.Queue {
	k := pair{binding, domain, rollup}
	r.mu.RLock()
	q := r.queues[k]
	r.mu.RUnlock()
	if q == nil {
		q = r.Resolver.QueueUnder(binding, domain, rollup)
		if r.Snapshot().Bindings[binding] == nil {
			// Its mail waits: it must not leave from an address that nobody chose.
			waits := *q
			waits.Suspended, waits.Group = true, ""
			q = &waits
		}
		r.mu.Lock()
		if len(r.queues) < maxKnown {
			r.queues[k] = q
		}
		r.mu.Unlock()
	}
	return q
}

func (p *policies) host(binding, host string, addrs []netip.Addr) *policy.Host {
	return p.now.Load().Host(binding, host, addrs)
}
