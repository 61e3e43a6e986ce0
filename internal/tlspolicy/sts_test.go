package tlspolicy

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

const announced = signedZone + `_mta-sts.one.test. 60 TXT "v=STSv1; id=1;"` + "\n"

var enforce = text("version: STSv1", "mode: enforce", "mx: mx.one.test", "max_age: 86400")

// TestPolicyServers: what each answer of a policy server leads to, for a domain of which
// nothing is known.
func TestPolicyServers(t *testing.T) {
	tests := []struct {
		name    string
		serve   http.HandlerFunc
		tls     sched.TLS
		trouble string // in the report; empty: none
		failure Result
	}{
		{"enforce", enforce, sched.TLSVerifyHost, "", ""},
		{"testing", text("version: STSv1", "mode: testing", "mx: mx.one.test", "max_age: 86400"), sched.TLSIfAvailable, "", ""},
		{"none", text("version: STSv1", "mode: none", "max_age: 86400"), sched.TLSIfAvailable, "", ""},
		{"no policy", text("hello"), sched.TLSIfAvailable, `the policy of one.test: line "hello" has no colon`, ResultSTSInvalid},
		{"not found", http.NotFound, sched.TLSIfAvailable, "status 404, and only 200 will do", ResultSTSFetch},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/.well-known/mta-sts.txt", http.StatusMovedPermanently)
		}, sched.TLSIfAvailable, "status 301, and only 200 will do", ResultSTSFetch},
		{"HTML", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("version: STSv1\nmode: enforce\nmx: mx.one.test\nmax_age: 86400\n"))
		}, sched.TLSIfAvailable, `it is "text/html", not text/plain`, ResultSTSFetch},
		{"too large", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			line := []byte(strings.Repeat("x", 1023) + "\n")
			for range 1 << 12 {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, sched.TLSIfAvailable, "longer than 65536 octets", ResultSTSFetch},
		{"a large header", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 64<<10))
			enforce(w, r)
		}, sched.TLSIfAvailable, "server response headers exceeded 16384 bytes", ResultSTSFetch},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			enforce(w, r)
		}, sched.TLSIfAvailable, "unexpected EOF", ResultSTSFetch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, announced)
			w.answer(tt.serve)
			got := w.host("mx.one.test")
			if got.TLS != tt.tls || !got.Withheld.IsZero() {
				t.Errorf("got %+v", got)
			}
			a := w.applied("mx.one.test")
			if a.Failure != tt.failure || !strings.Contains(a.Reason, tt.trouble) {
				t.Errorf("applied %+v", a)
			}
			if w.fetched() != 1 {
				t.Errorf("%d fetches", w.fetched())
			}
			if len(w.dialled) != 1 || w.dialled[0] != "192.0.2.80:443" {
				t.Errorf("dialled %q", w.dialled)
			}
			again := w.host("mx.one.test") // at once: from the cache, or not tried again
			if again.TLS != tt.tls || w.fetched() != 1 {
				t.Errorf("again: %+v after %d fetches", again, w.fetched())
			}
		})
	}
}

// TestSlowPolicyServer: a policy that does not come in mta_sts_timeout is none; mail that waits
// for it goes then.
func TestSlowPolicyServer(t *testing.T) {
	w := newWorld(t, announced)
	end := make(chan struct{})
	w.answer(func(http.ResponseWriter, *http.Request) { <-end })
	w.session.MTASTSTimeout = 50 * time.Millisecond
	got := w.host("mx.one.test")
	if got.TLS != sched.TLSIfAvailable || w.applied("mx.one.test").Failure != ResultSTSFetch || !strings.HasSuffix(w.applied("mx.one.test").Reason, "no answer in time") {
		t.Errorf("got %+v, applied %+v", got, w.applied("mx.one.test"))
	}
	close(end)
}

// TestPolicyCertificates: the policy host has to show a certificate for its name.
func TestPolicyCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		life   time.Duration
		names  []string
		reason string
	}{
		"wrong name": {time.Hour, []string{"one.test"}, "certificate is valid for one.test, not mta-sts.one.test"},
		"expired":    {-time.Minute, []string{"mta-sts.one.test"}, "certificate has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, announced)
			cert, roots := certificate(t, c.life, c.names...)
			w.policies.TLS.Certificates[0] = cert
			w.open(roots)
			w.answer(enforce)
			if got := w.host("mx.one.test"); got.TLS != sched.TLSIfAvailable || !strings.Contains(w.applied("mx.one.test").Reason, c.reason) {
				t.Errorf("got %+v, applied %+v", got, w.applied("mx.one.test"))
			}
		})
	}
	t.Run("not trusted", func(t *testing.T) {
		w := newWorld(t, announced)
		_, roots := certificate(t, time.Hour, "mta-sts.one.test")
		w.open(roots)
		w.answer(enforce)
		if got := w.host("mx.one.test"); got.TLS != sched.TLSIfAvailable || !strings.Contains(w.applied("mx.one.test").Reason, "unknown authority") {
			t.Errorf("got %+v, applied %+v", got, w.applied("mx.one.test"))
		}
	})
}

// TestPolicyHostAddresses: a policy host cannot lead us to where mail may not go either.
func TestPolicyHostAddresses(t *testing.T) {
	w := newWorld(t, strings.Replace(announced, "192.0.2.80", "127.0.0.1", 1))
	w.session.Prohibited = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	w.answer(enforce)
	w.host("mx.one.test")
	if len(w.dialled) != 0 || !strings.Contains(w.applied("mx.one.test").Reason, "no address but such as are in prohibited_hosts") {
		t.Errorf("dialled %q, applied %+v", w.dialled, w.applied("mx.one.test"))
	}
}

func TestEnforcedHosts(t *testing.T) {
	w := newWorld(t, announced)
	w.answer(enforce)
	got := w.host("mx2.one.test")
	want := "MTA-STS: the policy of one.test (enforce, id 1, until 2026-11-23T12:00:00Z) does not have the MX host mx2.one.test, so no mail may go there"
	if !got.Barred || got.Withheld.Text != want || got.Withheld.Enhanced != "4.7.5" {
		t.Errorf("got %+v", got)
	}
	if a := w.applied("mx2.one.test"); a.Type != PolicySTS || a.Failure != ResultValidation {
		t.Errorf("applied %+v", a)
	}
	w.answer(text("version: STSv1", "mode: testing", "mx: mx.one.test", "max_age: 86400"))
	w.pass(48 * time.Hour)
	if got := w.host("mx2.one.test"); got.Barred || got.TLS != sched.TLSIfAvailable ||
		got.Why != "MTA-STS: one.test tests a policy, id 1, that does not have this host" {
		t.Errorf("got %+v", got)
	}
}

// TestPolicyLife: a policy is kept over a restart and while it cannot be fetched anew,
// until it ends.
func TestPolicyLife(t *testing.T) {
	w := newWorld(t, announced)
	w.answer(enforce)
	enforced := func(when string, want sched.TLS, fetches int) {
		t.Helper()
		if got := w.host("mx.one.test"); got.TLS != want || w.fetched() != fetches {
			t.Errorf("%s: %s after %d fetches", when, got.TLS, w.fetched())
		}
	}
	enforced("first", sched.TLSVerifyHost, 1)
	w.open(nil) // does not trust the policy server any more
	enforced("after a restart", sched.TLSVerifyHost, 1)
	w.pass(2 * time.Minute)
	w.dns.Fault("_mta-sts.one.test", dnstest.ServFail)
	enforced("without the DNS", sched.TLSVerifyHost, 1)
	w.pass(12 * time.Hour)
	w.engine.sts.sweep(context.Background(), time.Second, nil)
	enforced("the record cannot be had, so the policy is not fetched anew", sched.TLSVerifyHost, 1)
	w.dns.Fault("_mta-sts.one.test", dnstest.None)
	w.pass(time.Minute)
	w.engine.sts.sweep(context.Background(), time.Second, nil)
	enforced("it cannot be fetched anew", sched.TLSVerifyHost, 1)
	w.pass(11*time.Hour + 58*time.Minute)
	w.engine.sts.sweep(context.Background(), time.Second, nil)
	enforced("it has ended", sched.TLSIfAvailable, 1)
	if n := len(w.store.Keys("")); n != 0 {
		t.Errorf("%d facts are kept of a policy that has ended", n)
	}
}

// TestPolicyRenewal: a policy in use is fetched anew before it ends, one that nobody asks
// for is not; a new id has it fetched at once.
func TestPolicyRenewal(t *testing.T) {
	w := newWorld(t, announced)
	w.answer(enforce)
	w.host("mx.one.test")
	w.pass(13 * time.Hour)
	w.engine.sts.sweep(context.Background(), time.Second, nil)
	if w.fetched() != 2 {
		t.Fatalf("%d fetches", w.fetched())
	}
	w.pass(13 * time.Hour)
	w.engine.sts.sweep(context.Background(), time.Second, nil)
	if w.fetched() != 2 {
		t.Errorf("fetched though nobody has asked since")
	}
	if got := w.host("mx.one.test"); got.TLS != sched.TLSVerifyHost || w.fetched() != 2 {
		t.Errorf("got %+v after %d fetches", got, w.fetched())
	}

	w.answer(text("version: STSv1", "mode: none", "max_age: 86400"))
	other := dnstest.Serve(t, strings.Replace(announced, "id=1", "id=2", 1))
	w.redirect(other.Addr)
	if got := w.host("mx.one.test"); got.TLS != sched.TLSIfAvailable || w.fetched() != 3 {
		t.Errorf("a new id: %+v after %d fetches", got, w.fetched())
	}
}

// TestManyWaiters: those who ask at the same time share a fetch.
func TestManyWaiters(t *testing.T) {
	w := newWorld(t, announced)
	begun := make(chan struct{}, 100)
	end := make(chan struct{})
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-end
		enforce(rw, r)
	})
	results := make(chan sched.TLS)
	for range 20 {
		go func() { results <- w.host("mx.one.test").TLS }()
	}
	<-begun
	close(end)
	for range 20 {
		if got := <-results; got != sched.TLSVerifyHost {
			t.Error(got)
		}
	}
	if w.fetched() != 1 {
		t.Errorf("%d fetches", w.fetched())
	}
}

// TestNotAsked: where MTA-STS has no say, nothing is looked up.
func TestNotAsked(t *testing.T) {
	for name, change := range map[string]func(*policy.Session){
		"off":     func(s *policy.Session) { s.UseMTASTS = false },
		"no TLS":  func(s *policy.Session) { s.TLS = policy.TLSNo },
		"gateway": func(s *policy.Session) { s.Gateway = "relay.test" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, announced)
			w.answer(enforce)
			change(w.session)
			got := w.host("mx.one.test")
			if got.Barred || got.Why != "" || w.fetched() != 0 || w.dns.Queries("_mta-sts.one.test", 16) != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestRoomForPolicies: the policy unused for longest makes room.
func TestRoomForPolicies(t *testing.T) {
	w := newWorld(t, announced)
	c := w.engine.sts
	long := "version: STSv1\nmode: enforce\n" + strings.Repeat("mx: "+strings.Repeat("a", 60)+"."+strings.Repeat("b", 60)+".test\n", maxMX) + "max_age: 86400\n"
	n := 0
	for ; ; n++ {
		w.pass(time.Second)
		c.land("d"+strings.Repeat("x", n%50)+"-"+time.Duration(n).String()+".test", "1", long, nil)
		if len(c.policies) < n+1 {
			break
		}
	}
	if c.size > maxPolicies || len(w.store.Keys(stsKey)) != len(c.policies) || c.policies["d-0s.test"] != nil {
		t.Errorf("%d octets in %d policies of %d, %d kept", c.size, len(c.policies), n+1, len(w.store.Keys(stsKey)))
	}
}
