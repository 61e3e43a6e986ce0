package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// TestCompare reads two configurations and lists what differs.
func TestCompare(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", "idle_timeout = 60\nDomain a.test { tls = no }", "Domain a.test { tls = no }\nidle_timeout = 1m", ""},
		{
			"global, said once", "Domain a.test { tls = no }", "max_outbound_connections = 8\nDomain a.test { tls = no }",
			"global: max_outbound_connections 32 -> 8 (new:1)",
		},
		{
			"own value", "Domain a.test { max_outbound_connections = 3 }", "max_outbound_connections = 8\nDomain a.test { max_outbound_connections = 4 }",
			"global: max_outbound_connections 32 -> 8 (new:1)\ndomain \"a.test\": max_outbound_connections 3 -> 4 (new:2)",
		},
		{"stanza gone", "Domain a.test { max_outbound_connections = 3 }", "", "domain \"a.test\": max_outbound_connections 3 -> 32 (old:1)"},
		{"binding gone and come", "Binding x { }", "Binding y { max_outbound_connections = 3 }", "binding \"y\": - -> there (new:1)\nbinding \"x\": there -> - (old:1)"},
		{"regular expression", `Domain "/a/" { tls = no }`, `Domain "/a/" { tls = required }`, `domain "/a/": tls no -> required (new:1)`},
		{
			"in a binding", "Binding x { Domain a.test { } }", "Binding x { Domain a.test { retry_interval = 5m } }",
			`binding "x" / domain "a.test": retry_interval 20m -> 5m (new:1)`,
		},
		{"host", "Host mx.test { }", "Host mx.test { max_outbound_connections = 2 }", `host "mx.test": max_outbound_connections -1 -> 2 (new:1)`},
		{
			"rollups", `Rollup a { mx = ( "a*.test" ) } Rollup b { mx = ( "b*.test" ) }`, `Rollup b { mx = ( "b*.test" ) } Rollup a { mx = ( "c*.test" ) }`,
			`rollup "a": mx ( a*.test ) -> ( c*.test ) (new:1)` + "\nrollup: order a b -> b a (default)",
		},
		{
			"other stanzas", `spool { min_free = 1GB }`, `spool { min_free = 2GB } Tenant t { weight = 2 }`,
			`spool: min_free 1GB -> 2GB (new:1)` + "\ntenant \"t\": - -> there (new:1)",
		},
		{"secrets are not told", `User u { password = "one" }`, `User u { password = "two" }`, ""},
	} {
		read := func(path, text string) *policy.Snapshot {
			snap, found := (&Loader{Hostname: "h"}).Parse(path, text)
			if found.HasErrors() {
				t.Fatal(c.name, found)
			}
			return snap
		}
		var got []string
		for _, d := range policy.Compare(read("old", c.old), read("new", c.new)) {
			got = append(got, strings.Replace(fmt.Sprintf("%s: %s %s -> %s (%s)", d.Subject, d.Option, d.Old, d.New, d.Origin), ":  ", ": ", 1))
		}
		if have := strings.Join(got, "\n"); have != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, have, c.want)
		}
	}
}
