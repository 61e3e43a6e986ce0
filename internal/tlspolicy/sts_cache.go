package tlspolicy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
)

// Times and bounds of the cache.
const (
	retryFetch   = 5 * time.Minute // a fetch that failed is not tried again for so long (RFC 8461 §3.3)
	mostRenewal  = 24 * time.Hour  // a policy in use is fetched anew after so long at the latest
	leastRenewal = time.Minute
	sweepEvery   = time.Minute
	maxPolicies  = 8 << 20 // octets of all policies; a common one has 200
	maxFailures  = 50_000
	maxFetches   = 128 // at once
	stsKey       = "mta-sts\x00"
)

// Store keeps small facts over restarts; *state.Store is one.
type Store interface {
	Get(key string) ([]byte, bool)
	Keys(prefix string) []string
	Put(key string, value []byte) error
	Delete(key string) error
}

// cached is a policy as it was fetched. Immutable.
type cached struct {
	Policy  `json:"-"`
	ID      string    `json:"id"`
	Text    string    `json:"text"`
	Fetched time.Time `json:"fetched"`
	Expires time.Time `json:"expires"`
}

// size is about what the policy takes in memory and on disk, in octets.
func (c *cached) size() int { return len(c.Text) + 256 }

// renew is when the policy is to be fetched anew though its id is the same.
func (c *cached) renew() time.Time {
	return c.Fetched.Add(max(min(c.MaxAge/2, mostRenewal), leastRenewal))
}

// finding is what is known of a domain's policy.
type finding struct {
	policy *cached // in force; nil: none
	// trouble is why a policy that the domain announces could not be had, or was no policy.
	trouble error
	invalid bool // trouble: it was had, and is no policy
	// busy says that it could not be fetched in time because of others: nothing is known.
	busy bool
}

// failure is a fetch that did not succeed.
type failure struct {
	id      string
	until   time.Time
	err     error
	invalid bool
}

// flight is a fetch under way.
type flight struct {
	done chan struct{}
	busy bool
}

// stsCache answers for MTA-STS policies. Safe for concurrent use.
type stsCache struct {
	lookup func() Lookup
	fetch  func(ctx context.Context, domain string, barred []netip.Prefix) (string, error)
	store  Store
	now    func() time.Time
	log    *slog.Logger
	slots  chan struct{}
	base   context.Context
	wait   sync.WaitGroup

	mu       sync.Mutex
	policies map[string]*cached
	size     int                  // of them all
	used     map[string]time.Time // when a policy was last asked for
	failures map[string]failure
	flights  map[string]*flight
}

// load takes over what was kept; what cannot be read, or has run out, is dropped.
func (c *stsCache) load() {
	for _, key := range c.store.Keys(stsKey) {
		b, _ := c.store.Get(key)
		var p cached
		var err error
		if err = json.Unmarshal(b, &p); err == nil {
			p.Policy, err = ParsePolicy(p.Text)
		}
		if err == nil && p.Expires.After(c.now()) && c.size+p.size() <= maxPolicies {
			c.policies[strings.TrimPrefix(key, stsKey)] = &p
			c.size += p.size()
			continue
		}
		if err := c.store.Delete(key); err != nil {
			c.log.Warn("an MTA-STS policy that has run out stays in the state", "error", err)
		}
	}
}

// find says what policy a domain has, fetching it if need be, for at most wait.
func (c *stsCache) find(ctx context.Context, domain string, wait time.Duration, barred []netip.Prefix) finding {
	id, announced := c.announced(ctx, domain)
	c.mu.Lock()
	have := c.valid(domain)
	if !announced || have != nil && have.ID == id {
		c.mu.Unlock()
		return finding{policy: have}
	}
	if f, ok := c.failures[domain]; ok && f.id == id && f.until.After(c.now()) {
		c.mu.Unlock()
		return finding{policy: have, trouble: f.err, invalid: f.invalid}
	}
	f := c.depart(domain, id, wait, barred)
	c.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return finding{policy: have, trouble: ctx.Err(), busy: have == nil}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	have = c.valid(domain)
	if f.busy {
		return finding{policy: have, busy: have == nil}
	}
	failed := c.failures[domain]
	return finding{policy: have, trouble: failed.err, invalid: failed.invalid}
}

// announced asks for the id of a domain's policy. Without an answer, and without a record,
// what is cached goes on being valid (RFC 8461 §3.3, §5.1).
func (c *stsCache) announced(ctx context.Context, domain string) (id string, ok bool) {
	a, err := c.lookup().Lookup(ctx, "_mta-sts."+domain, dns.TypeTXT)
	if err != nil {
		return "", false
	}
	return parseRecord(a.Text)
}

// valid is the policy that is cached and has not run out. Called under the lock.
func (c *stsCache) valid(domain string) *cached {
	p := c.policies[domain]
	if p == nil {
		return nil
	}
	now := c.now()
	if !p.Expires.After(now) {
		return nil
	}
	c.used[domain] = now
	return p
}

// depart begins a fetch, or joins the one under way. Called under the lock.
func (c *stsCache) depart(domain, id string, wait time.Duration, barred []netip.Prefix) *flight {
	if f := c.flights[domain]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	c.flights[domain] = f
	c.wait.Go(func() {
		ctx, cancel := context.WithTimeout(c.base, wait)
		defer cancel()
		select {
		case c.slots <- struct{}{}:
			text, err := c.fetch(ctx, domain, barred)
			<-c.slots
			c.land(domain, id, text, err)
		case <-ctx.Done():
			f.busy = true
		}
		c.mu.Lock()
		delete(c.flights, domain)
		c.mu.Unlock()
		close(f.done)
	})
	return f
}

// land takes over what a fetch brought.
func (c *stsCache) land(domain, id, text string, err error) {
	var p Policy
	invalid := false
	if err == nil {
		if p, err = ParsePolicy(text); err != nil {
			err, invalid = fmt.Errorf("the policy of %s: %w", domain, err), true
		}
	}
	if errors.Is(err, context.Canceled) {
		return // we are stopping
	}
	now := c.now()
	c.mu.Lock()
	if err != nil {
		if len(c.failures) >= maxFailures {
			c.failures = map[string]failure{}
		}
		c.failures[domain] = failure{id, now.Add(retryFetch), err, invalid}
		stale := c.policies[domain]
		c.mu.Unlock()
		if stale != nil {
			c.log.Warn("the MTA-STS policy cannot be fetched anew; the one in force stays", "domain", domain, "until", stale.Expires, "error", err)
		}
		return
	}
	// A policy that lives for a moment still has to serve those who wait for it.
	n := &cached{Policy: p, ID: id, Text: p.text(), Fetched: now, Expires: now.Add(max(p.MaxAge, leastRenewal))}
	old, used := c.policies[domain], now
	if old != nil {
		used = c.used[domain] // not by us
	}
	c.drop(domain)
	c.makeRoom(n.size())
	c.policies[domain], c.used[domain] = n, used
	c.size += n.size()
	delete(c.failures, domain)
	c.mu.Unlock()
	if old == nil || old.Text != n.Text {
		c.log.Info("MTA-STS policy", "domain", domain, "mode", string(p.Mode), "id", id, "until", n.Expires)
	}
	c.keep(domain, n)
}

func (c *stsCache) keep(domain string, p *cached) {
	b, err := json.Marshal(p)
	if err == nil {
		err = c.store.Put(stsKey+domain, b)
	}
	if err != nil {
		c.log.Warn("an MTA-STS policy will not be known after a restart", "domain", domain, "error", err)
	}
}

// drop forgets a policy. Called under the lock.
func (c *stsCache) drop(domain string) {
	if p := c.policies[domain]; p != nil {
		c.size -= p.size()
		delete(c.policies, domain)
		delete(c.used, domain)
	}
}

// makeRoom drops the policies unused for longest until there is room for one of the given
// size. Called under the lock.
func (c *stsCache) makeRoom(size int) {
	for c.size+size > maxPolicies {
		oldest, at := "", time.Time{}
		for d := range c.policies {
			if used := c.used[d]; oldest == "" || used.Before(at) {
				oldest, at = d, used
			}
		}
		c.drop(oldest)
		if err := c.store.Delete(stsKey + oldest); err != nil {
			c.log.Warn("forget an MTA-STS policy", "domain", oldest, "error", err)
		}
	}
}

// run fetches policies in use anew before they end, and forgets those that have ended.
func (c *stsCache) run(ctx context.Context, wait func() time.Duration, barred func() []netip.Prefix) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.sweep(ctx, wait(), barred())
		}
	}
}

// sweep looks at every policy once.
func (c *stsCache) sweep(ctx context.Context, wait time.Duration, barred []netip.Prefix) {
	due, over := c.due()
	for _, domain := range over {
		if err := c.store.Delete(stsKey + domain); err != nil {
			c.log.Warn("forget an MTA-STS policy", "domain", domain, "error", err)
		}
	}
	for _, domain := range due {
		id, ok := c.announced(ctx, domain)
		if !ok || ctx.Err() != nil {
			continue
		}
		c.mu.Lock()
		f := c.depart(domain, id, wait, barred)
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return
		}
	}
}

// due lists the policies that were used since they were fetched and are to be fetched
// anew, and drops those that have ended. Both lists are of domains.
func (c *stsCache) due() (due, over []string) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for domain, p := range c.policies { // each is looked at by itself
		failed, tried := c.failures[domain]
		switch {
		case !p.Expires.After(now):
			over = append(over, domain)
			c.drop(domain)
		case p.renew().After(now), c.used[domain].Before(p.Fetched), tried && failed.until.After(now):
		default:
			due = append(due, domain)
		}
	}
	for domain, f := range c.failures { // likewise
		if !f.until.After(now) {
			delete(c.failures, domain)
		}
	}
	return due, over
}
