package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSimulate holds the output of simulate to testdata/simulate.golden (-update writes
// it anew): figures apart.
func TestSimulate(t *testing.T) {
	const golden = "testdata/simulate.golden"
	out, errs, status := command("simulate", "--config", "testdata/simulate.conf", "--against", "testdata/simulate-new.conf", "--domains", "1", "--messages", "5000")
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if masked(out) != masked(string(want)) {
		t.Errorf("it says\n%s\nand said\n%s", out, want)
	}
}

// masked leaves figures and the width of columns out: how fast mail moves is not for this
// test to say.
func masked(s string) string {
	s = regexp.MustCompile(`[0-9]+(\.[0-9]+)?(ms|s|m|h|[0-9])*`).ReplaceAllString(s, "#")
	return regexp.MustCompile(` +`).ReplaceAllString(s, " ")
}

func TestSimulateJSON(t *testing.T) {
	out, errs, status := command("simulate", "--config", "testdata/simulate.conf", "--messages", "100", "--over", "10m", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var got struct {
		Load    string
		Results []struct {
			Finished  float64 `json:"finished_seconds"`
			Delivered int     `json:"recipients_delivered"`
			Limits    []struct {
				Option string
				File   string
				Line   int
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 1 || got.Results[0].Delivered != 100 || got.Results[0].Finished < 60 || len(got.Results[0].Limits) == 0 {
		t.Errorf("%+v", got)
	}
}

// TestSimulateRollups: it says how many domains were under a rollup, and why none could be.
func TestSimulateRollups(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "r.conf")
	for _, c := range []struct{ pattern, says, not string }{
		{"mx.*.simulated.test", "domains under a rollup  2\n", "no domain is under a rollup"},
		{"*.google.com", "no domain is under a rollup: each made-up one has a host of its own", ""},
	} {
		text := "max_outbound_connections = 20\nRollup big.rollup { mx = ( \"" + c.pattern + "\" ) }\nDomain big.rollup { max_outbound_connections = 5 }\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, status := command("simulate", "--config", conf, "--domains", "2", "--messages", "200")
		if status != 0 || !strings.Contains(out, c.says) || c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%s: status %d %s\n%s", c.pattern, status, errs, out)
		}
	}
}

func TestSimulateWrongUse(t *testing.T) {
	t.Setenv("SLUICE_CONFIG", "")
	bad := filepath.Join(t.TempDir(), "bad.conf")
	if err := os.WriteFile(bad, []byte("no_such_option = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"simulate --config testdata/simulate.conf --messages 0", 2, "one of each"},
		{"simulate --config testdata/simulate.conf --log x --messages 5", 2, "not both"},
		{"simulate --config testdata/simulate.conf --log " + bad + ".none", 1, "no such file"},
		{"simulate --config testdata/simulate.conf --latency -1s", 2, "negative"},
		{"simulate --config " + bad, 1, "no_such_option"},
		{"simulate --config testdata/simulate.conf extra", 2, "extra"},
	} {
		out, errs, status := command(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("%s: status %d, %q %q", c.args, status, out, errs)
		}
	}
}
