package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Config says where a Resolver gets its answers. The zero value of a field is its
// default.
type Config struct {
	Zone    *Zone    // answers instead of the network; Servers is not asked then
	Servers []string // address or address:port; empty: the machine's, from ResolvConf
	Now     func() int64
	Entries int // most cached answers; 100000
	// TrustAD says that the servers validate and that nobody can change their answers on the
	// way: their AD bit is believed. A zone's records then count as validated.
	TrustAD  bool
	Timeout  time.Duration // of one exchange with one server; 3s
	Attempts int           // rounds over all servers; 2
	MinTTL   time.Duration // 10s
	MaxTTL   time.Duration // 24h
	MaxStale time.Duration // how long an answer may outlive its TTL while no newer one can be had; 24h
	// ResolvConf is the file that names the machine's resolvers; /etc/resolv.conf.
	ResolvConf string
}

// Times that are not settings.
const (
	maxNegative  = time.Hour        // longest time a negative answer is kept
	failureKeep  = 10 * time.Second // a failure is not asked again for so long (RFC 9520 §3.2)
	localKeep    = time.Second      // the same for trouble of our own
	staleTTL     = 30 * time.Second // a stale answer holds so long (RFC 8767 §5)
	staleWait    = 2 * time.Second  // wait for a fresh answer before a stale one is given
	flightExpiry = 30 * time.Second // a lookup ends by then, whatever happens
	confKeep     = 5 * time.Second  // how long resolv.conf is taken as unchanged
)

// Resolver answers questions from a zone or from the network through its cache. Safe
// for concurrent use.
type Resolver struct {
	zone   *Zone
	wire   *wire
	now    func() int64
	conf   Config
	base   context.Context // ends with Close
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	cache   *cache
	flights map[key]*flight
	stats   Stats
}

// flight is a question on its way; all who ask it meanwhile share the answer.
type flight struct {
	done   chan struct{}
	answer Answer
	err    error
}

// Stats counts what a Resolver has done since it was made.
type Stats struct {
	Asked    int64 `json:"asked"`    // questions put to it
	Hits     int64 `json:"hits"`     // answered from the cache
	Queries  int64 `json:"queries"`  // lookups that went to the network
	Failures int64 `json:"failures"` // of them, without an answer
	Stale    int64 `json:"stale"`    // answered from the cache beyond the TTL
	Entries  int   `json:"entries"`  // in the cache now
}

// New returns a Resolver. Close it. It fails when a server named is no address.
func New(c Config) (*Resolver, error) {
	c.defaults()
	r := &Resolver{zone: c.Zone, now: c.Now, conf: c, cache: newCache(c.Entries), flights: map[key]*flight{}}
	servers := machineServers(c.ResolvConf)
	if len(c.Servers) > 0 {
		named := make([]string, len(c.Servers))
		for i, s := range c.Servers {
			ap, err := netip.ParseAddrPort(s)
			if err != nil {
				var a netip.Addr
				if a, err = netip.ParseAddr(s); err != nil {
					return nil, fmt.Errorf("dns resolver %q: want ADDRESS or ADDRESS:PORT, e.g. 127.0.0.1:53", s)
				}
				ap = netip.AddrPortFrom(a, 53)
			}
			named[i] = ap.String()
		}
		servers = func() []string { return named }
	}
	r.base, r.cancel = context.WithCancel(context.Background())
	r.wire = newWire(r.base, servers, c.Timeout, c.Attempts)
	return r, nil
}

func (c *Config) defaults() {
	if c.Now == nil {
		start := time.Now()
		c.Now = func() int64 { return int64(time.Since(start)) }
	}
	if c.Entries <= 0 {
		c.Entries = 100_000
	}
	if c.Attempts <= 0 {
		c.Attempts = 2
	}
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	for _, d := range []struct {
		field   *time.Duration
		initial time.Duration
	}{
		{&c.Timeout, 3 * time.Second},
		{&c.MinTTL, 10 * time.Second},
		{&c.MaxTTL, 24 * time.Hour},
		{&c.MaxStale, 24 * time.Hour},
	} {
		if *d.field <= 0 {
			*d.field = d.initial
		}
	}
}

// Close ends lookups that are on their way and waits for them.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wait.Wait()
}

// Stats is cheap.
func (r *Resolver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Entries = r.cache.len()
	return s
}

// Lookup answers one question about a canonical name. The error is a *Failure, or that
// of ctx.
func (r *Resolver) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	if r.zone != nil {
		return r.fromZone(name, t)
	}
	if _, ok := mdns.IsDomainName(name); !ok {
		return Answer{Status: NoDomain, TTL: r.conf.MinTTL}, nil
	}
	k := key{name, t}
	now := r.now()
	r.mu.Lock()
	r.stats.Asked++
	e := r.cache.get(k)
	if a, err, known := e.current(now); known {
		r.stats.Hits++
		if a.Stale {
			r.stats.Stale++
		}
		r.mu.Unlock()
		return a, err
	}
	f := r.flights[k]
	if f == nil {
		if r.closed {
			r.mu.Unlock()
			return Answer{}, &Failure{Name: name, Type: t, Reason: "the resolver is closed", Local: true}
		}
		f = r.depart(k)
	}
	stale, haveStale := e.stale(now)
	r.mu.Unlock()
	return r.await(ctx, f, stale, haveStale)
}

// await waits for a flight; for a short time only when a stale answer is at hand.
func (r *Resolver) await(ctx context.Context, f *flight, stale Answer, haveStale bool) (Answer, error) {
	var patience <-chan time.Time
	if haveStale {
		t := time.NewTimer(staleWait)
		defer t.Stop()
		patience = t.C
	}
	select {
	case <-f.done:
		if f.err == nil || !haveStale {
			return f.answer, f.err
		}
	case <-patience:
	case <-ctx.Done():
		if !haveStale {
			return Answer{}, ctx.Err()
		}
	}
	r.mu.Lock()
	r.stats.Stale++
	r.mu.Unlock()
	return stale, nil
}

// current returns what is known without asking: a fresh answer, or the failure of a
// moment ago (then a stale answer, if there is one).
func (e *entry) current(now int64) (Answer, error, bool) {
	if e == nil {
		return Answer{}, nil, false
	}
	if e.staleUntil != 0 && now < e.expires {
		a := e.answer
		a.TTL = time.Duration(e.expires - now)
		return a, nil, true
	}
	if e.err != nil && now < e.errUntil {
		if a, ok := e.stale(now); ok {
			return a, nil, true
		}
		return Answer{}, e.err, true
	}
	return Answer{}, nil, false
}

func (e *entry) stale(now int64) (Answer, bool) {
	if e == nil || now >= e.staleUntil {
		return Answer{}, false
	}
	a := e.answer
	a.TTL, a.Stale = staleTTL, true
	return a, true
}

// depart starts a flight. It is called under the lock.
func (r *Resolver) depart(k key) *flight {
	f := &flight{done: make(chan struct{})}
	r.flights[k] = f
	r.stats.Queries++
	r.wait.Add(1)
	go func() {
		defer r.wait.Done()
		ctx, cancel := context.WithTimeout(r.base, flightExpiry)
		defer cancel()
		f.answer, f.err = r.chase(ctx, k)
		r.land(k, f)
	}()
	return f
}

// land stores what a flight brought and wakes those who wait for it.
func (r *Resolver) land(k key, f *flight) {
	now := r.now()
	r.mu.Lock()
	e := r.cache.make(k)
	if f.err != nil {
		keep := failureKeep
		if IsLocal(f.err) {
			keep = localKeep
		}
		e.err, e.errUntil = f.err, now+int64(keep)
		r.stats.Failures++
	} else {
		f.answer.TTL = r.clamp(f.answer)
		e.answer, e.err = f.answer, nil
		e.expires = now + int64(f.answer.TTL)
		e.staleUntil = e.expires
		// A denial refuses mail for good; an old key may be one that was given up because it
		// was stolen. Neither is ever used beyond its time.
		if f.answer.Status == Found && k.t != TypeTLSA {
			e.staleUntil += int64(r.conf.MaxStale)
		}
	}
	delete(r.flights, k)
	r.mu.Unlock()
	close(f.done)
}

func (r *Resolver) clamp(a Answer) time.Duration {
	longest := r.conf.MaxTTL
	if a.Status != Found {
		longest = min(longest, maxNegative)
	}
	return min(max(a.TTL, r.conf.MinTTL), longest)
}

// chase asks for k and, when the answer is only an alias, for what it stands for.
func (r *Resolver) chase(ctx context.Context, k key) (Answer, error) {
	name := k.name
	least := time.Duration(1<<63 - 1)
	authentic := true
	for range maxAliases {
		a, next, err := r.wire.ask(ctx, name, k.t)
		if err != nil {
			return Answer{}, err
		}
		authentic = authentic && a.Authentic
		if next == "" {
			a.TTL, a.Authentic = min(a.TTL, least), authentic && r.conf.TrustAD
			if a.Alias == "" && name != k.name {
				a.Alias = name
			}
			return a, nil
		}
		name = hostName(next)
	}
	return Answer{}, &Failure{Name: k.name, Type: k.t, Reason: "alias chain loops or is longer than 8"}
}

func (r *Resolver) fromZone(name string, t Type) (Answer, error) {
	r.mu.Lock()
	r.stats.Asked++
	r.mu.Unlock()
	a, err := r.zone.answer(name, t)
	if err != nil {
		return Answer{}, err
	}
	a.TTL, a.Authentic = r.clamp(a), r.conf.TrustAD
	return a, nil
}

// TrustsAD reports whether answers can be Authentic.
func (r *Resolver) TrustsAD() bool { return r.conf.TrustAD }

// machineServers returns a function that gives the servers of a resolv.conf(5) file,
// read again when it changes. Without one, as other programs do, the machine's own.
func machineServers(file string) func() []string {
	var mu sync.Mutex
	var looked, modified time.Time
	servers := []string{"127.0.0.1:53"}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		if !looked.IsZero() && time.Since(looked) < confKeep {
			return servers
		}
		looked = time.Now()
		info, err := os.Stat(file)
		if err != nil || info.ModTime().Equal(modified) || info.Size() > 1<<20 {
			return servers
		}
		conf, err := mdns.ClientConfigFromFile(file)
		if err != nil || len(conf.Servers) == 0 {
			return servers
		}
		modified = info.ModTime()
		servers = nil
		for _, s := range conf.Servers[:min(len(conf.Servers), maxServers)] {
			servers = append(servers, net.JoinHostPort(s, conf.Port))
		}
		return servers
	}
}
