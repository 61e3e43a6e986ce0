package dns

import (
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// A short file can ask for many records: they are counted, not the lines.
func TestZoneIsBounded(t *testing.T) {
	text := strings.Repeat("$GENERATE 0-65535 b$.test. A 192.0.2.1\n", 3)
	if _, err := parseZone(strings.NewReader(text), "zone", 100); err == nil || err.Error() != "zone: more than 100 records" {
		t.Error(err)
	}
}

// Whatever bytes come as an answer: bounded records about the name asked, or a reason.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"one.test. 60 MX 10 mx.one.test.",
		"one.test. 60 CNAME two.test.",
		"one.test. 60 CNAME one.test.",
		"one.test. 60 A 192.0.2.1",
		"one.test. 60 AAAA ::ffff:127.0.0.1",
		"one.test. 60 TLSA 3 1 1 00",
		"one.test. 60 TXT \"v=STSv1; id=1;\" \"\\010\\\"\"",
		"victim.test. 60 A 127.0.0.1",
	} {
		rr, err := mdns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := question("one.test", TypeMX, true)
		m.Response, m.RecursionAvailable, m.Answer, m.Ns = true, true, []mdns.RR{rr}, []mdns.RR{rr}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-3])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(mdns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		for _, typ := range []Type{TypeMX, TypeA, TypeAAAA, TypeTXT, TypeTLSA, TypeCNAME} {
			a, next, reason := interpret(m, "one.test", typ)
			if len(a.MX) > maxMX || len(a.Addresses) > maxAddresses || len(a.Text) > maxTexts || len(a.TLSA) > maxTLSA || a.TTL < 0 {
				t.Fatalf("%+v", a)
			}
			if a.Status == Found && next == "" && reason == "" && len(a.MX)+len(a.Addresses)+len(a.Text)+len(a.TLSA) == 0 && a.Alias == "" {
				t.Fatal("found, and nothing there")
			}
			for _, addr := range a.Addresses {
				if addr.Is4In6() || addr.Is4() != (typ == TypeA) {
					t.Fatalf("%v for %v", addr, typ)
				}
			}
		}
	})
}

func FuzzGateway(f *testing.F) {
	for _, s := range []string{"mx.one.test", "mx.one.test:2525", "smtps://mx.one.test", "[2001:db8::1]:25", "2001:db8::1", "192.0.2.1:25", ":25", "x:0", "[", "smtps://", "a:b:c", "lmtp://[2001:db8::1]:24", "http://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseGateway(s)
		if err != nil {
			return
		}
		if g.Address.IsValid() == (g.Host != "") || g.Address.Is4In6() {
			t.Fatalf("%q: %+v", s, g)
		}
		if g.Host != "" {
			if again, err := ParseGateway(g.Host); err != nil || again.Host != g.Host {
				t.Fatalf("%q: %+v, %v", g.Host, again, err)
			}
		}
	})
}
