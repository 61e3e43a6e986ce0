package config

import (
	"net/netip"
	"sync"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Resolver answers as its Snapshot does, and gives one *policy.Queue (or Host) to all
// names that no stanza tells apart, so that a million names of one kind cost the memory
// of one. It keeps no name: callers that know many may keep the pointers. Safe for
// concurrent use.
type Resolver struct {
	snap   *policy.Snapshot
	mu     sync.RWMutex
	queues map[string]*policy.Queue
	hosts  map[string]*policy.Host
}

// maxShared bounds the answers kept; beyond it they are collected anew, and only
// sharing with earlier ones is lost.
const maxShared = 1 << 17

// NewResolver returns a Resolver over a snapshot.
func NewResolver(s *policy.Snapshot) *Resolver {
	return &Resolver{snap: s, queues: map[string]*policy.Queue{}, hosts: map[string]*policy.Host{}}
}

// Snapshot returns the configuration that is asked.
func (r *Resolver) Snapshot() *policy.Snapshot { return r.snap }

// Queue resolves what holds for a binding and a recipient domain (canonical) that is not
// rolled up.
func (r *Resolver) Queue(binding, domain string) *policy.Queue {
	return r.QueueUnder(binding, domain, "")
}

// QueueUnder resolves what holds for a binding and a recipient domain under a rollup;
// empty: under none.
func (r *Resolver) QueueUnder(binding, domain, rollup string) *policy.Queue {
	var room [192]byte
	key := r.snap.AppendQueueUnderKey(room[:0], binding, domain, rollup)
	r.mu.RLock()
	q := r.queues[string(key)]
	r.mu.RUnlock()
	if q != nil {
		return q
	}
	q = r.snap.QueueUnder(binding, domain, rollup)
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.queues[string(key)]; have != nil {
		return have
	}
	if len(r.queues) >= maxShared {
		clear(r.queues)
	}
	r.queues[string(key)] = q
	return q
}

// Host resolves what holds for a binding's connections to one MX host (canonical name)
// and its addresses.
func (r *Resolver) Host(binding, host string, addrs []netip.Addr) *policy.Host {
	var room [192]byte
	key := r.snap.AppendHostKey(room[:0], binding, host, addrs)
	r.mu.RLock()
	h := r.hosts[string(key)]
	r.mu.RUnlock()
	if h != nil {
		return h
	}
	h = r.snap.Host(binding, host, addrs)
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.hosts[string(key)]; have != nil {
		return have
	}
	if len(r.hosts) >= maxShared {
		clear(r.hosts)
	}
	r.hosts[string(key)] = h
	return h
}
