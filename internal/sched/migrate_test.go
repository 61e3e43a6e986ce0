package sched

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

func shared(tls TLS) RouteHost {
	h := mx("mx.shared.test", 10, "192.0.2.1")
	h.TLS = tls
	return h
}

// idleAt has one message delivered to one.test and returns the connection, which is idle.
func (r *rig) idleAt(p *policy.Queue, host RouteHost) ConnID {
	r.t.Helper()
	r.submit(p, "one.test", 1)
	c := only[Connect](r.t, r.resolve("one.test", host))
	r.step(Connected{Conn: c.Conn})
	d := only[Deliver](r.t, r.step(Wants{c.Conn, 2}))
	r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})
	return c.Conn
}

// Whether mail for two.test takes the idle connection of one.test or has to open its own.
func TestWhoMayTakeOver(t *testing.T) {
	plain := func() *policy.Queue { return testPolicy(bd(8), server(100, 0)) }
	with := func(f func(q *policy.Queue)) *policy.Queue { q := plain(); f(q); return q }
	other := shared(TLSIfAvailable)
	other.Addresses = mx("", 0, "192.0.2.2").Addresses
	better := mx("mx.better.test", 5, "192.0.2.9")
	for name, x := range map[string]struct {
		one, two *policy.Queue
		first    TLS
		hosts    []RouteHost
		want     bool
	}{
		"the same":                         {plain(), plain(), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, true},
		"TLS is there":                     {plain(), plain(), TLSVerifyHost, []RouteHost{shared(TLSRequired)}, true},
		"TLS is wanted":                    {plain(), plain(), TLSIfAvailable, []RouteHost{shared(TLSRequired)}, false},
		"better TLS is wanted":             {plain(), plain(), TLSVerifyCA, []RouteHost{shared(TLSVerifyHost)}, false},
		"no TLS is wanted":                 {plain(), plain(), TLSRequired, []RouteHost{shared(TLSNo)}, false},
		"TLS is wished for":                {plain(), plain(), TLSNo, []RouteHost{shared(TLSIfAvailable)}, false},
		"another address":                  {plain(), plain(), TLSIfAvailable, []RouteHost{other}, false},
		"a worse host":                     {plain(), plain(), TLSIfAvailable, []RouteHost{better, shared(TLSIfAvailable)}, false},
		"one of equal hosts":               {plain(), plain(), TLSIfAvailable, []RouteHost{mx("mx.other.test", 10, "192.0.2.9"), shared(TLSIfAvailable)}, true},
		"another name in EHLO":             {plain(), with(func(q *policy.Queue) { q.Session = &policy.Session{EHLO: "x"} }), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, false},
		"one delivery a connection":        {plain(), with(func(q *policy.Queue) { q.MaxDeliveriesPerConnection = 1 }), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, false},
		"two deliveries":                   {plain(), with(func(q *policy.Queue) { q.MaxDeliveriesPerConnection = 2 }), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, true},
		"one recipient a connection":       {plain(), with(func(q *policy.Queue) { q.MaxRecipientsPerConnection = 1 }), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, false},
		"its own limit is the first's":     {plain(), testPolicy(bd(8), server(1, 0)), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, true},
		"its own limit admits nothing":     {plain(), testPolicy(bd(0), server(100, 0)), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, false},
		"the configuration suspends it":    {plain(), with(func(q *policy.Queue) { q.Suspended = true }), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, false},
		"what the first may do ends there": {with(func(q *policy.Queue) { q.MaxDeliveriesPerConnection = 2 }), plain(), TLSIfAvailable, []RouteHost{shared(TLSIfAvailable)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			conn := r.idleAt(x.one, shared(x.first))
			a := r.submit(x.two, "two.test", 1)
			if len(find[Resolve](a)) > 0 {
				a = r.resolve("two.test", x.hosts...)
			}
			d := find[Deliver](a)
			if got := len(d) == 1 && d[0].Conn == conn; got != x.want || got && len(find[Connect](a)) > 0 {
				t.Fatalf("it takes the idle connection: %v, want %v: %s", got, x.want, show(a))
			}
			if !x.want {
				if len(find[Close](a)) > 0 {
					t.Errorf("the connection ends for nothing: %s", show(a))
				}
				return
			}
			n := r.names.conns[r.findDomain("two.test")]
			if r.Totals(r.now).Connections != 1 || n != 1 {
				t.Errorf("two.test has %d connections of %d", n, r.Totals(r.now).Connections)
			}
			if acc := r.step(Attempted{Conn: conn, Part: d[0].Part, Outcomes: outcome(d[0], mail.ClassDelivered)}); len(find[Finish](acc)) != 1 {
				t.Errorf("after the attempt: %s", show(acc))
			}
			if last := r.records[len(r.records)-1]; last.Domain != "two.test" || last.Kind != RecordDelivered {
				t.Errorf("accounted as %+v", last)
			}
		})
	}
}

// A connection passes on when it can take a part (S6), not before, and does not end
// meanwhile; but it does not wait for ever.
func TestPassOnWaitsForTheSpool(t *testing.T) {
	for _, messages := range []int{3, 2} {
		stored := messages == 3
		r := newRig(t)
		p := testPolicy(bd(8), server(1, 0))
		for range messages {
			r.submit(p, "one.test", 1)
		}
		c := only[Connect](t, r.resolve("one.test", shared(0)))
		r.submit(p, "two.test", 1)
		r.resolve("two.test", shared(0))
		r.holdSpool = true
		r.step(Connected{Conn: c.Conn})
		one := find[Deliver](r.step(Wants{c.Conn, 2}))
		a := r.step(Attempted{Conn: c.Conn, Part: one[0].Part, Outcomes: outcome(one[0], mail.ClassDelivered)})
		a = append(a, r.step(Wants{c.Conn, 1})...)
		a = append(a, r.step(Attempted{Conn: c.Conn, Part: one[1].Part, Outcomes: outcome(one[1], mail.ClassDelivered)})...)
		if n := len(find[Deliver](a)); n != 0 {
			t.Fatalf("%d parts while two outcomes are not written (S6)", n)
		}
		if !stored {
			if cl := find[Close](r.wait(time.Minute)); len(cl) != 1 {
				t.Errorf("a connection that cannot pass on is not closed: %d", len(cl))
			}
			continue
		}
		three := only[Deliver](t, r.step(Stored{1}))
		a = r.step(Attempted{Conn: c.Conn, Part: three.Part, Outcomes: outcome(three, mail.ClassDelivered)})
		a = append(a, r.step(Wants{c.Conn, 1})...)
		if len(find[Close](a)) != 0 || len(find[Deliver](a)) != 0 {
			t.Fatalf("two outcomes are not written, and somebody waits: %s", show(a))
		}
		two := only[Deliver](t, r.step(Stored{3}))
		if two.Conn != c.Conn || len(find[Connect](r.log)) != 1 {
			t.Errorf("two.test's mail goes over %d", two.Conn)
		}
	}
}

// Those who stand in line at a host come before one that has just come, even when the one
// in front cannot use the connection that is idle.
func TestNobodyJumpsTheLine(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(8), server(100, 0))
	conn := r.idleAt(p, shared(0))
	h := r.hostOf[hostKey{r.names.bindingOf["default"], "mx.shared.test"}]
	r.hosts.at(h).opening = openingMost // as if so many were being opened
	defer func() { r.hosts.at(h).opening = 0 }()
	strict := testPolicy(bd(8), server(100, 0))
	stepRaw := func(ev Event) []Action { r.Step(r.now, ev); return r.Drain(nil) }
	submit := func(q *policy.Queue, domain string, host RouteHost) []Action {
		r.n++
		stepRaw(Submitted{
			Message: mail.NewID(int64(r.n), [10]byte{}), Received: r.now,
			Parts: []SubmittedPart{{Binding: "default", Domain: domain, Policy: q, Recipients: []int{0}, Due: r.now}},
		})
		return stepRaw(Resolved{Binding: "default", Domain: domain, Hosts: []RouteHost{host}, Until: r.now + 3600*sec, Class: mail.ClassDelivered})
	}
	if a := submit(strict, "strict.test", shared(TLSRequired)); len(find[Deliver](a))+len(find[Connect](a)) > 0 {
		t.Fatalf("it does not stand in line: %s", show(a))
	}
	if a := submit(p, "late.test", shared(0)); len(find[Deliver](a)) > 0 {
		t.Fatalf("it has jumped the line: %s", show(a))
	}
	// The connection is offered along the line when it has something to do with it again.
	a := stepRaw(Wants{conn, 1})
	if d := find[Deliver](a); len(d) != 1 || d[0].Conn != conn {
		t.Errorf("the second in line, who can use it, does not get it: %s", show(a))
	}
}
