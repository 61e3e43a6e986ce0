package main

import (
	"strings"
	"testing"
)

// TestReport reads a file in the form of an older PowerMTA.
func TestReport(t *testing.T) {
	const file = "testdata/powermta40.csv"
	for _, c := range []struct {
		args string
		want []string
	}{
		{"", []string{
			"DOMAIN    ATTEMPTS  DEFERRED  BOUNCED  RATE\n", "one.test  49        6         1        12.2 %  ## investigate\n",
			"ip-2     24        6         0        25.0 %  ##### reduce\n", "198.51.100.7  25        0         1        0.0 %\n",
			"6        one.test  connections  receiver   421 4.7.0 too many connections from # id #\n",
			"one.test, 12.2 %: some source addresses only (198.51.100.8): their reputation, not the configuration\n",
		}},
		{"--csv", []string{"group,name,attempts,deferred,bounced,deferral_rate,mark\ndomain,one.test,49,6,1,0.1224,investigate\n", "source,198.51.100.8,24,6,0,0.2500,reduce\n"}},
		{"--json", []string{`"deferral_rate": 0.25`, `"kind": "addresses"`, `"class": "connections"`}},
	} {
		args := []string{"report", file}
		if c.args != "" {
			args = append(args, c.args)
		}
		out, errs, status := command(args...)
		if status != exitDone || errs != "" {
			t.Errorf("%s: status %d, %s", c.args, status, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in\n%s", c.args, w, out)
			}
		}
	}
	if _, _, status := command("report"); status != exitUsage {
		t.Error("without a file: status", status)
	}
	if _, _, status := command("report", "--csv", "--json", file); status != exitUsage {
		t.Error("two forms: status", status)
	}
}
