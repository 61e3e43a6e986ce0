package dns_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

const signedWorld = `
one.test. MX 10 a.one.test.
one.test. MX 20 b.one.test.
a.one.test. A 192.0.2.1
b.one.test. CNAME b.far.example.
b.far.example. A 192.0.2.2
alias.test. CNAME one.test.
text.test. TXT "v=STSv1; " "id=1;"
text.test. TXT "a \"quote\" \\ \003"
_25._tcp.a.one.test. TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
_25._tcp.short.test. TLSA 3 1 1 0a0b0c
`

// TestRecords: TXT, TLSA and CNAME answers, over the network.
func TestRecords(t *testing.T) {
	s := dnstest.Serve(t, signedWorld)
	r, err := dns.New(dns.Config{Servers: []string{s.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	look := func(name string, typ dns.Type) dns.Answer {
		t.Helper()
		a, err := r.Lookup(context.Background(), name, typ)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := look("text.test", dns.TypeTXT); !slices.Equal(a.Text, []string{"v=STSv1; id=1;", "a \"quote\" \\ \x03"}) {
		t.Errorf("TXT %q", a.Text)
	}
	if a := look("_25._tcp.a.one.test", dns.TypeTLSA); len(a.TLSA) != 1 || a.TLSA[0].Usage != 3 || a.TLSA[0].Selector != 1 || a.TLSA[0].Matching != 1 || len(a.TLSA[0].Data) != 32 {
		t.Errorf("TLSA %v", a.TLSA)
	}
	if a := look("_25._tcp.short.test", dns.TypeTLSA); len(a.TLSA) != 1 || len(a.TLSA[0].Data) != 3 {
		t.Errorf("a short TLSA record is to be seen: %v", a.TLSA)
	}
	if a := look("_25._tcp.b.one.test", dns.TypeTLSA); a.Status != dns.NoDomain {
		t.Errorf("no TLSA: %+v", a)
	}
	if a := look("b.one.test", dns.TypeCNAME); a.Alias != "b.far.example" || a.Status != dns.Found {
		t.Errorf("CNAME %+v", a)
	}
	if a := look("a.one.test", dns.TypeCNAME); a.Alias != "" || a.Status != dns.NoData {
		t.Errorf("no CNAME %+v", a)
	}
	if a := look("alias.test", dns.TypeMX); a.Alias != "one.test" || len(a.MX) != 2 {
		t.Errorf("MX of an alias: %+v", a)
	}
	if a := look("one.test", dns.TypeMX); a.Alias != "" {
		t.Errorf("MX: %+v", a)
	}
}

// TestAuthentic: the AD bit is believed of a resolver that is trusted, for answers all of
// which are validated, and of no other.
func TestAuthentic(t *testing.T) {
	s := dnstest.Serve(t, signedWorld)
	s.Sign("test")
	for _, trust := range []bool{true, false} {
		r, err := dns.New(dns.Config{Servers: []string{s.Addr}, TrustAD: trust})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			name string
			typ  dns.Type
			want bool
		}{
			{"one.test", dns.TypeMX, true},
			{"a.one.test", dns.TypeA, true},
			{"a.one.test", dns.TypeAAAA, true}, // that there is none is validated, too
			{"b.one.test", dns.TypeA, false},   // through an alias to a zone that is not signed
			{"b.one.test", dns.TypeCNAME, true},
			{"b.far.example", dns.TypeA, false},
		} {
			for range 2 { // from the network, and from the cache
				a, err := r.Lookup(context.Background(), x.name, x.typ)
				if err != nil || a.Authentic != (x.want && trust) {
					t.Errorf("trusted %v: %s of %s: %v, %v", trust, x.typ, x.name, a.Authentic, err)
				}
			}
		}
		r.Close()
	}
	s.Fault("b.one.test", dnstest.AliasOnly) // the chain is followed by a question of our own
	r, err := dns.New(dns.Config{Servers: []string{s.Addr}, TrustAD: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if a, err := r.Lookup(context.Background(), "b.one.test", dns.TypeA); err != nil || a.Authentic || a.Alias != "b.far.example" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestNoStaleTLSA: records are never used beyond their time.
func TestNoStaleTLSA(t *testing.T) {
	var mu sync.Mutex
	now := int64(1e18)
	clock := func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	s := dnstest.Serve(t, "$TTL 60\n"+signedWorld)
	r, err := dns.New(dns.Config{Servers: []string{s.Addr}, Now: clock, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	names := map[dns.Type]string{dns.TypeTLSA: "_25._tcp.a.one.test", dns.TypeMX: "one.test"}
	for typ, name := range names {
		if _, err := r.Lookup(context.Background(), name, typ); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	now += int64(2 * time.Minute)
	mu.Unlock()
	s.Fault("", dnstest.ServFail)
	if a, err := r.Lookup(context.Background(), names[dns.TypeMX], dns.TypeMX); err != nil || !a.Stale {
		t.Errorf("MX: %+v, %v", a, err)
	}
	if a, err := r.Lookup(context.Background(), names[dns.TypeTLSA], dns.TypeTLSA); err == nil {
		t.Errorf("TLSA: %+v", a)
	}
}

// TestSecureHosts: what is decided about each host becomes the route; hosts that no mail
// may go to are passed over for others, and mail waits when there is no other.
func TestSecureHosts(t *testing.T) {
	s := dnstest.Serve(t, signedWorld)
	s.Sign("test")
	res, err := dns.New(dns.Config{Servers: []string{s.Addr}, TrustAD: true})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	r := router(res)
	var mu sync.Mutex
	asked := map[string]dns.HostQuestion{}
	withhold := map[string]bool{}
	secure := func(_ context.Context, q dns.HostQuestion) dns.HostTLS {
		mu.Lock()
		defer mu.Unlock()
		asked[q.Host] = q
		if withhold[q.Host] {
			return dns.HostTLS{Withheld: mail.Reply{Enhanced: "4.7.5", Text: "not to " + q.Host}, Barred: true}
		}
		return dns.HostTLS{TLS: sched.TLSVerifyHost, Why: "because", TTL: 10 * time.Second}
	}
	got := r.ResolveSecure(context.Background(), ask("alias.test"), secure)
	if len(got.Hosts) != 2 || got.Hosts[0].TLS != sched.TLSVerifyHost || got.Hosts[0].TLSWhy != "because" || got.Until != 1000+int64(10*time.Second) || got.Barred != nil {
		t.Errorf("got %+v", got)
	}
	if q := asked["a.one.test"]; !q.ByMX || !q.Signed || q.Alias != "one.test" || !q.HostSigned || q.HostAlias != "" || q.Port != 25 || q.Domain != "alias.test" {
		t.Errorf("asked %+v", q)
	}
	if q := asked["b.one.test"]; q.HostSigned || q.HostAlias != "b.far.example" {
		t.Errorf("asked %+v", q)
	}
	withhold["a.one.test"] = true
	got = r.ResolveSecure(context.Background(), ask("one.test"), secure)
	if len(got.Hosts) != 1 || got.Hosts[0].Name != "b.one.test" || !slices.Equal(got.Barred, []string{"a.one.test"}) || !slices.Equal(got.MX, []string{"a.one.test", "b.one.test"}) || got.Best != 1 {
		t.Errorf("one is withheld: %+v", got)
	}
	withhold["b.one.test"] = true
	got = r.ResolveSecure(context.Background(), ask("one.test"), secure)
	if got.Class != mail.ClassDeferred || got.Reply.Enhanced != "4.7.5" || !strings.HasPrefix(got.Reply.Text, "not to ") || len(got.Hosts) != 0 {
		t.Errorf("all are withheld: %+v", got)
	}
	for name, change := range map[string]func(*policy.Queue){
		"gateway": func(p *policy.Queue) { p.Session.Gateway = "a.one.test" },
		"routes":  func(p *policy.Queue) { p.Session.Routes = []policy.Route{{Host: "a.one.test"}} },
	} {
		got = r.ResolveSecure(context.Background(), ask("one.test", change), secure)
		if got.Class != mail.ClassDeferred || got.Reply.Text != "not to a.one.test" || asked["a.one.test"].ByMX || !asked["a.one.test"].Signed {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
