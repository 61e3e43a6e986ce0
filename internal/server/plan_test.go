package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sink"
)

// wait puts mail for the domains into the queues of a binding, due in an hour.
func (w *world) queue(s *Server, binding string, domains int) {
	w.t.Helper()
	for i := range domains {
		d := fmt.Sprintf("d%d.test", i)
		q, gen := s.policies.queue(binding, d)
		s.driver.Step(sched.Submitted{
			Message: mail.NewID(int64(i+1), [10]byte{1}), Received: s.driver.Clock().Boot(), Recovered: true,
			Parts: []sched.SubmittedPart{{
				Binding: binding, Domain: d, Policy: q, Generation: gen, Recipients: []int{0},
				Due: s.driver.Clock().Boot() + int64(time.Hour), Attempts: 1,
			}},
		})
	}
}

// plan asks what the lines, added to the configuration, would change.
func (w *world) plan(s *Server, more string) admin.Plan {
	w.t.Helper()
	path := w.file("new.conf", w.text(more))
	snap, found := config.Load(path)
	if found.HasErrors() {
		w.t.Fatal(found.Err())
	}
	p, err := backend{s}.Plan(snap.Show(false))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func planned(p admin.Plan) string {
	var lines []string
	for _, c := range p.Changes {
		lines = append(lines, fmt.Sprintf("%s %d under %s: %s %s -> %s %v", c.Of, c.Count, c.Stanza, c.Option, c.Old, c.New, c.Examples))
	}
	for _, r := range p.Routes {
		lines = append(lines, fmt.Sprintf("route %q -> %q: %d, %d unknown", r.From, r.To, r.Domains, r.Unknown))
	}
	for _, b := range p.Removed {
		lines = append(lines, fmt.Sprintf("gone %s: %d queued", b.Binding, b.Queued))
	}
	for _, b := range p.Added {
		lines = append(lines, "come "+b)
	}
	return strings.Join(lines, "\n")
}

// TestPlan: what would change is grouped by equal change and counted.
func TestPlan(t *testing.T) {
	w := newWorld(t)
	old := `Binding x { }
Domain d3.test { max_outbound_connections = 5 }
Domain idle.test { max_outbound_connections = 5 }
`
	s := w.start(old)
	defer s.Stop()
	w.queue(s, "default", 30)
	w.queue(s, "x", 2)
	for _, c := range []struct{ more, want string }{
		{old, ""},
		{`Binding x { }
Domain "/^d1/" { max_outbound_connections = 8 }
Domain d3.test { max_outbound_connections = 5 }
Domain idle.test { max_outbound_connections = 6 }
`, `domain 11 under domain "/^d1/": max_outbound_connections 32 -> 8 [d1.test d10.test d11.test]
name 0 under domain "idle.test": max_outbound_connections 5 -> 6 []`},
		{"server_max_outbound_connections = 100\n" + old, "server 1 under global: server_max_outbound_connections 75000 -> 100 [server]"},
		{
			strings.Replace(old, "Binding x { }", "Binding x { server_max_outbound_connections = 7 }", 1),
			`binding 1 under binding "x": server_max_outbound_connections unlimited -> 7 [x]`,
		},
		{strings.Replace(old, "Binding x { }", "Binding y { }", 1), "gone x: 2 queued\ncome y"},
		{
			"max_connect_rate = 5/s\n" + strings.Replace(old, "d3.test { max_outbound_connections = 5 }", "d3.test { retry_interval = 1m }", 1),
			"domain 30 under global: max_connect_rate unlimited -> 5/1,burst=1 [d0.test d1.test d2.test]\n" +
				`domain 1 under domain "d3.test": retry_interval 20m -> 1m [d3.test]` + "\n" +
				`domain 1 under domain "d3.test": max_outbound_connections 5 -> 32 [d3.test]`,
		},
	} {
		p := w.plan(s, c.more)
		if got := planned(p); got != c.want {
			t.Errorf("with\n%s\nthe plan is\n%s\nwant\n%s", c.more, got, c.want)
		}
		if p.Changed != (c.want != "") || p.Queues != 32 {
			t.Errorf("changed %v, %d queues", p.Changed, p.Queues)
		}
	}
}

// TestPlanRoutes: domains that would be counted otherwise, the limits of their hosts, and the
// connections that would then be too many.
func TestPlanRoutes(t *testing.T) {
	w := newWorld(t)
	w.sink(sink.Options{Faults: []sink.Fault{{Kind: sink.StallDot, Share: 1}}})
	s := w.start("")
	defer s.Stop()
	defer s.Hurry()
	send(t, s, "m", "u@one.test", "u@two.test")
	until(t, "two connections", func() bool { return backend{s}.Status().Queue.Connections == 2 })
	w.queue(s, "default", 5) // whose hosts nobody has asked for
	p := w.plan(s, "Rollup shared.rollup { mx = ( mx.* ) }\nDomain shared.rollup { max_outbound_connections = 1 }\nHost mx.test { max_outbound_connections = 1 }")
	want := `domain 2 under domain "shared.rollup": max_outbound_connections 32 -> 1 [one.test two.test]
host 1 under host "mx.test": max_outbound_connections unlimited -> 1 [mx.test]
name 0 under rollup "shared.rollup":  - -> there []
route "" -> "": 5, 5 unknown
route "" -> "shared.rollup": 2, 0 unknown`
	if got := planned(p); got != want {
		t.Errorf("the plan is\n%s\nwant\n%s", got, want)
	}
	for i, want := range []admin.PlanDrain{
		{Counter: "max_outbound_connections default/mx.test", Connections: 2, Limit: 1, Over: 1},
		{Counter: "max_outbound_connections default/shared.rollup", Connections: 2, Limit: 1, Over: 1},
	} {
		if i >= len(p.Drains) || p.Drains[i] != want {
			t.Errorf("drains %+v, want %+v", p.Drains, want)
		}
	}
}
