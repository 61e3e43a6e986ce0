package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// Every field of a Session that shapes a connection is compared; a new one must be
// compared too or be named here as one that the route decides.
func TestSameConnection(t *testing.T) {
	byRoute := []string{"Port", "TLS", "TLSVerify", "UseDANE", "UseMTASTS", "MTASTSTimeout", "SkipHosts", "Gateway", "Routes", "TLSReports"}
	fields := reflect.TypeFor[Session]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		a, b := &Session{}, &Session{}
		differ(t, reflect.ValueOf(b).Elem().Field(i))
		if got, want := a.SameConnection(b), slices.Contains(byRoute, name); got != want {
			t.Errorf("sessions that differ in %s: the same connection is %v, want %v", name, got, want)
		}
	}
	if a, b := (&Session{EHLO: "x"}), (&Session{EHLO: "x"}); !a.SameConnection(b) || a.SameConnection(nil) {
		t.Error("equal sessions are not told from others")
	}
}

func differ(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
	case bool:
		v.SetBool(true)
	case string:
		v.SetString("other")
	case time.Duration:
		v.SetInt(1)
	case uint16, TLSMode, TLSVerify:
		v.SetUint(1)
	case []netip.Prefix:
		v.Set(reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}))
	case Auth:
		v.Set(reflect.ValueOf(Auth{User: "other"}))
	case Proxy:
		v.Set(reflect.ValueOf(Proxy{Kind: ProxySOCKS5}))
	case []Route:
		v.Set(reflect.ValueOf([]Route{{}}))
	default:
		t.Fatalf("a field of type %s: say how to change it", v.Type())
	}
}

// TestTLSOptions: what they become, and the binding of reports that honours none of them.
func TestTLSOptions(t *testing.T) {
	root := NewRoot()
	set := func(name, value string) {
		t.Helper()
		o := LookupTree(name)
		v, err := o.Parse(name, Raw{Text: value})
		if err != nil {
			t.Fatal(err)
		}
		root.Set(o, v, Origin{File: "x", Line: 1})
	}
	if _, there := New("mta.test").Bindings[TLSReportBinding]; there {
		t.Error("the binding of reports is there without reports")
	}
	for name, value := range map[string]string{
		"tls": "required", "tls_verify": "host", "tls_min_version": "1.3", "tls_ca": "ca", "tls_certificate": "c", "tls_key": "k",
		"tls_reports": "on", "remember_broken_tls": "90s", "mta-sts": "5s",
	} {
		set(name, value)
	}
	s, _ := Build(root, Environment{Hostname: "mta.test"})
	q := s.Queue("default", "one.test")
	if x := q.Session; x.TLSMinVersion != 0x0304 || x.TLSCA != "ca" || x.TLSCertificate != "c" || x.TLSKey != "k" || !x.TLSReports || x.MTASTSTimeout != 5*time.Second ||
		!x.UseDANE || !x.UseMTASTS || q.BrokenTLSRetry != 90*time.Second {
		t.Errorf("%+v", x)
	}
	if x := s.Queue(TLSReportBinding, "one.test").Session; s.Bindings[TLSReportBinding] == nil || x.TLS != TLSIfAvailable || x.TLSVerify != VerifyNo || x.UseDANE || x.UseMTASTS || x.TLSReports {
		t.Errorf("reports: %+v", x)
	}
	if w := s.TLSReports; w.From != "postmaster@mta.test" || w.Organization != "mta.test" || w.Contact != "postmaster@mta.test" || s.MTASTSPort != 443 {
		t.Errorf("%+v, port %d", w, s.MTASTSPort)
	}
}
