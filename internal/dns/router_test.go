package dns_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const world = `
one.test.      300 MX 20 b.one.test.
one.test.      300 MX 10 a.one.test.
a.one.test.    200 A 192.0.2.1
b.one.test.    100 A 192.0.2.2

implicit.test.     A 192.0.2.3
null.test.         MX 0 .
nullplus.test.     MX 0 .
nullplus.test.     MX 10 a.one.test.
empty.test.        TXT "no mail here"
gone.test.         MX 10 nowhere.test.
gone.test.         MX 20 empty.test.
literalmx.test.    MX 10 192.0.2.7.
badname.test.      MX 10 in\ valid.test.
cnamemx.test.      MX 10 alias.test.
alias.test.        CNAME a.one.test.
aliasdomain.test.  CNAME one.test.
loop.test.         CNAME loop2.test.
loop2.test.        CNAME loop.test.
dangling.test.     CNAME nothing.elsewhere.test.
*.many.test.       MX 10 mx.many.test.
mx.many.test.      A 192.0.2.30
mx.many.test.      TXT "so that this name is not the wildcard's"

dual.test.         MX 10 mx.dual.test.
mx.dual.test.      A 192.0.2.41
mx.dual.test.      A 192.0.2.42
mx.dual.test.      A 192.0.2.43
mx.dual.test.      AAAA 2001:db8::41
mx.dual.test.      AAAA 2001:db8::42
six.test.          MX 10 mx.six.test.
mx.six.test.       AAAA 2001:db8::6
mapped.test.       MX 10 mx.mapped.test.
mx.mapped.test.    AAAA ::ffff:127.0.0.1

inside.test.       MX 10 lo.inside.test.
lo.inside.test.    A 127.0.0.1
mixed.test.        MX 10 lo.inside.test.
mixed.test.        MX 20 a.one.test.
cast.test.         MX 10 mx.cast.test.
mx.cast.test.      A 224.0.0.1
half.test.         MX 10 mx.half.test.
mx.half.test.      A 127.0.0.1
mx.half.test.      A 192.0.2.50
skip.test.         MX 10 mx.skip.test.
mx.skip.test.      A 198.51.100.1
skipmixed.test.    MX 10 mx.skip.test.
skipmixed.test.    MX 20 a.one.test.

own.test.          MX 10 us.test.
own.test.          MX 20 a.one.test.
ownworse.test.     MX 10 a.one.test.
ownworse.test.     MX 20 us.test.
ownworse.test.     MX 20 b.one.test.
ownworse.test.     MX 30 mx.dual.test.
us.test.           A 192.0.2.100

equal.test.        MX 10 e1.test.
equal.test.        MX 10 e2.test.
equal.test.        MX 10 e3.test.
equal.test.        MX 20 e4.test.
e1.test.           A 192.0.2.61
e2.test.           A 192.0.2.62
e3.test.           A 192.0.2.63
e4.test.           A 192.0.2.64
`

var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("0.0.0.0/32"), netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
}

func ask(domain string, change ...func(*policy.Queue)) sched.Resolve {
	p := &policy.Queue{
		MaxMXHosts: 5, MaxAddressesPerHost: 2,
		Session: &policy.Session{UseIPv4: true, Port: 25, Prohibited: loopback, SkipHosts: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
	}
	for _, c := range change {
		c(p)
	}
	return sched.Resolve{Binding: "b", Domain: domain, Policy: p}
}

func router(r *dns.Resolver) *dns.Router {
	return &dns.Router{
		Resolver: r,
		Now:      func() int64 { return 1000 },
		Own:      dns.Listeners([]string{"192.0.2.100:25", "unix:/run/x.sock"}),
		HostPolicy: func(_, host string, addrs []netip.Addr) *policy.Host {
			return &policy.Host{Limits: []policy.Limit{{Option: host, Max: len(addrs)}}}
		},
	}
}

// show writes a Resolved on one line: hosts as name/preference[addresses], or the class,
// status and text.
func show(r sched.Resolved) string {
	if r.Class != mail.ClassDelivered {
		return fmt.Sprintf("%s %s %s", r.Class, r.Reply.Enhanced, r.Reply.Text)
	}
	var out []string
	for _, h := range r.Hosts {
		s := fmt.Sprintf("%s/%d", h.Name, h.Preference)
		for _, a := range h.Addresses {
			s += " " + a.String()
		}
		if h.Port != 25 {
			s += fmt.Sprintf(" port %d", h.Port)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func v6(p *policy.Queue)     { p.Session.UseIPv6 = true }
func onlyV6(p *policy.Queue) { p.Session.UseIPv4, p.Session.UseIPv6 = false, true }
func none(p *policy.Queue)   { p.Session.UseIPv4 = false }
func gateway(g string) func(*policy.Queue) {
	return func(p *policy.Queue) { p.Session.Gateway = g }
}

func TestResolve(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	for _, c := range []struct {
		domain string
		change func(*policy.Queue)
		want   string // exactly, or when it ends in "...", the beginning
	}{
		{"one.test", nil, "a.one.test/10 192.0.2.1, b.one.test/20 192.0.2.2"},
		{"one.test", func(p *policy.Queue) { p.MaxMXHosts = 1 }, "a.one.test/10 192.0.2.1"},
		{"one.test", func(p *policy.Queue) { p.Session.Port = 2526 }, "a.one.test/10 192.0.2.1 port 2526, b.one.test/20 192.0.2.2 port 2526"},
		{"implicit.test", nil, "implicit.test/0 192.0.2.3"},
		{"null.test", nil, "refused 5.1.10 domain null.test accepts no mail (null MX)"},
		{"nullplus.test", nil, "a.one.test/10 192.0.2.1"},
		{"nowhere.test", nil, "refused 5.1.2 domain nowhere.test does not exist"},
		{"empty.test", nil, "refused 5.1.2 domain empty.test has neither MX records nor an address"},
		{"gone.test", nil, "refused 5.4.4 none of the MX hosts of gone.test has an address: nowhere.test, empty.test"},
		{"literalmx.test", nil, "refused 5.4.4 ..."},
		{"badname.test", nil, "refused 5.4.4 ..."},
		{"cnamemx.test", nil, "alias.test/10 192.0.2.1"},
		{"aliasdomain.test", nil, "a.one.test/10 192.0.2.1, b.one.test/20 192.0.2.2"},
		{"loop.test", nil, "deferred 4.4.3 ..."},
		{"dangling.test", nil, "refused 5.1.2 ..."},
		{"x.many.test", nil, "mx.many.test/10 192.0.2.30"},
		{"x.y.many.test", nil, "mx.many.test/10 192.0.2.30"},
		{"many.test", nil, "refused 5.1.2 domain many.test has neither MX records nor an address"},
		{"below.mx.many.test", nil, "refused 5.1.2 domain below.mx.many.test does not exist"},

		{"dual.test", nil, "mx.dual.test/10 192.0.2.41 192.0.2.42"},
		{"dual.test", v6, "mx.dual.test/10 2001:db8::41 192.0.2.41"},
		{"dual.test", func(p *policy.Queue) { v6(p); p.MaxAddressesPerHost = 9 }, "mx.dual.test/10 2001:db8::41 192.0.2.41 2001:db8::42 192.0.2.42 192.0.2.43"},
		{"dual.test", onlyV6, "mx.dual.test/10 2001:db8::41 2001:db8::42"},
		{"six.test", nil, "deferred 4.4.4 mx.six.test is reached by IPv6 only (2001:db8::6), which binding b cannot use: set use_ipv6 or bind_address_secondary"},
		{"one.test", onlyV6, "deferred 4.4.4 a.one.test is reached by IPv4 only (192.0.2.1), which binding b cannot use: give it an IPv4 bind_address"},
		{"one.test", none, "local trouble 4.3.5 ..."},
		{"mapped.test", v6, "refused 5.4.4 ..."},

		{"inside.test", nil, "refused 5.4.6 host lo.inside.test of inside.test has the address 127.0.0.1, to which no mail is sent; if it is meant, set prohibited_hosts without it"},
		{"inside.test", func(p *policy.Queue) { p.Session.Prohibited = nil }, "lo.inside.test/10 127.0.0.1"},
		{"mixed.test", nil, "a.one.test/20 192.0.2.1"},
		{"half.test", nil, "mx.half.test/10 192.0.2.50"},
		{"cast.test", func(p *policy.Queue) { p.Session.Prohibited = nil }, "refused 5.4.6 ..."},
		{"skip.test", nil, "refused 5.4.4 every host of skip.test is in skip_hosts (mx.skip.test is 198.51.100.1)"},
		{"skipmixed.test", nil, "a.one.test/20 192.0.2.1"},

		{"own.test", nil, "refused 5.4.6 mail for own.test would come back to this server: host us.test, port 25, is where it listens; route the domain elsewhere with gateway, or correct its MX records"},
		{"own.test", func(p *policy.Queue) { p.Session.Port = 2526 }, "us.test/10 192.0.2.100 port 2526, a.one.test/20 192.0.2.1 port 2526"},
		{"ownworse.test", nil, "a.one.test/10 192.0.2.1"},

		{"[192.0.2.9]", nil, "[192.0.2.9]/0 192.0.2.9"},
		{"[127.0.0.1]", nil, "refused 5.4.6 ..."},
		{"[192.0.2.100]", nil, "refused 5.4.6 mail for [192.0.2.100] would come back ..."},
		{"[ipv6:2001:db8::1]", nil, "deferred 4.4.4 ..."},
		{"[ipv6:2001:db8::1]", v6, "[ipv6:2001:db8::1]/0 2001:db8::1"},

		{"one.test", gateway("a.one.test"), "a.one.test/0 192.0.2.1"},
		{"one.test", gateway("B.One.Test:2526"), "b.one.test/0 192.0.2.2 port 2526"},
		{"one.test", gateway("127.0.0.1:2526"), "127.0.0.1/0 127.0.0.1 port 2526"},
		{"one.test", gateway("[2001:db8::9]:587"), "local trouble 4.4.4 ..."},
		{"one.test", func(p *policy.Queue) { v6(p); p.Session.Gateway = "[2001:db8::9]:587" }, "2001:db8::9/0 2001:db8::9 port 587"},
		{"one.test", gateway("nowhere.test"), "local trouble 4.4.4 gateway nowhere.test has no address that binding b can use"},
		{"one.test", gateway("us.test"), "local trouble 4.3.5 ..."},
		{"one.test", gateway("a.one.test:99999"), "local trouble 4.3.5 ..."},
		{"one.test", gateway("smtps://a.one.test"), "a.one.test/0 192.0.2.1 port 465"},
		{"one.test", gateway("LMTP://a.one.test:2424"), "a.one.test/0 192.0.2.1 port 2424"},
		{"one.test", gateway("http://a.one.test"), "local trouble 4.3.5 ..."},
		{"null.test", gateway("a.one.test"), "a.one.test/0 192.0.2.1"},
	} {
		change := c.change
		if change == nil {
			change = func(*policy.Queue) {}
		}
		got := show(r.Resolve(context.Background(), ask(c.domain, change)))
		want, open := strings.CutSuffix(c.want, "...")
		if got != want && (!open || !strings.HasPrefix(got, want)) {
			t.Errorf("%s:\n got %s\nwant %s", c.domain, got, c.want)
		}
	}
}

func TestResolveNamesAndTimes(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	got := r.Resolve(context.Background(), ask("one.test"))
	if got.Binding != "b" || got.Domain != "one.test" {
		t.Errorf("answered about %q %q", got.Binding, got.Domain)
	}
	if want := int64(1000 + 100e9); got.Until != want {
		t.Errorf("Until = %d, want %d: the smallest TTL on the way", got.Until, want)
	}
	if p := got.Hosts[0].Policy; p == nil || p.Limits[0].Option != "a.one.test" || p.Limits[0].Max != 1 {
		t.Errorf("host policy %+v", p)
	}
}

// Hosts of equal preference come first in every order, never behind a worse one, and the
// order is that of the seed.
func TestEqualPreferences(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	r.Seed(rand.NewPCG(1, 2))
	firsts := map[string]int{}
	var history []string
	for range 60 {
		got := r.Resolve(context.Background(), ask("equal.test"))
		if n := len(got.Hosts); n != 4 || got.Hosts[3].Name != "e4.test" {
			t.Fatalf("%s", show(got))
		}
		firsts[got.Hosts[0].Name]++
		history = append(history, show(got))
	}
	for _, h := range []string{"e1.test", "e2.test", "e3.test"} {
		if firsts[h] < 5 {
			t.Errorf("%s came first %d times of 60", h, firsts[h])
		}
	}
	again := router(dnstest.Resolver(t, world))
	again.Seed(rand.NewPCG(1, 2))
	for i, want := range history {
		if got := show(again.Resolve(context.Background(), ask("equal.test"))); got != want {
			t.Fatalf("order %d differs with the same seed: %s, %s", i, got, want)
		}
	}
}

func TestRequiredTLS(t *testing.T) {
	for _, c := range []struct {
		mode   policy.TLSMode
		verify policy.TLSVerify
		want   sched.TLS
	}{
		{policy.TLSIfAvailable, policy.VerifyNo, sched.TLSIfAvailable},
		{policy.TLSNo, policy.VerifyHost, sched.TLSNo},
		{policy.TLSRequired, policy.VerifyNo, sched.TLSRequired},
		{policy.TLSRequired, policy.VerifyCA, sched.TLSVerifyCA},
		{policy.TLSRequired, policy.VerifyHost, sched.TLSVerifyHost},
		{policy.TLSIfAvailable, policy.VerifyCA, sched.TLSVerifyCA},
	} {
		if got := dns.RequiredTLS(&policy.Session{TLS: c.mode, TLSVerify: c.verify}); got != c.want {
			t.Errorf("tls %v, tls_verify %v: %d, want %d", c.mode, c.verify, got, c.want)
		}
	}
}

func TestListeners(t *testing.T) {
	own := dns.Listeners([]string{"0.0.0.0:25", "192.0.2.1:2525", ":587", "unix:/x", "nonsense"})
	for addr, want := range map[string]bool{
		"127.0.0.1:25": true, "127.0.0.2:25": true, "192.0.2.1:25": false, "192.0.2.1:2525": true,
		"192.0.2.2:2525": false, "[::1]:587": true, "[::ffff:192.0.2.1]:2525": true, "127.0.0.1:26": false,
	} {
		if got := own(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
}

func TestList(t *testing.T) {
	r := dnstest.Resolver(t, world)
	l := r.List(context.Background(), "one.test")
	if len(l.Hosts) != 2 || l.Hosts[0].Host != "a.one.test" || l.Hosts[0].Seconds != 300 || l.Hosts[0].Addresses[0].String() != "192.0.2.1" {
		t.Errorf("%+v", l)
	}
	if h := l.Hosts[0]; l.Source != dns.FromZone || l.Seconds != 300 || h.AddressSeconds != 200 || len(h.Lookups) != 2 || h.Lookups[0].Source != dns.FromZone {
		t.Errorf("%+v", l)
	}
	if l := r.List(context.Background(), "implicit.test"); !l.Implicit || len(l.Hosts) != 1 {
		t.Errorf("%+v", l)
	}
	if l := r.List(context.Background(), "null.test"); !l.Null {
		t.Errorf("%+v", l)
	}
	if l := r.List(context.Background(), "nowhere.test"); l.Problem == "" {
		t.Errorf("%+v", l)
	}
}

// A server behind NAT knows itself by name; its listeners' port counts.
func TestOwnHostByName(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	r.OwnHost = func(host string, port uint16) bool { return host == "b.one.test" && port == 25 }
	if got := show(r.Resolve(context.Background(), ask("one.test"))); got != "a.one.test/10 192.0.2.1" {
		t.Error(got)
	}
	if got := show(r.Resolve(context.Background(), ask("one.test", func(p *policy.Queue) { p.Session.Port = 26 }))); !strings.Contains(got, "b.one.test") {
		t.Error(got)
	}
}

func BenchmarkResolve(b *testing.B) {
	for name, r := range map[string]*dns.Resolver{
		"zone":  dnstest.Resolver(b, world),
		"cache": cached(b),
	} {
		b.Run(name, func(b *testing.B) {
			route := router(r)
			q := ask("one.test")
			b.ReportAllocs()
			for b.Loop() {
				if got := route.Resolve(context.Background(), q); got.Class != mail.ClassDelivered {
					b.Fatal(show(got))
				}
			}
		})
	}
}

func cached(b *testing.B) *dns.Resolver {
	r, err := dns.New(dns.Config{Servers: []string{dnstest.Serve(b, world).Addr}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	return r
}
