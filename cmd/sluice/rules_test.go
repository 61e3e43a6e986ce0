package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRulesTest(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"421 4.7.0 Too many connections|--host|mx.example.com", []string{
			"class     connections, scope receiver\n", "bounce    70 transient-failure (Soft), category policy-related\n", "rule      too-many-connections at builtin:rules:",
		}},
		{"550 5.1.1 hm", []string{"class     mailbox, scope recipient\n", "bounce    10 invalid-recipient (Hard), category bad-mailbox\n"}},
		{"421 4.7.0 hold the line", []string{"class     unknown: no rule knows it\n"}},
		{"421 4.7.0 hold the line|--rules|testdata/site.rules", []string{"class     connections, scope receiver\n", "rule      hold-the-line at testdata/site.rules:1; for the bounce class status-policy at builtin:rules:"}},
		{"250 ok", []string{"bounce    none: it is no refusal and no deferral\n", "rule      none\n"}},
		{"--file|testdata/rules.csv", []string{
			"REPLIES  RULE ", "2        status-policy         unknown      -          mail-block ",
			"4 replies, the class of 2 is unknown\n  2  mx.one.test  421 4.7.0 # hold the line #\n",
		}},
		{"--file|testdata/rules.csv|--rules|testdata/site.rules", []string{"2        hold-the-line ", "4 replies, the class of 0 is unknown\n"}},
	} {
		out, _, status := command(append([]string{"rules", "test"}, strings.Split(c.args, "|")...)...)
		if status != exitDone {
			t.Errorf("%s: status %d", c.args, status)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in\n%s", c.args, w, out)
			}
		}
	}
}

func TestRulesTestFailures(t *testing.T) {
	for _, c := range []struct {
		args, want string
		status     int
	}{
		{"", "give texts, or files with --file", exitUsage},
		{"text|--file|testdata/rules.csv", "give texts, or files with --file", exitUsage},
		{"text|--stage|never", "--stage never is not known", exitUsage},
		{"text|--rules|testdata/broken.rules", `testdata/broken.rules:4:11: error: rule "hold-the-line": it does not match this text, which it must`, exitFailed},
		{"text|--rules|testdata/none.rules", "no such file or directory", exitFailed},
		{"--file|testdata/none.csv", "no such file or directory", exitFailed},
		{"--file|testdata/site.rules", "no accounting records", exitFailed},
	} {
		args := []string{"rules", "test"}
		if c.args != "" {
			args = append(args, strings.Split(c.args, "|")...)
		}
		_, errs, status := command(args...)
		if status != c.status || !strings.Contains(errs, c.want) {
			t.Errorf("%s: status %d, %s", c.args, status, errs)
		}
	}
}

func TestRulesJSON(t *testing.T) {
	out, errs, _ := command("rules", "test", "--json", "--file", "testdata/rules.csv")
	var counts struct {
		Replies, Unknown int
		Rules            []struct {
			Count             int
			Rule, Class       string
			Scope, Bounce, At string
		}
		Texts []struct {
			Count   int
			Text    string
			Example string
		} `json:"unknown_texts"`
	}
	if err := json.Unmarshal([]byte(out), &counts); err != nil {
		t.Fatal(err, out)
	}
	if counts.Replies != 4 || counts.Unknown != 2 || len(counts.Rules) != 3 || counts.Rules[0].Rule != "status-policy" || len(counts.Texts) != 1 || counts.Texts[0].Count != 2 {
		t.Errorf("%+v", counts)
	}
	if !strings.Contains(errs, "testdata/rules.csv: accounting line 7: ") {
		t.Errorf("the line that is no record is not named: %s", errs)
	}
	var list []struct{ Name, Class, Bounce, Origin string }
	out, _, _ = command("rules", "list", "--json", "--rules", "testdata/site.rules")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) < 100 || list[0].Name != "hold-the-line" || list[0].Class != "connections" {
		t.Errorf("%v: %d rules", err, len(list))
	}
	out, _, _ = command("rules", "list")
	if !strings.Contains(out, "RULE ") || !strings.Contains(out, "gmail-rate-address") {
		t.Error(out)
	}
}
