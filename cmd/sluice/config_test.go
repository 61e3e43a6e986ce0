package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// command runs a command line and returns what it printed and its exit status.
func command(args ...string) (stdout, stderr string, status int) {
	var out, errs bytes.Buffer
	status = run(args, &out, &errs)
	return out.String(), errs.String(), status
}

const cases = "../../internal/config/testdata/cases/"

// TestEvalCases asks every question of the cases by the command line.
func TestEvalCases(t *testing.T) {
	files, err := filepath.Glob(cases + "*.eval")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		conf := strings.TrimSuffix(f, ".eval") + ".conf"
		if _, errs, status := command("config", "check", conf); status != exitDone {
			t.Errorf("check %s: %d\n%s", conf, status, errs)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			args := append([]string{"config", "eval", "--config", conf}, strings.Fields(strings.TrimPrefix(lines[i], "$ "))...)
			out, errs, status := command(args...)
			if out != lines[i+1]+"\n" || errs != "" || status != exitDone {
				t.Errorf("%s: %d %s\n got %swant %s", lines[i], status, errs, out, lines[i+1])
			}
		}
	}
}

func TestEvalWhy(t *testing.T) {
	out, _, status := command("config", "eval", "--why", "--config", cases+"seed000-scopes.conf", "binding", "other", "domain", "example.com", "max-smtp-out")
	want := `Max_Outbound_Connections = 5
  from binding_group "group1" (` + cases + `seed000-scopes.conf:9:3)
  asked, most specific first:
    binding_group::binding::domain  no stanza matches
    binding_group::domain           no stanza matches
    binding                         binding_group "group1" / binding "other" (` + cases + `seed000-scopes.conf:21): not set
    binding_group                   binding_group "group1" (` + cases + `seed000-scopes.conf:9): set
`
	if out != want || status != exitDone {
		t.Errorf("%d\n%s", status, out)
	}
	out, _, _ = command("config", "eval", "--json", "--config", cases+"seed000-host.conf", "host", "example.com", "max_outbound_connections")
	var v policy.AnswerView
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Value == nil || *v.Value != "-1" || v.Level != "default" || len(v.Asked) != 1 {
		t.Errorf("%v %s", err, out)
	}
}

func TestEvalMistakes(t *testing.T) {
	conf := cases + "seed000-scopes.conf"
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"binding", "othr", "tls"}, exitFailed, `unknown binding "othr" (did you mean other?)`},
		{[]string{"binding_group", "group2", "tls"}, exitFailed, `unknown binding_group "group2" (did you mean group1?)`},
		{[]string{"binding_group", "group1", "binding", "outside", "tls"}, exitFailed, `binding "outside" is in global, not in binding_group "group1"`},
		{[]string{"max_outbound_conections"}, exitFailed, "did you mean max_outbound_connections?"},
		{[]string{"domian", "a.test", "tls"}, exitFailed, `unknown scope "domian" (did you mean domain?)`},
		{[]string{"domain", "a b", "tls"}, exitFailed, "not a domain name"},
		{[]string{"domain", "tls"}, exitFailed, "no option given"},
		{[]string{"host", "mx.test", "tls"}, exitFailed, "tls is not asked for a host"},
		{[]string{"relay_networks"}, exitFailed, "belongs to a stanza of its own"},
		{[]string{"domain", "/x/", "tls"}, exitFailed, "ask for a name"},
		{[]string{"domain", "a.test", "domain", "b.test", "tls"}, exitFailed, "named twice"},
		{nil, exitUsage, "requires at least 1 arg"},
		{[]string{"--no-such-flag", "tls"}, exitUsage, "unknown flag"},
	} {
		out, errs, status := command(append([]string{"config", "eval", "--config", conf}, c.args...)...)
		if status != c.status || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d\n%s%s", c.args, status, out, errs)
		}
	}
}

func TestCheckOfErrors(t *testing.T) {
	out, errs, status := command("config", "check", "../../internal/config/testdata/twenty.conf")
	if status != exitFailed || strings.Count(out, ": error: ") < 20 || !strings.Contains(errs, "errors, ") {
		t.Errorf("%d %s\n%s", status, errs, out)
	}
	out, _, status = command("config", "check", "--json", "../../internal/config/testdata/twenty.conf")
	var ds []map[string]any
	if err := json.Unmarshal([]byte(out), &ds); err != nil || status != exitFailed || len(ds) < 20 {
		t.Errorf("%d %v", status, err)
	}
	if _, errs, status := command("config", "check", "no-such.conf", "and-more"); status != exitUsage {
		t.Errorf("%d %s", status, errs)
	}
}

func TestFmtInPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.conf")
	if err := os.WriteFile(file, []byte("Max-SMTP-Out=5 # c\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, _, status := command("config", "fmt", "-l", file); status != exitFailed || out != file+"\n" {
		t.Errorf("%d %q", status, out)
	}
	if out, errs, status := command("config", "fmt", "-w", file); status != exitDone || out+errs != "" {
		t.Errorf("%d %s%s", status, out, errs)
	}
	data, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || string(data) != "max-smtp-out = 5 # c\n" || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %q %v", err, data, info.Mode())
	}
	if out, _, status := command("config", "fmt", "-l", file); status != exitDone || out != "" {
		t.Errorf("%d %q", status, out)
	}
}

func TestShowAndReference(t *testing.T) {
	out, _, status := command("config", "show", cases+"seed004-powermta.conf")
	if status != exitDone || !strings.Contains(out, "  retry_interval = ( 30m )") || !strings.Contains(out, "seed004-powermta.conf:3") {
		t.Errorf("%d\n%s", status, out)
	}
	out, _, status = command("config", "show", "--json", "--all", cases+"seed000-host.conf")
	if status != exitDone || !json.Valid([]byte(out)) || !strings.Contains(out, `"server_max_outbound_connections"`) {
		t.Errorf("%d\n%s", status, out)
	}
	out, _, status = command("config", "reference", "max-smtp-out")
	if status != exitDone || !strings.HasPrefix(out, "max_outbound_connections\n") || !strings.Contains(out, "32; for a host -1") {
		t.Errorf("%d\n%s", status, out)
	}
	if out, _, _ := command("config", "reference", "--json"); !json.Valid([]byte(out)) {
		t.Errorf("%s", out)
	}
	if _, errs, status := command("config", "reference", "nonsense_option"); status != exitFailed || !strings.Contains(errs, "unknown option") {
		t.Errorf("%d %s", status, errs)
	}
}

func TestCompletion(t *testing.T) {
	conf := cases + "seed000-scopes.conf"
	out, _, _ := command("__complete", "config", "eval", "--config", conf, "binding", "")
	if !strings.HasPrefix(out, "default\nexample\nother\noutside\n") {
		t.Errorf("%s", out)
	}
	out, _, _ = command("__complete", "config", "eval", "--config", conf, "binding", "other", "max_o")
	if !strings.HasPrefix(out, "max_outbound_connections\n") && !strings.Contains(out, "\nmax_outbound_connections\n") {
		t.Errorf("%s", out)
	}
}

func TestRoot(t *testing.T) {
	if out, _, status := command("--version"); status != exitDone || !strings.HasPrefix(out, "sluice ") {
		t.Errorf("%d %q", status, out)
	}
	if _, errs, status := command("nonsense"); status != exitUsage || !strings.Contains(errs, "unknown command") {
		t.Errorf("%d %q", status, errs)
	}
	if out, _, status := command("config", "eval", "--help"); status != exitDone || !strings.Contains(out, "Examples:") {
		t.Errorf("%d %q", status, out)
	}
}

func TestUnknownSubcommandIsWrongUse(t *testing.T) {
	for _, name := range []string{"config", "queue", "binding"} {
		if _, errs, status := command(name, "bogus"); status != exitUsage || !strings.Contains(errs, "bogus") {
			t.Errorf("%s bogus: %d %s", name, status, errs)
		}
		if out, _, status := command(name); status != exitDone || !strings.Contains(out, "Usage:") {
			t.Errorf("%s: %d", name, status)
		}
	}
}
