package sched

import (
	"testing"
)

// survey takes a whole one.
func survey(m *Machine, fullest int) *Survey {
	s := NewSurvey(fullest)
	for cursor := m.Survey(m.now, "", s); cursor != ""; {
		cursor = m.Survey(m.now, cursor, s)
	}
	s.Sort()
	return s
}

// A survey adds up what the counters, connections and bindings are, however many pages it
// takes, and what counters granted that are there no more.
func TestSurvey(t *testing.T) {
	const queues = 3000
	m := crowd(queues, 1, true)
	s := survey(m, 5)
	if len(s.Options) != 2 {
		t.Fatalf("options: %+v", s.Options)
	}
	pair, all := s.Options[0], s.Options[1]
	if pair.Option != "max_outbound_connections" || pair.Counters < queues-10 || pair.Use != 1 || pair.Limit != 8*pair.Counters {
		t.Errorf("by pair: %+v", pair)
	}
	if all.Counters != 1 || all.Use != 1 || all.Limit != 1 || all.Waiters == 0 || all.Grants != 1 || all.Full != 1 {
		t.Errorf("of the server: %+v", all)
	}
	if len(s.Wide) != 1 || s.Wide[0].Key != "server" || s.Wide[0].Use != 1 || s.Wide[0].Waiters != all.Waiters {
		t.Errorf("wide: %+v", s.Wide)
	}
	if len(s.Fullest) != 1 || s.Fullest[0] != s.Wide[0] {
		t.Errorf("fullest: %+v", s.Fullest)
	}
	if c := s.Conns; c.Opening+c.Idle+c.Delivering+c.Closing != m.Totals(m.now).Connections {
		t.Errorf("connections %+v, in all %d", c, m.Totals(m.now).Connections)
	}
	if len(s.Bindings) != 1 || s.Bindings[0].Conns != 1 {
		t.Errorf("bindings: %+v", s.Bindings)
	}
}

// The grants of an option are kept when its counters go.
func TestSurveyRemembersGrants(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2), server(5, 0))
	r.submit(p, "one.test", 1)
	c := only[Connect](t, r.resolve("one.test", mx("mx.test", 10, "192.0.2.1")))
	if s := survey(r.Machine, 5); s.Conns.Opening != 1 || s.Options[0].Grants != 1 || s.Options[0].Use != 1 {
		t.Fatalf("%+v", s)
	}
	r.step(Connected{Conn: c.Conn})
	d := only[Deliver](t, r.step(Wants{Conn: c.Conn, N: 1}))
	if s := survey(r.Machine, 5); s.Conns != (ConnStates{Delivering: 1}) {
		t.Errorf("delivering: %+v", s.Conns)
	}
	r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, 1)})
	r.step(Closed{Conn: c.Conn})
	s := survey(r.Machine, 5)
	if len(s.Options) == 0 || s.Options[0].Use != 0 || s.Options[0].Counters != 0 || s.Options[0].Grants != 1 {
		t.Errorf("after the counter has gone: %+v", s.Options)
	}
}
