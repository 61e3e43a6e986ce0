package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/admin"
)

// TestPlanAgainst compares two files without a server.
func TestPlanAgainst(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old := file("old.conf", "Binding x { }\nDomain \"/re/\" { tls = no }\n")
	next := file("new.conf", "max_outbound_connections = 8\nDomain \"/re/\" { tls = required }\n")
	for _, c := range []struct {
		args   []string
		status int
		says   []string
	}{
		{[]string{"--config", old, "--against", old}, 0, []string{"nothing would change against"}},
		{[]string{"--config", next, "--against", old}, 3, []string{
			"global (" + next + ":1): max_outbound_connections 32 -> 8",
			`domain "/re/" (` + next + ":2): tls no -> required",
			`binding "x" (` + old + ":1): would go",
		}},
		{[]string{"--config", file("bad.conf", "max_mx_host = 1\n"), "--against", old}, 1, []string{"did you mean max_mx_hosts"}},
		{[]string{"--config", next, "--admin", "unix:" + dir + "/none.sock"}, 1, []string{"no server answers"}},
	} {
		out, errs, status := command(append([]string{"plan"}, c.args...)...)
		if status != c.status {
			t.Errorf("plan %v: status %d, want %d\n%s%s", c.args, status, c.status, out, errs)
		}
		for _, s := range c.says {
			if !strings.Contains(out+errs, s) {
				t.Errorf("plan %v does not say %q:\n%s%s", c.args, s, out, errs)
			}
		}
	}
}

// TestPrintPlan is what an operator reads of everything a plan may hold.
func TestPrintPlan(t *testing.T) {
	var b strings.Builder
	if err := printPlan(&b, &admin.Plan{
		Changed: true, Against: "/etc/sluice.conf", Queues: 12345, Hosts: 1,
		Changes: []admin.PlanChange{
			{Option: "max_outbound_connections", Old: "32", New: "8", Stanza: `domain "/re/"`, File: "new.conf", Line: 3, Of: "domain", Count: 12034, Examples: []string{"a.test", "b.test"}},
			{Option: "server_max_outbound_connections", Old: "200", New: "unlimited", Stanza: `binding "x"`, File: "old.conf", Line: 4, Of: "binding", Count: 1, Examples: []string{"x"}},
			{Option: "server_max_outbound_connections", Old: "75000", New: "100", Stanza: "global", File: "new.conf", Line: 1, Of: "server", Count: 1, Examples: []string{"server"}},
			{Option: "", Old: "-", New: "there", Stanza: `tenant "t"`, File: "new.conf", Line: 9, Of: "name"},
		},
		More:    2,
		Routes:  []admin.PlanRoute{{From: "", To: "big", Domains: 1000, Unknown: 3, Examples: []string{"c.test"}}, {Domains: 1, Examples: []string{"d.test"}}},
		Removed: []admin.PlanGone{{Binding: "y", Connections: 1, Queued: 2, Ready: 3}}, Added: []string{"z"},
		Drains:  []admin.PlanDrain{{Counter: "max_outbound_connections x/\x1b[2J", Connections: 32, Limit: 8, Over: 24}},
		Restart: []string{"spool: its settings change at the next start"},
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.golden", b.String())
}
