package classify

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

func TestFold(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", " "},
		{" \n\t ", " "},
		{"Too  Many\nConnections ", " too many connections "},
		{"Boîte PLEINE\r\n", " boîte pleine "},
		{strings.Repeat("x", 3000), " " + strings.Repeat("x", maxText-2) + " "},
	} {
		if got := string(fold(nil, c.in)); got != c.want {
			t.Errorf("%.40q: %.60q", c.in, got)
		}
	}
}

func TestParseReply(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mail.Reply
	}{
		{"smtp;421 4.7.0 busy", mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "busy"}},
		{"550 no such user", mail.Reply{Code: 550, Text: "no such user"}},
		{"550-5.1.1 The account\n550 5.1.1 does not exist", mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "The account\ndoes not exist"}},
		{"550-5.1.1 The account 550 5.1.1 does not exist", mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "The account does not exist"}},
		{"554-a 554-b 554 c", mail.Reply{Code: 554, Text: "a b 554 c"}},
		{"550 4.7.1 other class", mail.Reply{Code: 550, Text: "4.7.1 other class"}},
		{"4.7.32 no code", mail.Reply{Enhanced: "4.7.32", Text: "no code"}},
		{"553 sorry (#5.7.1)", mail.Reply{Code: 553, Text: "sorry (#5.7.1)"}},
		{"x-sluice;connection lost", mail.Reply{Text: "connection lost"}},
		{"5501 is no code", mail.Reply{Text: "5501 is no code"}},
		{"421", mail.Reply{Code: 421}},
		{"", mail.Reply{}},
	} {
		got := ParseReply(c.in)
		got.Text = strings.Join(strings.FieldsFunc(got.Text, func(r rune) bool { return r == ' ' }), " ")
		got.Text = strings.ReplaceAll(got.Text, "\n ", "\n")
		if got != c.want {
			t.Errorf("%q: %+v", c.in, got)
		}
	}
}

func TestRequired(t *testing.T) {
	for _, c := range []struct {
		expr string
		want []string
	}{
		{"too many connections", []string{"too many connections"}},
		{"(over|exceeded) quota", []string{" quota"}},
		{"(overdrawn|exceeded)", []string{"overdrawn", "exceeded"}},
		{"(over|ab)", nil},
		{"a*b?", nil},
		{"gr[ae]ylist", []string{"ylist"}},
		{"(?:Maximum)+ x", []string{"maximum"}},
		{"(spamhaus)?", nil},
		{"(spamhaus){2,3}", []string{"spamhaus"}},
		{`\bRL0000[0-9]+`, []string{"rl0000"}},
		{"größe", nil},
	} {
		if got := required(c.expr); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.expr, got, c.want)
		}
	}
}

// TestGramsFindAll compares the index with a search for each literal.
func TestGramsFindAll(t *testing.T) {
	literals := []string{"aaaa", "aaab", "abab", "too many", "many connections", "y con", "zzzz"}
	users := map[string][]uint16{}
	for i, l := range literals {
		users[l] = []uint16{uint16(i)}
	}
	g := newGrams(literals, users, []string{"too many connections"})
	for _, text := range []string{"", "aaa", "aaaa", "xaaaab", "ababab", "too many connections", "we say: too many connections, zzz", "zzzzz"} {
		var set ruleSet
		g.mark([]byte(text), &set)
		for i, l := range literals {
			if has := set[0]&(1<<i) != 0; has != strings.Contains(text, l) {
				t.Errorf("%q in %q: %v", l, text, has)
			}
		}
	}
}

func TestStatusPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, status string
		want            bool
	}{
		{"4.7.28", "4.7.28", true},
		{"4.7.28", "5.7.28", false},
		{"x.7.28", "5.7.28", true},
		{"x.7.*", "4.7.650", true},
		{"x.7.*", "4.2.2", false},
		{"5.*.*", "5.1.1", true},
	} {
		p, ok := parseStatusPattern(c.pattern)
		s, ok2 := parseStatus(c.status)
		if !ok || !ok2 || p.covers(s) != c.want {
			t.Errorf("%s %s", c.pattern, c.status)
		}
	}
	for _, bad := range []string{"", "4", "4.7", "3.1.1", "x.x.1", "4.7.1234", "4.7.a", "*.1.1", "4.7.1.1"} {
		if _, ok := parseStatusPattern(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNames(t *testing.T) {
	for _, n := range CauseNames() {
		if c, ok := ParseCause(n); !ok || c.String() != n {
			t.Error(n)
		}
	}
	for _, n := range ReachNames() {
		if r, ok := ParseReach(n); !ok || r.String() != n {
			t.Error(n)
		}
	}
	for _, b := range Bounces() {
		if p, ok := ParseBounce(b.String()); !ok || p != b || b.Kind() == "" {
			t.Error(b)
		}
	}
	if len(Bounces()) != 20 || Cause(99).String() != "unknown" || Bounce(0).String() != "" {
		t.Error("names")
	}
	if _, ok := ParseCause("unknown"); ok {
		t.Error("a rule may not say that it does not know")
	}
}

func TestPhrases(t *testing.T) {
	for _, c := range []struct {
		phrase, text string
		want         bool
	}{
		{"Too  many", "we say: too\nMANY things", true},
		{"user|recipient ... unknown|not found", "User <a@b.example> unknown", true},
		{"user|recipient ... unknown|not found", "user here. Host unknown", false},
		{"user|recipient ... unknown|not found", "user here; host unknown", false},
		{"user|recipient ... unknown|not found", "user here. The recipient was not found", true},
		{"user ... unknown", "unknown user", false},
		{"user ... unknown", "user " + strings.Repeat("x", maxGap) + " unknown", false},
		{"user ... unknown", "user " + strings.Repeat("x", maxGap-2) + " unknown", true},
		{"ab ... cd ... user", "ab cd user", true},
		{"ab ... cd ... user", "ab user cd", false},
		{" spam ", "spam", true},
		{" spam ", "this is spam", true},
		{" spam ", "spamhaus", false},
		{"useruser|user ... rx", "useruserx rx", true},
	} {
		p, err := parsePattern(c.phrase)
		if err != nil {
			t.Fatal(err)
		}
		if p.holds(fold(nil, c.text)) != c.want {
			t.Errorf("%q in %q: not %v", c.phrase, c.text, c.want)
		}
	}
	for _, bad := range []string{"", "abc", "ab|abcd", "user ... ", "a ... b ... c", "user||x", "abcd ... b ... c ... d ... e", "   "} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
