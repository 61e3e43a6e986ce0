package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

func parseOK(t *testing.T, text string) *policy.Snapshot {
	t.Helper()
	snap, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", text)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return snap
}

var byLetters = []struct {
	by     policy.By
	letter string
}{
	{policy.ByGroup, "g"},
	{policy.ByBinding, "b"},
	{policy.ByDomain, "d"},
	{policy.ByHost, "h"},
	{policy.ByAddress, "a"},
	{policy.ByStanza, "S"},
}

// limitText writes a limit as "max(b,d)=5": the option without its tail, the key, the
// value.
func limitText(l policy.Limit) string {
	var key []string
	for _, e := range byLetters {
		if l.By&e.by != 0 {
			key = append(key, e.letter)
		}
	}
	s := fmt.Sprintf("%s(%s)=%d", strings.TrimSuffix(l.Option, "_outbound_connections"), strings.Join(key, ","), l.Max)
	if l.Reserve > 0 {
		s += fmt.Sprintf("+%d", l.Reserve)
	}
	return s
}

func limitTexts(ls []policy.Limit) string {
	var out []string
	for _, l := range ls {
		out = append(out, limitText(l))
	}
	return strings.Join(out, " ")
}

const server = " server_max()=75000+200"

func TestQueueLimits(t *testing.T) {
	for _, c := range []struct {
		name, conf, binding, domain, want string
	}{
		{"defaults", ``, "default", "a.test", "max(b,d)=32" + server},
		{"no limit at all", `max_outbound_connections = -1 server_max_outbound_connections = -1`, "default", "a.test", ""},
		{"domain", `Domain "a.test" { max_outbound_connections = 5 }`, "x", "a.test", "max(b,d)=5" + server},
		{"group domain beats binding", `Binding_Group g { Domain a.test { max-smtp-out = 7 } Binding b { max-smtp-out = 15 } }`, "b", "a.test", "max(b,d)=7" + server},
		{"binding beats domain", `Domain a.test { max-smtp-out = 7 } Binding b { max-smtp-out = 15 }`, "b", "a.test", "max(b,d)=15" + server},
		{"group beats domain", `Domain a.test { max-smtp-out = 7 } Binding_Group g { max-smtp-out = 9 Binding b { } }`, "b", "a.test", "max(b,d)=9" + server},
		{
			"all scopes of scope_max", `scope_max_outbound_connections = 1000
			Domain a.test { scope_max_outbound_connections = 100 }
			Binding_Group g { scope_max_outbound_connections = 50
				Domain a.test { scope_max_outbound_connections = 40 }
				Binding b { scope_max_outbound_connections = 30
					Domain a.test { scope_max_outbound_connections = 20 } } }`,
			"b", "a.test", "scope_max(b,S)=20 scope_max(g,S)=40 scope_max(S)=100 scope_max(b)=30 scope_max(g)=50 scope_max()=1000",
		},
		{"a pool of the binding replaces max", `Binding b { Domain "/test$/" { scope_max_outbound_connections = 3 max-smtp-out = 2 } }`, "b", "a.test", "scope_max(b,S)=3" + server},
		{"an exact stanza leaves the pool", `Domain "/test$/" { scope_max_outbound_connections = 3 } Domain a.test { scope_max_outbound_connections = -1 }`, "x", "a.test", "max(b,d)=32" + server},
		{"an exact stanza that does not set it stays", `Domain "/test$/" { scope_max_outbound_connections = 3 } Domain a.test { tls = no }`, "x", "a.test", "max(b,d)=32 scope_max(S)=3" + server},
		{"server_max of a binding", `Binding_Group g { server_max_outbound_connections = 8 Binding b { } Binding c { server_max_outbound_connections = 4 } }`, "b", "a.test", "max(b,d)=32 server_max(b)=8" + server},
		{"server_max of a binding with its own", `Binding_Group g { server_max_outbound_connections = 8 Binding b { } Binding c { server_max_outbound_connections = 4 } }`, "c", "a.test", "max(b,d)=32 server_max(b)=4" + server},
		{"global scope_max takes the reserve away", `scope_max_outbound_connections = 20`, "x", "a.test", "max(b,d)=32 scope_max()=20"},
		{
			"cluster", `cluster_max_outbound_connections = 128 cluster_server_max_outbound_connections = 900 Domain a.test { cluster_max_outbound_connections = 6 }
			Binding b { cluster_max_outbound_connections = 5 cluster_server_max_outbound_connections = 9 }`,
			"b", "a.test", "max(b,d)=32 cluster_max(b,d)=5 cluster_server_max(b)=9 cluster_server_max()=900" + server,
		},
		{"cluster for a binding in a group", `Domain a.test { cluster_max_outbound_connections = 6 } Binding_Group g { Binding b { } }`, "b", "a.test", "max(b,d)=32 cluster_max(b,d)=6" + server},
		{
			"cluster scope", `cluster_scope_max_outbound_connections = 700 cluster_server_max_outbound_connections = 900 cluster_max_outbound_connections = 128
			Binding b { Domain a.test { cluster_scope_max_outbound_connections = 4 } } Domain a.test { cluster_scope_max_outbound_connections = 10 }`,
			"b", "a.test", "max(b,d)=32 cluster_scope_max(b,S)=4 cluster_scope_max(S)=10 cluster_scope_max()=700" + server,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap := parseOK(t, c.conf)
			if got := limitTexts(snap.Queue(c.binding, c.domain).Limits); got != strings.TrimSpace(c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestHostLimits(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		name, conf, binding, want, wantAddr string
	}{
		{"nothing", `max_outbound_connections = 3`, "b", "", ""},
		{"host", `Host mx.test { max_outbound_connections = 3 }`, "b", "max(b,h)=3", ""},
		{"case and dot", `Host "MX.Test." { max_outbound_connections = 3 }`, "b", "max(b,h)=3", ""},
		{"regex", `Host "/^mx/" { max_outbound_connections = 3 scope_max_outbound_connections = 9 }`, "b", "max(b,h)=3 scope_max(S)=9", ""},
		{"chain: group's host beats binding's domain of hosts", `Host mx.test { max-smtp-out = 1 } Binding_Group g { Host mx.test { max-smtp-out = 2 } Binding b { } }`, "b", "max(b,h)=2", ""},
		{"chain: most specific", `Binding_Group g { Host mx.test { max-smtp-out = 2 } Binding b { Host mx.test { max-smtp-out = 4 } } }`, "b", "max(b,h)=4", ""},
		{
			"every container's scope_max", `Host mx.test { scope_max_outbound_connections = 9 }
			Binding_Group g { Host mx.test { scope_max_outbound_connections = 8 } Binding b { Host mx.test { scope_max_outbound_connections = 7 } } }`,
			"b", "scope_max(b,S)=7 scope_max(g,S)=8 scope_max(S)=9", "",
		},
		{"cluster: both families", `Host mx.test { cluster_max_outbound_connections = 2 } Binding b { Host mx.test { cluster_max_outbound_connections = 1 } }`, "b", "cluster_max(b,h)=1 cluster_max(h)=2", ""},
		{"address", `Host 192.0.2.7 { max-smtp-out = 2 } Host 192.0.2.0/24 { max-smtp-out = 5 scope_max_outbound_connections = 6 }`, "b", "", "max(b,a)=2 scope_max(S)=6"},
		{"longest prefix", `Host 192.0.0.0/16 { max-smtp-out = 2 } Host 192.0.2.0/24 { max-smtp-out = 5 }`, "b", "", "max(b,a)=5"},
		{"name and address", `Host mx.test { max-smtp-out = 3 } Host 192.0.2.7 { max-smtp-out = 2 }`, "b", "max(b,h)=3", "max(b,a)=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := parseOK(t, c.conf).Host("b", "mx.test", []netip.Addr{addr, netip.MustParseAddr("198.51.100.1")})
			if got := limitTexts(h.Limits); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := limitTexts(h.Addresses[addr]); got != c.wantAddr {
				t.Errorf("address: got  %s\nwant %s", got, c.wantAddr)
			}
			if len(h.Addresses) > 1 {
				t.Errorf("the other address has limits: %v", h.Addresses)
			}
		})
	}
}

func TestOriginOfLimits(t *testing.T) {
	q := parseOK(t, "Binding_Group \"g\" {\n  Domain \"/test$/\" {\n    scope_max_outbound_connections = 3\n  }\n  Binding \"b\" { }\n}").Queue("b", "a.test")
	i := slices.IndexFunc(q.Limits, func(l policy.Limit) bool { return l.By == policy.ByGroup|policy.ByStanza })
	if i < 0 {
		t.Fatal("no limit of the group's domain")
	}
	want := policy.Origin{Stanza: `binding_group "g" / domain "/test$/"`, File: "t.conf", Line: 3, Column: 5}
	if q.Limits[i].Origin != want {
		t.Errorf("got %+v, want %+v", q.Limits[i].Origin, want)
	}
	if q.Group != "g" || q.Limits[0].Origin != (policy.Origin{}) {
		t.Errorf("group %q, first %+v", q.Group, q.Limits[0])
	}
}

// TestPerOption holds that a regular expression supplies what the exact stanza leaves
// unset, and that the first one that sets the option wins.
func TestPerOption(t *testing.T) {
	snap := parseOK(t, `
		Domain "/example/" { max_outbound_connections = 15 max_deliveries_per_connection = 5 }
		Domain "/^example/" { max_deliveries_per_connection = 6 idle_timeout = 9s }
		Domain "example.com" { max_outbound_connections = 20 }`)
	q := snap.Queue("default", "example.com")
	if q.Limits[0].Max != 20 || q.MaxDeliveriesPerConnection != 5 || q.IdleTimeout.Seconds() != 9 {
		t.Errorf("%+v", q)
	}
	if q := snap.Queue("default", "www.example.com"); q.Limits[0].Max != 15 || q.MaxDeliveriesPerConnection != 5 || q.IdleTimeout.Seconds() != 5 {
		t.Errorf("%+v", q)
	}
}

// TestWorkedExample is the worked example of the fallback rules.
func TestWorkedExample(t *testing.T) {
	snap := parseOK(t, `
		message_expiration = 86400
		Binding "example" { message_expiration = 3600 }
		Domain "example.com" { message_expiration = 120 }
		Binding "example2" { message_expiration = 7200 Domain "example.com" { message_expiration = 86400 } Domain "anotherexample.com" { } }
		Binding "example3" { Domain "example.com" { } Domain "anotherexample.com" { message_expiration = 86400 } }`)
	for _, c := range []struct {
		binding, domain string
		want            float64
	}{
		{"example", "example.com", 3600},
		{"example", "x.test", 3600},
		{"example2", "example.com", 86400},
		{"example2", "anotherexample.com", 7200},
		{"example2", "x.test", 7200},
		{"example3", "example.com", 120},
		{"example3", "anotherexample.com", 86400},
		{"example3", "x.test", 86400},
		{"default", "example.com", 120},
		{"default", "x.test", 86400},
	} {
		if got := snap.Queue(c.binding, c.domain).Expiration.Seconds(); got != c.want {
			t.Errorf("%s to %s: %v, want %v", c.binding, c.domain, got, c.want)
		}
	}
}

func TestResolverShares(t *testing.T) {
	r := NewResolver(parseOK(t, `Domain "/^(a|b)\.test$/" { max_outbound_connections = 5 } Host "/^mx/" { max-smtp-out = 3 } Host 10.0.0.0/8 { max-smtp-out = 1 } Binding x { }`))
	if r.Queue("x", "a.test") != r.Queue("x", "b.test") || r.Queue("x", "c.test") != r.Queue("x", "d.test") {
		t.Error("names that the same stanzas match get different queues")
	}
	if r.Queue("x", "a.test") == r.Queue("x", "c.test") || r.Queue("x", "a.test") == r.Queue("y", "a.test") {
		t.Error("names that stanzas tell apart share a queue")
	}
	ten, other := []netip.Addr{netip.MustParseAddr("10.1.1.1")}, []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if r.Host("x", "mx1.test", other) != r.Host("x", "mx2.test", nil) {
		t.Error("hosts that the same stanzas match are not shared")
	}
	if r.Host("x", "mx1.test", ten) == r.Host("x", "mx1.test", other) || r.Host("x", "mx1.test", ten).Addresses[ten[0]][0].Max != 1 {
		t.Error("an address label is not honoured")
	}
	if n := testing.AllocsPerRun(100, func() { r.Queue("x", "a.test") }); n > 0 {
		t.Errorf("%v allocations for a known kind of name", n)
	}
}

func BenchmarkResolverQueue(b *testing.B) {
	var conf strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&conf, "Domain d%d.test { max_outbound_connections = %d }\n", i, i)
	}
	for i := range 20 {
		fmt.Fprintf(&conf, "Domain \"/^(mail|smtp)%d\\.example\\.(com|net)$/\" { max_outbound_connections = 4 }\n", i)
	}
	conf.WriteString("Binding_Group g { Binding b { } }")
	snap, _ := (&Loader{}).Parse("b.conf", conf.String())
	r := NewResolver(snap)
	b.ReportAllocs()
	for b.Loop() {
		r.Queue("b", "some-name.of-a-receiver.example")
	}
}

// BenchmarkManyPatterns: a pack of shaping rules, none of which matches.
func BenchmarkManyPatterns(b *testing.B) {
	var conf strings.Builder
	for i := range 300 {
		fmt.Fprintf(&conf, "Domain \"/\\.receiver%d\\.(com|net)$/\" { max_outbound_connections = 4 }\n", i)
		fmt.Fprintf(&conf, "Domain \"/(^|\\.)receiver%d\\.org$/\" { max_outbound_connections = 4 }\n", i)
	}
	snap, diags := (&Loader{}).Parse("b.conf", conf.String())
	if snap == nil {
		b.Fatal(diags.Err())
	}
	r := NewResolver(snap)
	b.ReportAllocs()
	for b.Loop() {
		r.Queue("b", "some-name.of-a-receiver.example")
	}
}

func BenchmarkSnapshotQueue(b *testing.B) {
	snap, _ := (&Loader{}).Parse("b.conf", "Domain a.test { max_outbound_connections = 4 } Binding_Group g { Binding b { } }")
	b.ReportAllocs()
	for b.Loop() {
		snap.Queue("b", "a.test")
	}
}
