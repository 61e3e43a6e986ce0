package dns_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

func routes(list ...string) func(*policy.Queue) {
	return func(p *policy.Queue) {
		for _, s := range list {
			r, err := policy.ParseRoute(s)
			if err != nil {
				panic(err)
			}
			p.Session.Routes = append(p.Session.Routes, r)
		}
	}
}

// Routes take the place of MX records, and are the operator's own hosts.
func TestRoutes(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	for _, c := range []struct {
		change func(*policy.Queue)
		want   string
	}{
		{routes("10 a.one.test:2526", "20 b.one.test"), "a.one.test/10 192.0.2.1 port 2526, b.one.test/20 192.0.2.2"},
		{routes("127.0.0.1:2526"), "127.0.0.1/0 127.0.0.1 port 2526"},
		{routes("10 nowhere.test", "20 a.one.test"), "a.one.test/20 192.0.2.1"},
		{routes("10 [2001:db8::9]:26", "20 a.one.test"), "a.one.test/20 192.0.2.1"},
		{routes("nowhere.test"), "local trouble 4.4.4 no host of routes has an address that binding b can use"},
		{routes("us.test"), "local trouble 4.4.4 route us.test is this server itself, on port 25"},
		{func(p *policy.Queue) { routes("10 a.one.test", "20 b.one.test")(p); p.MaxMXHosts = 1 }, "a.one.test/10 192.0.2.1"},
	} {
		p := ask("").Policy
		c.change(p)
		got := r.Resolve(context.Background(), sched.Resolve{Binding: "b", Domain: "nowhere.test", Policy: p})
		if s := show(got); s != c.want || len(got.MX) != 0 || got.Best != 0 {
			t.Errorf("got  %s (%v)\nwant %s", s, got.MX, c.want)
		}
	}
}

// Roll is asked with the best hosts of a domain that goes by MX, before their addresses
// are: what it says holds for the answer.
func TestRoll(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	var asked []string
	under := ask("").Policy
	under.Session.Port, under.MaxMXHosts = 2526, 1
	through := ask("").Policy
	through.Session.Gateway = "b.one.test"
	r.Roll = func(_ context.Context, q sched.Resolve, best []string) (dns.Rolled, error) {
		asked = append(asked, q.Domain+" "+strings.Join(best, "+"))
		switch q.Domain {
		case "one.test":
			return dns.Rolled{Routing: "big.rollup", Policy: under, Generation: 7, TTL: time.Second}, nil
		case "implicit.test":
			return dns.Rolled{Routing: "b.one.test", Policy: through}, nil
		case "aliasdomain.test":
			return dns.Rolled{}, errors.New("nobody knows")
		}
		return dns.Rolled{}, nil
	}
	resolve := func(domain string) sched.Resolved {
		return r.Resolve(context.Background(), sched.Resolve{Binding: "b", Domain: domain, Policy: ask("").Policy})
	}
	got := resolve("one.test")
	if s := show(got); s != "a.one.test/10 192.0.2.1 port 2526" || got.Routing != "big.rollup" || got.Policy != under || got.Generation != 7 ||
		strings.Join(got.MX, " ") != "a.one.test b.one.test" || got.Best != 1 || got.Until > r.Now()+int64(time.Second) {
		t.Errorf("rolled up: %s %+v", s, got)
	}
	if got := resolve("implicit.test"); show(got) != "b.one.test/0 192.0.2.2" || got.Routing != "b.one.test" {
		t.Errorf("a rollup's gateway: %s %+v", show(got), got)
	}
	if got := resolve("aliasdomain.test"); show(got) != "local trouble 4.4.3 nobody knows" {
		t.Errorf("not known: %s", show(got))
	}
	for _, d := range []string{"null.test", "nowhere.test", "[192.0.2.9]", "x.many.test"} {
		resolve(d)
	}
	if s := strings.Join(asked, ", "); s != "one.test a.one.test, implicit.test implicit.test, aliasdomain.test a.one.test, x.many.test mx.many.test" {
		t.Errorf("asked for %s", s)
	}
}

func TestBestHosts(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	for domain, want := range map[string]string{
		"one.test": "a.one.test", "implicit.test": "implicit.test", "null.test": "", "nowhere.test": "", "nullplus.test": "a.one.test",
	} {
		if got, _, err := r.BestHosts(context.Background(), domain); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v, want %s", domain, got, err, want)
		}
	}
	if _, _, err := r.BestHosts(context.Background(), "loop.test"); err == nil {
		t.Error("a domain that nobody can tell of has hosts")
	}
}
