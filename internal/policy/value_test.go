package policy

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, "90s": 90 * time.Second, "20m": 20 * time.Minute, "1h30m": 90 * time.Minute,
		"5d": 120 * time.Hour, "1D12H": 36 * time.Hour, "250ms": 250 * time.Millisecond, "2min": 2 * time.Minute, "1day": 24 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "-5", "5x", "5 m", "1.5h", "1h30", "5s5", "99999999999d", "9223372036854775808", "١m"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "4096": 4096, "20KB": 20 << 10, "35mb": 35 << 20, "1G": 1 << 30, "2KiB": 2048, "7B": 7, "1T": 1 << 40} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "KB", "-1", "1.5MB", "5 KB", "1EB", "9999999999999T"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]string{
		"5": "5/1", "60/3": "60/3", "1/s": "1/1", "300/h": "300/3600", "50/hr": "50/3600", "83/5s": "83/5", "10/2min": "10/120", "7/D": "7/86400",
		"10/s,burst=5": "10/1,burst=5", "10 , burst = 3": "10/1,burst=3", "unlimited": "unlimited", "Unlimited": "unlimited", "0": "0/1", "1/day": "1/86400",
	} {
		got, err := ParseRate(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
		if got.IsSet() != (want != "unlimited" && want != "0/1") {
			t.Errorf("%q: set %v", text, got.IsSet())
		}
	}
	for _, text := range []string{"", "x", "-1", "5/", "5/0", "5/0s", "5/x", "5/ms", "5/s5", "1.5/s", "5,burst", "5,burst=0", "5,burst=x", "5,b=1", "9999999999", "1/99999999d"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func FuzzParseValues(f *testing.F) {
	for _, s := range []string{"90s", "1h30m", "83/5s,burst=2", "35MB", "unlimited", "-1", "smtps://[::1]:465", "[ipv6:::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Errorf("%q: %v", s, d)
		}
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Errorf("%q: %v", s, n)
		}
		if r, err := ParseRate(s); err == nil {
			again, err := ParseRate(r.String())
			if err != nil || again != r {
				t.Errorf("%q: %v, printed and read %v, %v", s, r, again, err)
			}
		}
		for _, o := range table {
			if v, err := o.Parse(o.Name, Raw{Text: s}); err == nil && v.Text == "" {
				t.Errorf("%s = %q has no text", o.Name, s)
			}
		}
		for k := range numScopes {
			if l, err := ParseLabel(k, s); err == nil {
				if again, err := ParseLabel(k, l.Text); err != nil || again.Text != l.Text {
					t.Errorf("label %s %q becomes %q, then %q, %v", k, s, l.Text, again.Text, err)
				}
			}
		}
	})
}

func TestGateway(t *testing.T) {
	for text, want := range map[string]struct {
		name   string
		port   uint16
		spoken Protocol
	}{
		"Relay.Example.com": {"relay.example.com", 0, SMTP}, "relay.test:2525": {"relay.test", 2525, SMTP}, "smtps://relay.test": {"relay.test", 465, SMTPS},
		"smtps://relay.test:4465": {"relay.test", 4465, SMTPS}, "[192.0.2.1]:25": {"192.0.2.1", 25, SMTP}, "192.0.2.1": {"192.0.2.1", 0, SMTP}, "2001:db8::1": {"2001:db8::1", 0, SMTP},
		"LMTP://store.test": {"store.test", 24, LMTP}, "lmtp://[2001:db8::1]:2424": {"2001:db8::1", 2424, LMTP}, "smtp://relay.test": {"relay.test", 0, SMTP},
	} {
		name, port, spoken, err := SplitGateway(text)
		if err != nil || name != want.name || port != want.port || spoken != want.spoken {
			t.Errorf("%q: %s %d %v %v", text, name, port, spoken, err)
		}
	}
	for _, text := range []string{"", "a b", "relay:0", "relay:99999", "relay:", "[::1", "[::1]x", "http://relay"} {
		if _, _, _, err := SplitGateway(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestSuggest(t *testing.T) {
	names := []string{"max_outbound_connections", "tls", "tls_verify", "max-smtp-out"}
	for in, want := range map[string]string{
		"max_outbond_connections": "max_outbound_connections", "tsl": "tls", "TLS_Verfiy": "tls_verify", "maxsmtpout": "max-smtp-out",
		"nothing_like_it": "", "": "", strings.Repeat("x", 200): "",
	} {
		if got := Suggest(in, names); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestTable holds that every option says all that is derived from it.
func TestTable(t *testing.T) {
	for _, o := range Options() {
		if o.Doc == "" || !strings.HasSuffix(o.Doc, ".") || o.Allowed() == "" || o.Scopes == 0 {
			t.Errorf("%s: doc %q, allowed %q, scopes %v", o.Name, o.Doc, o.Allowed(), o.Scopes.Names())
		}
		if Fold(o.Name) != o.Name {
			t.Errorf("%s is not in canonical form", o.Name)
		}
		if o.Scopes&inTree != 0 && len(o.Chain) == 0 {
			t.Errorf("%s has no chain", o.Name)
		}
		for _, l := range append(append(Chain{}, o.Chain...), o.HostChain...) {
			if !o.Scopes.Has(l.kindOf()) {
				t.Errorf("%s: the chain asks %s, which may not set it", o.Name, l)
			}
		}
		if o.Default != "" && o.DefaultValue().Text != o.Default {
			t.Errorf("%s: default %q prints %q", o.Name, o.Default, o.DefaultValue().Text)
		}
	}
	if got := LookupTree("MAX-mx-hosts").Title(); got != "Max_Mx_Hosts" {
		t.Errorf("title %s", got)
	}
	if Lookup(ScopeHost, "tls") != nil || Lookup(ScopeDomain, "mx") != LookupTree("max_mx_hosts") || Lookup(ScopeRollup, "mx").Type != TypeList {
		t.Error("names are found in scopes where they are not valid")
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		kind ScopeKind
		text string
		want string // empty: an error
	}{
		{ScopeDomain, "Example.COM.", "example.com"},
		{ScopeDomain, "bücher.example", "xn--bcher-kva.example"},
		{ScopeDomain, "/^a.b$/", "/^a.b$/"},
		{ScopeDomain, "[192.0.2.1]", "[192.0.2.1]"},
		{ScopeDomain, "//", ""},
		{ScopeDomain, "/(/", ""},
		{ScopeDomain, "/x", ""},
		{ScopeDomain, "a b", ""},
		{ScopeDomain, "", ""},
		{ScopeDomain, "*.x.test", ""},
		{ScopeHost, "10.1.2.3/8", "10.0.0.0/8"},
		{ScopeHost, "2001:DB8::1", "2001:db8::1"},
		{ScopeHost, "[2001:db8::1]", "2001:db8::1"},
		{ScopeHost, "::ffff:10.0.0.1", "10.0.0.1"},
		{ScopeHost, "MX.test", "mx.test"},
		{ScopeBinding, "ip-1", "ip-1"},
		{ScopeBinding, "IP-1", "IP-1"},
		{ScopeBinding, "a:b", ""},
		{ScopeBinding, "a b", ""},
		{ScopeUser, "any user", "any user"},
		{ScopeUser, "x\n", ""},
	} {
		l, err := ParseLabel(c.kind, c.text)
		if (err == nil) != (c.want != "") || l.Text != c.want {
			t.Errorf("%s %q: %q, %v; want %q", c.kind, c.text, l.Text, err, c.want)
		}
	}
}

func TestServerAndFiles(t *testing.T) {
	s := New("mta.test")
	if s.OutboundCeiling() != 75200 || s.FilesNeeded() != 75200+FilesPerServer+4000 {
		t.Errorf("%d %d", s.OutboundCeiling(), s.FilesNeeded())
	}
	if got := s.Server(1 << 20); got.MaxConnections != 75200 || got.BoundBy != "" || got.DrainTimeout != 10*time.Second {
		t.Errorf("%+v", got)
	}
	if got := s.Server(20000); got.MaxConnections != 20000-4000-FilesPerServer || got.BoundBy != "open files" {
		t.Errorf("%+v", got)
	}
	if got := s.Server(1024); got.MaxConnections != 512 {
		t.Errorf("%+v", got)
	}
	if s.FileFinding(1<<20) != nil || s.FileFinding(0) != nil || s.FileFinding(20000) == nil {
		t.Error("files are compared wrongly")
	}
}
