package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, host string
		want          bool
	}{
		{"*.google.com", "aspmx.l.google.com", true},
		{"*.google.com", "google.com", false},
		{"*google.com", "google.com", true},
		{"*.google.com", "google.com.evil.test", false},
		{"mx*.one.test", "mx.one.test", true},
		{"mx*.one.test", "mx1.a.b.one.test", true},
		{"mx1.one.test", "mx1.one.test", true},
		{"mx1.one.test", "mx11.one.test", false},
		{"*", "anything.test", true},
		{"*.mail.*.test", "a.mail.b.mail.c.test", true},
		{"a*b*c", "abbbc", true},
		{"a*b*c", "abbb", false},
		{"", "", true},
		{"", "x", false},
	} {
		if got := Match(c.pattern, c.host); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.host, got)
		}
	}
}

// A pattern of many stars against a long name costs no more than their product.
func TestMatchIsBounded(t *testing.T) {
	pattern := strings.Repeat("*a", 100) + "b"
	if Match(pattern, strings.Repeat("a", 250)) {
		t.Error("matched without a b")
	}
}

func TestRollup(t *testing.T) {
	rollups := []policy.Rollup{
		{Name: "first.rollup", MX: []string{"*.one.test"}},
		{Name: "wide.rollup", MX: []string{"*.one.test", "*.two.test"}},
	}
	set := func(m policy.RollupMode, name string) policy.RollupSetting {
		return policy.RollupSetting{Mode: m, Name: name}
	}
	apart := set(policy.RollupAuto, "")
	apart.Apart = "max_outbound_connections"
	for _, c := range []struct {
		name    string
		setting policy.RollupSetting
		best    string
		named   string
		want    string
	}{
		{"the first that matches", set(policy.RollupStanzas, ""), "mx.one.test", "", "first.rollup"},
		{"all hosts must match one", set(policy.RollupStanzas, ""), "mx.one.test mx.two.test", "", "wide.rollup"},
		{"one does not", set(policy.RollupStanzas, ""), "mx.one.test mx.three.test", "", ""},
		{"none", set(policy.RollupNone, ""), "mx.one.test", "", ""},
		{"off", set(policy.RollupOff, ""), "mx.one.test", "", ""},
		{"no hosts", set(policy.RollupStanzas, ""), "", "", ""},
		{"named", set(policy.RollupNamed, "wide.rollup"), "mx.one.test", "", "wide.rollup"},
		{"named, not its own", set(policy.RollupNamed, "first.rollup"), "mx.two.test", "", ""},
		{"auto: a rollup goes first", set(policy.RollupAuto, ""), "mx.two.test", "", "wide.rollup"},
		{"auto", set(policy.RollupAuto, ""), "b.test a.test", "", "auto:a.test+b.test"},
		{"apart", apart, "mx.one.test", "", ""},
		{"domain", set(policy.RollupDomain, "big.test"), "mx.big.test", "mx.big.test mx2.big.test", "big.test"},
		{"domain, not all", set(policy.RollupDomain, "big.test"), "mx.big.test other.test", "mx.big.test", ""},
		{"domain that takes no mail", set(policy.RollupDomain, "big.test"), "mx.big.test", "", ""},
		{"the domain itself", set(policy.RollupDomain, "d.test"), "mx.big.test", "mx.big.test", ""},
	} {
		q := Question{Domain: "d.test", Best: strings.Fields(c.best), Setting: c.setting, Rollups: rollups, Named: strings.Fields(c.named)}
		if got := Rollup(q); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAutoName(t *testing.T) {
	a, b := []string{"b.test", "a.test", "b.test"}, []string{"a.test", "b.test"}
	if AutoName(a) != AutoName(b) || !slices.Equal(a, []string{"b.test", "a.test", "b.test"}) {
		t.Errorf("the same set gives %q and %q; %v", AutoName(a), AutoName(b), a)
	}
	var many []string
	names := map[string]bool{}
	for i := range 200 {
		many = append(many, fmt.Sprintf("mx%d.a-rather-long-name.test", i))
		name := AutoName(many)
		if len(name) > 255 || names[name] {
			t.Fatalf("%d hosts: %q is too long, or another set's", len(many), name)
		}
		names[name] = true
	}
	if got := AutoName(many); !strings.HasPrefix(got, "auto:mx0.a-rather-long-name.test+199#") {
		t.Errorf("a long set is %q", got)
	}
}

func TestReason(t *testing.T) {
	at := policy.Origin{Stanza: `domain "one.test"`, File: "s.conf", Line: 7}
	for _, c := range []struct {
		p       policy.Queue
		routing string
		want    string
	}{
		{policy.Queue{}, "one.test", ""},
		{policy.Queue{Under: policy.Under{Kind: policy.UnderRollup, Origin: at}}, "g.rollup", "rolled up under g.rollup by s.conf:7"},
		{policy.Queue{Under: policy.Under{Kind: policy.UnderAuto, Origin: at}}, "auto:a.test", "rolled up under auto:a.test by s.conf:7 (mx_rollup = auto)"},
		{policy.Queue{Under: policy.Under{Kind: policy.UnderDomain, Origin: at}}, "big.test", "rolled up under big.test by s.conf:7 (mx_rollup = big.test)"},
		{policy.Queue{Under: policy.Under{Kind: policy.UnderGateway, Origin: at}}, "relay.test", "counted under its gateway relay.test, set at s.conf:7"},
		{
			policy.Queue{Rollup: policy.RollupSetting{Mode: policy.RollupStanzas, Apart: "routes", ApartOrigin: at}},
			"one.test",
			`not rolled up: domain "one.test" sets routes at s.conf:7 and does not name the rollup with mx_rollup`,
		},
		{policy.Queue{Rollup: policy.RollupSetting{Mode: policy.RollupOff, Origin: at}}, "one.test", "not rolled up: mx_rollup = off at s.conf:7"},
		{policy.Queue{Rollup: policy.RollupSetting{Mode: policy.RollupStanzas}}, "one.test", "not rolled up: its best MX hosts match no Rollup"},
		{policy.Queue{Rollup: policy.RollupSetting{Mode: policy.RollupDomain, Name: "one.test", Origin: at}}, "one.test", ""},
	} {
		if got := Reason(&c.p, "one.test", c.routing); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
