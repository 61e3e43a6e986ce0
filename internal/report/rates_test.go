package report

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestRates(t *testing.T) {
	rules := config.BuiltinRules()
	n := NewRates()
	add := func(domain, binding, ip string, delivered, deferred int) {
		r := account.Record{Domain: domain, Binding: binding}
		if ip != "" {
			r.Local = netip.MustParseAddr(ip)
		}
		for i := range delivered + deferred {
			r.Kind, r.Diag = sched.RecordDelivered, "smtp;250 ok"
			if i >= delivered {
				r.Kind, r.Diag, r.Status = sched.RecordDeferred, "smtp;421 4.7.0 too many connections", "4.7.0"
			}
			n.Add(&r, rules)
		}
	}
	add("good.test", "a", "192.0.2.1", 95, 5)      // exactly 5 %: no mark
	add("one-bad.test", "a", "192.0.2.1", 100, 0)  // the other address is in trouble
	add("one-bad.test", "b", "192.0.2.2", 70, 30)  //
	add("all-bad.test", "a", "192.0.2.1", 80, 20)  // alike
	add("all-bad.test", "b", "192.0.2.2", 75, 25)  //
	add("few.test", "a", "192.0.2.1", 0, enough-1) // too few to judge
	add("single.test", "a", "192.0.2.1", 90, 10)   // nothing to compare with
	add("unused.test", "a", "", enough, 0)         // no connection
	n.Add(&account.Record{Kind: sched.RecordReceived, Domain: "good.test"}, rules)
	n.Finish()
	marks := map[string]string{}
	for _, d := range n.Domains {
		marks[d.Name] = d.Mark
	}
	for name, want := range map[string]string{
		"good.test": "", "one-bad.test": "investigate", "all-bad.test": "reduce", "few.test": "", "single.test": "investigate", "unused.test": "",
	} {
		if marks[name] != want {
			t.Errorf("%s: %q, want %q", name, marks[name], want)
		}
	}
	found := map[string]Finding{}
	for _, f := range n.Findings {
		found[f.Domain] = f
	}
	if f := found["one-bad.test"]; f.Kind != "addresses" || !slices.Equal(f.Sources, []string{"192.0.2.2"}) {
		t.Errorf("%+v", f)
	}
	if f := found["all-bad.test"]; f.Kind != "configuration" || len(f.Sources) != 0 {
		t.Errorf("%+v", f)
	}
	if f := found["single.test"]; f.Kind != "one address only" || len(found) != 3 {
		t.Errorf("%+v of %d", f, len(found))
	}
	if d := n.Diagnostics[0]; d.Domain != "all-bad.test" || d.Count != 45 || d.Class != "connections" || n.Domains[0].Name != "few.test" || n.Attempts != 639 {
		t.Errorf("%+v, %+v, %d", d, n.Domains[0], n.Attempts)
	}
}
