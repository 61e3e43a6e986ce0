package dns_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/mail"
)

type clock struct{ ns atomic.Int64 }

func (c *clock) now() int64              { return c.ns.Load() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// network returns a resolver of the servers with a clock of its own. It waits long for
// answers, so that a busy machine does not change what a test sees.
func network(t *testing.T, servers ...string) (*dns.Resolver, *clock) {
	t.Helper()
	return impatient(t, 10*time.Second, servers...)
}

// impatient is for servers that do not answer.
func impatient(t *testing.T, timeout time.Duration, servers ...string) (*dns.Resolver, *clock) {
	t.Helper()
	c := &clock{}
	c.ns.Store(1)
	r, err := dns.New(dns.Config{Servers: servers, Now: c.now, Timeout: timeout, Attempts: 1, Entries: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, c
}

// closedPort returns an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	s := dnstest.Serve(t, "")
	s.Close()
	return s.Addr
}

func bigWorld() string {
	var b strings.Builder
	b.WriteString(world)
	b.WriteString(". 3600 SOA ns.test. root.test. 1 2 3 4 77\n")
	for i := range 150 {
		fmt.Fprintf(&b, "wide.test. MX %d mx%d.wide.test.\n", 1000-i, i)
	}
	for i := range 500 {
		fmt.Fprintf(&b, "crowd.test. A 192.0.%d.%d\n", 2+i/250, 1+i%250)
	}
	for i := range 12 {
		fmt.Fprintf(&b, "c%d.test. CNAME c%d.test.\n", i, i+1)
	}
	b.WriteString("c12.test. A 192.0.2.1\n")
	return b.String()
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault dnstest.Fault
		want  string // of one.test, beginning
	}{
		{dnstest.None, "a.one.test/10"},
		{dnstest.Truncate, "a.one.test/10"},
		{dnstest.NoEDNS, "a.one.test/10"},
		{dnstest.Poison, "a.one.test/10 192.0.2.1, b.one.test/20 192.0.2.2"},
		{dnstest.ServFail, "deferred 4.4.3 "},
		{dnstest.Refused, "deferred 4.4.3 "},
		{dnstest.Silent, "deferred 4.4.3 "},
		{dnstest.TruncateAll, "deferred 4.4.3 "},
		{dnstest.CloseTCP, "deferred 4.4.3 "},
		{dnstest.Garbage, "deferred 4.4.3 "},
		{dnstest.Lame, "deferred 4.4.3 "},
		{dnstest.WrongID, "deferred 4.4.3 "},
		{dnstest.WrongQuestion, "deferred 4.4.3 "},
	} {
		t.Run(fmt.Sprint(c.fault), func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if c.fault == dnstest.Silent || c.fault == dnstest.WrongID || c.fault == dnstest.WrongQuestion {
				timeout = 500 * time.Millisecond
			}
			s := dnstest.Serve(t, bigWorld())
			s.Fault("one.test", c.fault)
			r, _ := impatient(t, timeout, s.Addr)
			got := show(router(r).Resolve(context.Background(), ask("one.test")))
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("fault %d: %s", c.fault, got)
			}
			// A second server makes good for the first.
			good := dnstest.Serve(t, bigWorld())
			r, _ = impatient(t, timeout, s.Addr, good.Addr)
			if got := show(router(r).Resolve(context.Background(), ask("one.test"))); !strings.HasPrefix(got, "a.one.test/10") {
				t.Errorf("fault %d with a second server: %s", c.fault, got)
			}
		})
	}
}

// One host of two that cannot be looked up: the other is used; both: the mail waits,
// for a 4.4.4; it is never sent to the domain's own address.
func TestHostLookupsFail(t *testing.T) {
	s := dnstest.Serve(t, world+"\none.test. A 192.0.2.99\n")
	s.Fault("a.one.test", dnstest.ServFail)
	r, _ := network(t, s.Addr)
	got := router(r).Resolve(context.Background(), ask("one.test"))
	if show(got) != "b.one.test/20 192.0.2.2" {
		t.Error(show(got))
	}
	if got.Until > 1000+int64(11*time.Second) {
		t.Errorf("asked again only after %d s though a host is missing", got.Until/1e9)
	}
	s.Fault("b.one.test", dnstest.ServFail)
	r, _ = network(t, s.Addr)
	if got := show(router(r).Resolve(context.Background(), ask("one.test"))); !strings.HasPrefix(got, "deferred 4.4.4 ") {
		t.Error(got)
	}
}

func TestNoResolverIsLocalTrouble(t *testing.T) {
	silent := dnstest.Serve(t, world)
	silent.Fault("", dnstest.Silent)
	for name, server := range map[string]string{"closed port": closedPort(t), "silent": silent.Addr} {
		r, _ := impatient(t, 200*time.Millisecond, server)
		got := router(r).Resolve(context.Background(), ask("one.test"))
		if got.Class != mail.ClassLocal {
			t.Errorf("%s: %s", name, show(got))
		}
	}
	// Found dead a moment ago: further names do not wait for it.
	r, _ := impatient(t, 200*time.Millisecond, silent.Addr)
	_ = router(r).Resolve(context.Background(), ask("one.test"))
	if got := router(r).Resolve(context.Background(), ask("implicit.test")); got.Class != mail.ClassLocal {
		t.Error(show(got))
	}
	if n := silent.Queries("implicit.test", dns.TypeMX); n != 0 {
		t.Errorf("asked %d times though nobody answers", n)
	}
	// The root answers: the resolver is alive, the domain's servers are not.
	slow := dnstest.Serve(t, world)
	slow.Fault("one.test", dnstest.Silent)
	r, _ = impatient(t, time.Second, slow.Addr)
	if got := router(r).Resolve(context.Background(), ask("one.test")); got.Class != mail.ClassDeferred {
		t.Error(show(got))
	}
}

func TestAnswersAreBounded(t *testing.T) {
	s := dnstest.Serve(t, bigWorld())
	r, _ := network(t, s.Addr)
	ctx := context.Background()
	mx, err := r.Lookup(ctx, "wide.test", dns.TypeMX)
	if err != nil || len(mx.MX) != 100 || mx.MX[0].Host != "mx149.wide.test" {
		t.Errorf("%d MX records kept, %v: the best 100 are", len(mx.MX), err)
	}
	a, err := r.Lookup(ctx, "crowd.test", dns.TypeA)
	if err != nil || len(a.Addresses) != 64 {
		t.Errorf("%d addresses kept, %v", len(a.Addresses), err)
	}
	if _, err := r.Lookup(ctx, "c0.test", dns.TypeA); err == nil {
		t.Error("a chain of 12 aliases was followed")
	}
	if a, err := r.Lookup(ctx, "c5.test", dns.TypeA); err != nil || len(a.Addresses) != 1 {
		t.Errorf("a chain of 7 aliases: %+v, %v", a, err)
	}
	if _, err := r.Lookup(ctx, strings.Repeat("x", 70)+".test", dns.TypeMX); err != nil {
		t.Errorf("an overlong label: %v", err)
	}
	before := r.Stats().Queries
	if got := show(router(r).Resolve(ctx, ask("wide.test"))); !strings.HasPrefix(got, "deferred 4.4.4 32 of the 100 MX hosts of wide.test were looked up") {
		t.Error(got)
	}
	if n := r.Stats().Queries - before; n > 64 {
		t.Errorf("%d lookups for one resolution", n)
	}
}

func TestAliasOnlyAnswerIsFollowed(t *testing.T) {
	s := dnstest.Serve(t, world)
	s.Fault("alias.test", dnstest.AliasOnly)
	s.Fault("loop.test", dnstest.AliasOnly)
	s.Fault("loop2.test", dnstest.AliasOnly)
	r, _ := network(t, s.Addr)
	a, err := r.Lookup(context.Background(), "alias.test", dns.TypeA)
	if err != nil || len(a.Addresses) != 1 || a.TTL != 200*time.Second {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := r.Lookup(context.Background(), "loop.test", dns.TypeA); err == nil {
		t.Error("a loop of aliases has an answer")
	}
	if n := s.Queries("loop.test", dns.TypeA); n > 8 {
		t.Errorf("%d questions about a loop", n)
	}
}

func TestCache(t *testing.T) {
	s := dnstest.Serve(t, bigWorld())
	r, c := network(t, s.Addr)
	ctx := context.Background()
	look := func(name string) dns.Answer {
		t.Helper()
		a, err := r.Lookup(ctx, name, dns.TypeMX)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	queries := func(name string, want int) {
		t.Helper()
		if got := s.Queries(name, dns.TypeMX); got != want {
			t.Errorf("%s was asked %d times, want %d", name, got, want)
		}
	}
	if a := look("one.test"); a.TTL != 300*time.Second {
		t.Errorf("TTL %v", a.TTL)
	}
	c.advance(299 * time.Second)
	if a := look("one.test"); a.TTL != time.Second || a.Stale {
		t.Errorf("%+v", a)
	}
	queries("one.test", 1)
	c.advance(time.Second)
	look("one.test")
	queries("one.test", 2)

	// Negative: the SOA's minimum, 77 s (RFC 2308 §5).
	if a := look("nowhere.test"); a.Status != dns.NoDomain || a.TTL != 77*time.Second {
		t.Errorf("%+v", a)
	}
	c.advance(76 * time.Second)
	look("nowhere.test")
	queries("nowhere.test", 1)
	c.advance(time.Second)
	look("nowhere.test")
	queries("nowhere.test", 2)

	// A failure is not asked again at once.
	s.Fault("broken.test", dnstest.ServFail)
	for range 3 {
		if _, err := r.Lookup(ctx, "broken.test", dns.TypeMX); err == nil {
			t.Error("no failure")
		}
	}
	queries("broken.test", 1)
	c.advance(11 * time.Second)
	_, _ = r.Lookup(ctx, "broken.test", dns.TypeMX)
	queries("broken.test", 2)
}

func TestStaleWhileServersAreOut(t *testing.T) {
	s := dnstest.Serve(t, world)
	r, c := network(t, s.Addr)
	if got := show(router(r).Resolve(context.Background(), ask("one.test"))); !strings.HasPrefix(got, "a.one.test") {
		t.Fatal(got)
	}
	if _, err := r.Lookup(context.Background(), "nowhere.test", dns.TypeMX); err != nil {
		t.Fatal(err)
	}
	s.Fault("", dnstest.ServFail)
	c.advance(time.Hour)
	got := router(r).Resolve(context.Background(), ask("one.test"))
	if show(got) != "a.one.test/10 192.0.2.1, b.one.test/20 192.0.2.2" {
		t.Errorf("in an outage: %s", show(got))
	}
	if got.Until > 1000+int64(31*time.Second) {
		t.Errorf("a stale answer holds %d s", got.Until/1e9)
	}
	// A denial is never given stale: mail would be refused by it.
	if got := router(r).Resolve(context.Background(), ask("nowhere.test")); got.Class != mail.ClassDeferred {
		t.Errorf("a denial in an outage: %s", show(got))
	}
	if r.Stats().Stale == 0 {
		t.Error("not counted")
	}
	c.advance(48 * time.Hour)
	if got := router(r).Resolve(context.Background(), ask("one.test")); got.Class != mail.ClassDeferred {
		t.Errorf("after two days: %s", show(got))
	}
	s.Fault("", dnstest.None)
	c.advance(time.Minute)
	if a, err := r.Lookup(context.Background(), "one.test", dns.TypeMX); err != nil || a.Stale {
		t.Errorf("after the outage: %+v %v", a, err)
	}
}

func TestOneFlightForAll(t *testing.T) {
	s := dnstest.Serve(t, world)
	release := s.Hold()
	r, err := dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	var wait sync.WaitGroup
	var asked atomic.Int32
	for range 50 {
		wait.Go(func() {
			asked.Add(1)
			if a, err := r.Lookup(context.Background(), "one.test", dns.TypeMX); err != nil || len(a.MX) != 2 {
				t.Errorf("%+v %v", a, err)
			}
		})
	}
	for r.Stats().Asked < 50 {
		runtime.Gosched() // until all of them have asked
	}
	release()
	wait.Wait()
	if n := s.Queries("one.test", dns.TypeMX); n != 1 {
		t.Errorf("%d questions for 50 askers", n)
	}
}

func TestWaiterGivesUpAlone(t *testing.T) {
	s := dnstest.Serve(t, world)
	release := s.Hold()
	defer release()
	r, err := dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Lookup(ctx, "one.test", dns.TypeMX); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.Close() // ends the flight
	if _, err := r.Lookup(context.Background(), "two.test", dns.TypeMX); !dns.IsLocal(err) {
		t.Errorf("closed: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := dnstest.Serve(t, world)
	r, err := dns.New(dns.Config{Servers: []string{s.Addr}, Entries: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	for i := range 50 {
		if _, err := r.Lookup(context.Background(), fmt.Sprintf("d%d.many.test", i), dns.TypeMX); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Stats().Entries; n != 10 {
		t.Errorf("%d entries", n)
	}
}

func TestServersOfTheMachine(t *testing.T) {
	s := dnstest.Serve(t, world)
	host, port, _ := strings.Cut(s.Addr, ":")
	_ = port
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver "+host+"\noptions ndots:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := dns.New(dns.Config{ResolvConf: file, Timeout: 100 * time.Millisecond, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	_, err = r.Lookup(context.Background(), "one.test", dns.TypeMX)
	if err != nil && !strings.Contains(err.Error(), host+":53") {
		t.Errorf("asked another server: %v", err)
	}
	if _, err := dns.New(dns.Config{Servers: []string{"localhost"}}); err == nil {
		t.Error("a name is taken for a server")
	}
}
