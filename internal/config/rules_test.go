package config

import (
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
)

// TestBuiltinRules tries every built-in rule on its texts.
func TestBuiltinRules(t *testing.T) {
	layer, off, diags := readRules(classify.BuiltinName, classify.Builtin)
	for _, d := range diags {
		t.Error(d)
	}
	_, findings := classify.Compile(layer)
	for _, d := range ruleFindings(findings) {
		t.Error(d)
	}
	texts := 0
	for i := range layer {
		texts += len(layer[i].Match) + len(layer[i].NoMatch)
	}
	if len(layer) < 100 || texts < 200 || len(off) > 0 {
		t.Errorf("%d rules with %d texts, %d off", len(layer), texts, len(off))
	}
}

func TestRuleErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no name", `Rule { code = 421 }`, `1:1: error: a rule needs a name`},
		{"no stanza", `code = 421`, `1:1: error: a file of reply rules holds stanzas`},
		{"other stanza", `Domain "x" { }`, `1:1: error: a file of reply rules holds stanzas`},
		{"unknown option", "Rule \"a\" {\n  txt = abcd\n}", `2:3: error: unknown option "txt" in a rule; allowed: receiver, code`},
		{"did you mean", "Rule \"a\" {\n  recever = abcd\n}", `(did you mean receiver?)`},
		{"twice", `Rule "a" { code = 421 code = 422 }`, `1:23: error: code is given twice`},
		{"bounce", `Rule "a" { bounce = mailboxfull }`, `1:21: error: bounce = "mailboxfull" is not known; allowed: undetermined, `},
		{"class", `Rule "a" { class = slow }`, `1:20: error: class = "slow" is not known; allowed: connections, `},
		{"scope", `Rule "a" { scope = all }`, `1:20: error: scope = "all" is not known; allowed: recipient, sender, queue, receiver, binding`},
		{"stage", `Rule "a" { stage = hello }`, `1:20: error: stage = "hello" is not known; allowed: resolve, connect, greeting, ehlo`},
		{"category", `Rule "a" { category = "a b" }`, `category = "a b" is not known; allowed: a word`},
		{"one value", `Rule "a" { class = ( dns other ) }`, `1:20: error: class takes one value`},
		{"empty list", `Rule "a" { text = ( ) }`, `1:19: error: the list is empty`},
		{"group", `Rule "a" { text = [ a = b ] }`, `1:19: error: a rule takes no [ ... ] group`},
		{"nested", `Rule "a" { Rule "b" { } }`, `1:12: error: a rule holds NAME = VALUE only`},
		{"code", `Rule "a" { code = 4x class = dns match = "421 x" }`, `1:1: error: rule "a": code "4x"; allowed: a reply code`},
		{"enhanced", `Rule "a" { enhanced = 4.7 class = dns match = "421 x" }`, `rule "a": enhanced "4.7"; allowed: an enhanced code`},
		{"expression", `Rule "a" { text = "/(/" class = dns match = "421 x" }`, `rule "a": text "/(/": error parsing regexp`},
		{"no RE2", `Rule "a" { text = "/(?!a)b/" class = dns match = "421 x" }`, `rule "a": text "/(?!a)b/": error parsing regexp`},
		{"matches all", `Rule "a" { text = "/a*/" class = dns match = "421 x" }`, `it matches the empty text`},
		{"short", `Rule "a" { text = abc class = dns match = "421 abc" }`, `a phrase needs a part of at least 4 characters`},
		{"long", `Rule "a" { text = "` + strings.Repeat("x", 1000) + `" class = dns match = "421 abc" }`, `longer than 800 octets`},
		{"receiver", `Rule "a" { receiver = "mx*.test" class = dns match = "421 abc" }`, `rule "a": receiver "mx*.test"; allowed: a host in lower case`},
		{"no condition", `Rule "a" { class = dns match = "421 abc" }`, `rule "a": it would match every reply`},
		{"no effect", `Rule "a" { code = 421 match = "421 abc" }`, `rule "a": it decides nothing`},
		{"scope alone", `Rule "a" { code = 421 bounce = dns-failure scope = queue match = "421 abc" }`, `scope belongs to class`},
		{"category alone", `Rule "a" { code = 421 category = c class = dns match = "421 abc" }`, `category belongs to bounce`},
		{"mailbox slows", `Rule "a" { code = 421 class = mailbox scope = queue match = "421 abc" }`, `a mailbox or a message never slows a queue`},
		{"no vector", `Rule "a" { code = 421 class = dns }`, `1:1: error: rule "a" has no test`},
		{"vector fails", "Rule \"a\" { code = 421 class = dns\n  match = ( \"421 x\" \"422 x\" ) }", `2:21: error: rule "a": it does not match this text`},
		{"nomatch fails", "Rule \"a\" { code = 421 class = dns match = \"421 x\"\n  nomatch = \"421 x\" }", `2:13: error: rule "a": it matches this text, which it must not`},
		{"hidden", "Rule \"a\" { code = 4xx class = dns match = \"421 x\" }\nRule \"b\" { code = 421 class = other\n  match = \"421 x\" }", `3:11: error: rule "b": this text is decided by rule "a", line 1`},
		{"same name", "Rule \"a\" { code = 4xx class = dns match = \"421 x\" }\nRule \"a\" { code = 5xx class = other match = \"521 x\" }", `2:1: error: rule "a" is there already`},
		{"off, unknown", `Rule "a" { enabled = off }`, `1:22: error: rule "a": enabled = off is for a built-in rule`},
		{"off, more", `Rule "spam" { enabled = off class = dns }`, `1:1: error: rule "spam": a rule that is off holds nothing else`},
		{"a delivery", `Rule "a" { code = 2xx class = dns match = "250 ok" }`, `this text is no refusal and no deferral`},
	} {
		rules, diags := ParseRules("site.rules", c.text)
		if rules != nil || !strings.Contains(diags.Err().Error(), c.want) {
			t.Errorf("%s: %v\n  want %s", c.name, diags.Err(), c.want)
		}
	}
}

func TestRulesOfASite(t *testing.T) {
	rules, diags := ParseRules("site.rules", `
Rule "ours" { receiver = "*.example.com" text = "spam" class = message-rate bounce = soft-bounce category = ours match = "421 spam" }
Rule "spam" { text = "spam" class = other match = "421 spam" }
Rule "mailbox-full" { enabled = off }
`)
	if diags != nil {
		t.Fatal(diags)
	}
	judge := func(text, host, domain string) classify.Judgement {
		return rules.Judge(&classify.Subject{Reply: classify.ParseReply(text), Host: host, Domain: domain})
	}
	if j := judge("550 spam", "mx.example.com", "d"); j.Cause != classify.CauseMessageRate || j.Bounce != classify.BounceSoft || j.Category != "ours" || j.CauseRule.Origin.Line != 2 {
		t.Errorf("the site's rule: %+v", j)
	}
	if j := judge("550 spam", "mx.example.org", "d"); j.Cause != classify.CauseOther || j.BounceRule != nil {
		t.Errorf("in place of the built-in rule: %+v", j)
	}
	if j := judge("552 mailbox is full", "mx.example.org", "d"); j.CauseRule != nil && j.CauseRule.Name == "mailbox-full" {
		t.Errorf("switched off: %+v", j)
	}
	if n := len(BuiltinRules().List()); len(rules.List()) != n+2-2 {
		t.Errorf("%d rules, built in are %d", len(rules.List()), n)
	}
	rules, diags = ParseRules("r", `Rule "at-mail" { stage = mail code = none receiver = "big.rollup" class = trouble match = "x-sluice;lost" }`)
	if diags != nil {
		t.Fatal(diags)
	}
	for _, c := range []struct {
		stage  mail.Stage
		domain string
		want   bool
	}{{mail.StageMail, "big.rollup", true}, {mail.StageNone, "big.rollup", true}, {mail.StageRcpt, "big.rollup", false}, {mail.StageMail, "one.test", false}} {
		j := rules.Judge(&classify.Subject{Reply: mail.Reply{Stage: c.stage, Text: "hm"}, Host: "mx.test", Domain: c.domain})
		if (j.Cause == classify.CauseTrouble) != c.want {
			t.Errorf("%v at %s: %v", c.stage, c.domain, j.Cause)
		}
	}
}

func FuzzRules(f *testing.F) {
	f.Add(classify.Builtin[:3000], "421 4.7.0 too many connections")
	f.Add(`Rule "a" { text = ( "/a+b{2}(cd|ef)/" "phrase" ) class = dns match = "421 aabbcd" }`, "550-5.1.1 x\n550 5.1.1 y")
	f.Add(`Rule "a" { enabled = off }`, "")
	f.Fuzz(func(t *testing.T, text, reply string) {
		layer, _, _ := readRules("f", text)
		rules, _ := classify.Compile(layer)
		if rules == nil {
			return
		}
		j := rules.Judge(&classify.Subject{Reply: classify.ParseReply(reply)})
		if (j.Cause == classify.CauseMailbox || j.Cause == classify.CauseContent) && j.Reach > classify.ReachSender {
			t.Errorf("%v reaches %v", j.Cause, j.Reach)
		}
	})
}
