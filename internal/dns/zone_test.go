package dns_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/dns"
)

func TestZoneErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"one.test. MX 10 a.\ntwo.test. MX ten a.\n", "zone:2:"},
		{"one.test. MX\n", "zone: the MX record of one.test. has no data"},
		{"$INCLUDE other\n", "zone:1:"},
		{"one.test. A 999.1.1.1\n", "zone:1:"},
		{"one.test. NOSUCH x\n", "zone:1:"},
	} {
		_, err := dns.ParseZone(strings.NewReader(c.text), "zone")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s...", c.text, err, c.want)
		}
	}
}

func TestReadZoneFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "z")
	if err := os.WriteFile(file, []byte("$ORIGIN test.\n$TTL 60\none MX 10 mx\nmx A 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	z, err := dns.ReadZoneFile(file)
	if err != nil || z.Len() != 2 {
		t.Fatalf("%v %v", z, err)
	}
	if rr, status := z.Records("ONE.test", dns.TypeMX); status != dns.Found || len(rr) != 1 || rr[0].Header().Ttl != 60 {
		t.Errorf("%v %v", rr, status)
	}
	if _, err := dns.ReadZoneFile(file + ".missing"); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestWildcards(t *testing.T) {
	z, err := dns.ParseZone(strings.NewReader(`
*.w.test.    MX 10 mx.w.test.
mx.w.test.   A 192.0.2.1
a.deep.w.test. A 192.0.2.2
*.           MX 5 all.test.
`), "zone")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		status dns.Status
		mx     string
	}{
		{"x.w.test", dns.Found, "mx.w.test."},
		{"x.y.w.test", dns.Found, "mx.w.test."},
		{"mx.w.test", dns.NoData, ""},
		{"deep.w.test", dns.NoData, ""},     // exists: there is a name below it
		{"b.deep.w.test", dns.NoDomain, ""}, // its closest encloser is deep.w.test
		{"w.test", dns.NoData, ""},
		{"com", dns.Found, "all.test."},
		{"other.com", dns.Found, "all.test."},
	} {
		rr, status := z.Records(c.name, dns.TypeMX)
		if status != c.status || (c.mx != "") != (len(rr) == 1) {
			t.Errorf("%s: %v %v", c.name, rr, status)
			continue
		}
		if c.mx != "" && (rr[0].Header().Name != c.name+"." || !strings.Contains(rr[0].String(), c.mx)) {
			t.Errorf("%s: %v", c.name, rr[0])
		}
	}
}

func FuzzZone(f *testing.F) {
	f.Add(world, "one.test")
	f.Add("$ORIGIN test.\n$TTL 1\n@ SOA ns root 1 2 3 4 5\n*.many MX 10 mx\n", "x.many.test")
	f.Add("a. CNAME a.\n", "a")
	f.Add("$GENERATE 1-3 h$ A 192.0.2.$\n", "h2")
	f.Add("*. A 192.0.2.1", "")
	f.Add("a.test. ( \n MX 10 \"q\" )", "a.test")
	f.Fuzz(func(t *testing.T, text, name string) {
		z, err := dns.ParseZone(strings.NewReader(text), "zone")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "zone:") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		for _, typ := range []dns.Type{dns.TypeMX, dns.TypeA, dns.TypeAAAA} {
			rr, _ := z.Records(name, typ)
			for _, r := range rr {
				if r == nil {
					t.Fatal("nil record")
				}
			}
		}
	})
}
