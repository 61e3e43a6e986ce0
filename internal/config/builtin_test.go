package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

func TestReceivers(t *testing.T) {
	snap, diags := (&Loader{Hostname: "mta.test"}).Parse("sluice.conf", "Rollup \"mine\" { mx = ( \"*.free.fr\" ) }\ninclude \"builtin:receivers\"\nDomain \"gmail.rollup\" { max_outbound_connections = 8 }\n")
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if len(snap.Rollups) < 15 || snap.Rollups[0].Name != "mine" {
		t.Errorf("%d rollups", len(snap.Rollups))
	}
	for _, c := range []struct{ domain, option, value, file string }{
		{"yahoo.rollup", "max_deliveries_per_connection", "20", "builtin:receivers"},
		{"gmail.rollup", "max_outbound_connections", "8", "sluice.conf"},
		{"gmail.rollup", "max_deliveries_per_connection", "50", "builtin:receivers"},
	} {
		a := snap.Eval(policy.Question{Binding: "default", Domain: c.domain, Option: policy.Lookup(policy.ScopeDomain, c.option)})
		if a.Value.Text != c.value || a.Origin.File != c.file || a.Origin.Line == 0 {
			t.Errorf("%s %s: %+v", c.domain, c.option, a)
		}
	}
}

// TestReceiversSayWhereTheyKnowItFrom: every value has its provenance beside it.
func TestReceiversSayWhereTheyKnowItFrom(t *testing.T) {
	value := regexp.MustCompile(`^  [a-z_]+ = `)
	source := regexp.MustCompile(`# (published|told|practice)\b`)
	n := 0
	for i, l := range strings.Split(receivers, "\n") {
		if value.MatchString(l) {
			if n++; !source.MatchString(l) {
				t.Errorf("receivers.conf:%d: %s", i+1, l)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d values", n)
	}
}

func TestIncludeBuiltinErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`include "builtin:recievers"`, `include "builtin:recievers": nothing of that name comes with the program; allowed: builtin:receivers (did you mean builtin:receivers?)`},
		{`Binding "b" { include "builtin:receivers" }`, `its stanzas are global; include it outside of binding`},
	} {
		_, diags := (&Loader{Hostname: "mta.test"}).Parse("sluice.conf", c.text)
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// TestReceiversPage holds the table of the manual to the pack.
func TestReceiversPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/receivers.md")
	if err != nil {
		t.Fatal(err)
	}
	snap, diags := (&Loader{Hostname: "mta.test"}).Parse("sluice.conf", `include "builtin:receivers"`)
	if diags != nil {
		t.Fatal(diags)
	}
	for i := range snap.Rollups {
		name := snap.Rollups[i].Name
		_, row, ok := strings.Cut(string(page), "| `"+name+"` |")
		row, _, _ = strings.Cut(row, "\n")
		cells := strings.Split(row, "|")
		if !ok || len(cells) < 3 {
			t.Errorf("%s is not in the table", name)
			continue
		}
		for cell, option := range map[string]string{cells[1]: "max_outbound_connections", cells[2]: "max_deliveries_per_connection"} {
			have := snap.Eval(policy.Question{Binding: "default", Domain: name, Option: policy.Lookup(policy.ScopeDomain, option)})
			said, _, _ := strings.Cut(strings.TrimSpace(cell), " ")
			if said == "" && have.Level == "default" {
				continue
			}
			if said != have.Value.Text {
				t.Errorf("%s %s: the table says %q, the pack %s", name, option, said, have.Value.Text)
			}
		}
	}
}
