package tlspolicy

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

var (
	sum256 = strings.Repeat("ab", 32)
	sum512 = strings.Repeat("cd", 64)
)

// TestDANE: what TLSA records, or the lack of them, lead to.
func TestDANE(t *testing.T) {
	const name = "_25._tcp.mx.one.test. 60 TLSA "
	tests := []struct {
		name     string
		zone     string
		fault    dnstest.Fault // of the name of the records
		change   func(*dns.HostQuestion)
		want     sched.TLS
		why      string
		withheld bool
		failure  Result
	}{
		{"good", name + "3 1 1 " + sum256, 0, nil, sched.TLSDANE, "DANE: 1 TLSA record of mx.one.test", false, ""},
		{"several", name + "3 1 1 " + sum256 + "\n" + name + "2 0 2 " + sum512, 0, nil, sched.TLSDANE, "DANE: 2 TLSA records of mx.one.test", false, ""},
		{"one of them of no use", name + "3 1 1 " + sum256 + "\n" + name + "1 1 1 " + sum256, 0, nil, sched.TLSDANE, "DANE: 1 TLSA record of mx.one.test", false, ""},
		{"none", "", 0, nil, sched.TLSIfAvailable, "", false, ""},
		{"of no use: usage 1", name + "1 1 1 " + sum256, 0, nil, sched.TLSRequired, "DANE: none of the TLSA records of mx.one.test can be used", false, ResultTLSAInvalid},
		{"of no use: a short digest", name + "3 1 1 abcdef", 0, nil, sched.TLSRequired, "DANE: none of the TLSA records of mx.one.test can be used", false, ResultTLSAInvalid},
		{"SERVFAIL, as a bogus answer is", name + "3 1 1 " + sum256, dnstest.ServFail, nil, 0, "", true, ResultDNSSECInvalid},
		{"silence", name + "3 1 1 " + sum256, dnstest.Refused, nil, 0, "", true, ResultDNSSECInvalid},
		{"MX records not signed", name + "3 1 1 " + sum256, 0, func(q *dns.HostQuestion) { q.Signed = false }, sched.TLSIfAvailable, "", false, ""},
		{"addresses not signed", name + "3 1 1 " + sum256, dnstest.ServFail, func(q *dns.HostQuestion) { q.HostSigned = false }, sched.TLSIfAvailable, "", false, ""},
		{"another port", name + "3 1 1 " + sum256, 0, func(q *dns.HostQuestion) { q.Port = 26 }, sched.TLSIfAvailable, "", false, ""},
		{"switched off", name + "3 1 1 " + sum256, dnstest.ServFail, func(q *dns.HostQuestion) { q.Session.UseDANE = false }, sched.TLSIfAvailable, "", false, ""},
		{"no TLS at all", name + "3 1 1 " + sum256, dnstest.ServFail, func(q *dns.HostQuestion) { q.Session.TLS = policy.TLSNo }, sched.TLSNo, "", false, ""},
		{"the operator verifies", name + "3 1 1 " + sum256, 0, func(q *dns.HostQuestion) { q.Session.TLSVerify = policy.VerifyHost }, sched.TLSVerifyHost, "", false, ""},
		{"an address", name + "3 1 1 " + sum256, 0, func(q *dns.HostQuestion) { q.Host = "192.0.2.1" }, sched.TLSIfAvailable, "", false, ""},
		{"an alias, signed: the expanded name first", "_25._tcp.real.test. TLSA 3 1 1 " + sum256 + "\n" + name + "2 1 1 " + sum256, 0, func(q *dns.HostQuestion) { q.HostAlias = "real.test" }, sched.TLSDANE, "DANE: 1 TLSA record of real.test", false, ""},
		{"an alias, signed: then its own", name + "3 1 1 " + sum256, 0, func(q *dns.HostQuestion) { q.HostAlias = "real.test" }, sched.TLSDANE, "DANE: 1 TLSA record of mx.one.test", false, ""},
		{"an alias out of the signed zone", "alias.one.test. CNAME far.example.\n_25._tcp.alias.one.test. TLSA 3 1 1 " + sum256, 0, func(q *dns.HostQuestion) {
			q.Host, q.HostSigned, q.HostAlias = "alias.one.test", false, "far.example"
		}, sched.TLSDANE, "DANE: 1 TLSA record of alias.one.test", false, ""},
		{"the records are an alias", "_25._tcp.mx.one.test. CNAME tlsa.one.test.\ntlsa.one.test. TLSA 3 1 1 " + sum256, 0, nil, sched.TLSDANE, "DANE: 1 TLSA record of mx.one.test", false, ""},
		{"the records are an alias out of the signed zone", "_25._tcp.mx.one.test. CNAME tlsa.example.\ntlsa.example. TLSA 3 1 1 " + sum256, 0, nil, sched.TLSIfAvailable, "", false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, signedZone+tt.zone+"\n", "test")
			w.session.UseMTASTS = false
			w.dns.Fault("_25._tcp.mx.one.test", tt.fault)
			q := dns.HostQuestion{Domain: "one.test", Session: w.session, Host: "mx.one.test", Port: 25, ByMX: true, Signed: true, HostSigned: true}
			if tt.change != nil {
				tt.change(&q)
			}
			got := w.ask(q)
			if got.TLS != tt.want || got.Why != tt.why || got.Withheld.IsZero() == tt.withheld {
				t.Errorf("got %+v", got)
			}
			if tt.withheld && !strings.HasPrefix(got.Withheld.Text, "DANE: no mail goes to mx.one.test until its TLSA records can be looked up and validated: look up TLSA of _25._tcp.mx.one.test: ") {
				t.Errorf("withheld: %s", got.Withheld)
			}
			if a := w.applied(q.Host); a.Failure != tt.failure {
				t.Errorf("applied %+v", a)
			}
		})
	}
}

// TestDANENeedsValidation: without a resolver that is trusted to validate, nothing is
// asked, whatever bits it sets.
func TestDANENeedsValidation(t *testing.T) {
	w := newWorld(t, signedZone+"_25._tcp.mx.one.test. TLSA 3 1 1 "+sum256+"\n")
	w.dns.Sign("test")
	w.session.UseMTASTS = false
	if got := w.host("mx.one.test"); got.TLS != sched.TLSIfAvailable || w.dns.Queries("_25._tcp.mx.one.test", dns.TypeTLSA) != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestDANEBeforeSTS: TLSA records decide, also for a host that the policy does not have;
// without them the policy does.
func TestDANEBeforeSTS(t *testing.T) {
	w := newWorld(t, announced+"_25._tcp.mx2.one.test. TLSA 3 1 1 "+sum256+"\n", "test")
	w.answer(enforce)
	if got := w.host("mx2.one.test"); got.TLS != sched.TLSDANE || got.Barred {
		t.Errorf("mx2: %+v", got)
	}
	if got := w.host("mx.one.test"); got.TLS != sched.TLSVerifyHost || got.TTL.Hours() != 24 {
		t.Errorf("mx: %+v", got)
	}
	if got := w.host("mx3.one.test"); !got.Barred {
		t.Errorf("mx3: %+v", got)
	}
}

// TestUnusableRecordsAndSTS: records of no use ask for TLS; the policy may ask for more.
func TestUnusableRecordsAndSTS(t *testing.T) {
	w := newWorld(t, announced+"_25._tcp.mx.one.test. TLSA 1 1 1 "+sum256+"\n", "test")
	w.answer(enforce)
	if got := w.host("mx.one.test"); got.TLS != sched.TLSVerifyHost || !strings.HasPrefix(got.Why, "MTA-STS") {
		t.Errorf("enforced: %+v", got)
	}
	w.answer(text("version: STSv1", "mode: testing", "mx: mx.one.test", "max_age: 86400"))
	w.pass(48 * time.Hour)
	want := "DANE: none of the TLSA records of mx.one.test can be used; MTA-STS: one.test tests a policy, id 1"
	if got := w.host("mx.one.test"); got.TLS != sched.TLSRequired || got.Why != want {
		t.Errorf("tested: %+v", got)
	}
}

func TestDANENames(t *testing.T) {
	w := newWorld(t, signedZone+"_25._tcp.real.test. TLSA 2 1 1 "+sum256+"\n", "test")
	q := dns.HostQuestion{Domain: "one.test", Alias: "alias.test", Host: "mx.one.test", HostAlias: "real.test", Port: 25, ByMX: true, Signed: true, HostSigned: true}
	if got := w.ask(q); !slices.Equal(got.Names, []string{"real.test", "mx.one.test", "one.test", "alias.test"}) {
		t.Errorf("names %q", got.Names)
	}
	q.ByMX = false
	if got := w.ask(q); !slices.Equal(got.Names, []string{"real.test", "mx.one.test"}) {
		t.Errorf("names of a gateway %q", got.Names)
	}
}

func rec(usage, selector, matching uint8, data []byte) mail.TLSA {
	return mail.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

func TestUsable(t *testing.T) {
	cert, _ := certificate(t, 1, "mx.test")
	full, key := cert.Leaf.Raw, cert.Leaf.RawSubjectPublicKeyInfo
	a, b := make([]byte, 32), make([]byte, 64)
	sum := sha256.Sum256(full)
	for _, tt := range []struct {
		name string
		in   []mail.TLSA
		want []int
	}{
		{"each kind", []mail.TLSA{rec(3, 0, 1, a), rec(3, 1, 2, b), rec(2, 0, 0, full), rec(2, 1, 0, key)}, []int{0, 1, 2, 3}},
		{"the strongest digest", []mail.TLSA{rec(3, 1, 1, a), rec(3, 1, 2, b), rec(3, 0, 1, a), rec(3, 1, 0, key)}, []int{1, 2, 3}},
		{"PKIX", []mail.TLSA{rec(0, 0, 1, a), rec(1, 1, 1, a), rec(255, 0, 1, a)}, nil},
		{"lengths", []mail.TLSA{rec(3, 0, 1, b), rec(3, 0, 2, a), rec(3, 0, 1, nil), rec(3, 0, 1, a[:3]), rec(3, 0, 0, nil), rec(2, 1, 0, a)}, nil},
		{"unknown", []mail.TLSA{rec(3, 2, 1, a), rec(3, 0, 3, a), rec(0, 0, 0, nil)}, nil},
		{"a weak one of use beside a strong one of none", []mail.TLSA{rec(3, 0, 1, sum[:]), rec(3, 0, 2, sum[:])}, []int{0}},
	} {
		var want []string
		for _, i := range tt.want {
			want = append(want, tt.in[i].String())
		}
		var got []string
		for _, r := range usable(tt.in) {
			got = append(got, r.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, want)
		}
	}
}

// Whatever records come: only well-formed ones are used.
func FuzzUsable(f *testing.F) {
	f.Add(uint8(3), uint8(1), uint8(1), []byte(sum256))
	b, _ := hex.DecodeString(sum256)
	f.Add(uint8(3), uint8(1), uint8(1), b)
	f.Add(uint8(2), uint8(0), uint8(0), []byte{0x30})
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		for _, r := range usable([]mail.TLSA{{Usage: usage, Selector: selector, Matching: matching, Data: data}}) {
			if r.Usage != 2 && r.Usage != 3 || r.Selector > 1 || r.Matching > 2 || len(r.Data) < 32 {
				t.Fatalf("%+v", r)
			}
		}
	})
}
