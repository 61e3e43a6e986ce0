package sched

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// A limit is what the newest configuration says that names it. Mail that was accepted under
// an older one and comes late changes nothing.
func TestTheNewestConfigurationSetsALimit(t *testing.T) {
	r := newRig(t)
	old, now := testPolicy(bd(8), server(1, 0)), testPolicy(bd(8), server(3, 0))
	r.submit(old, "one.test", 1)
	r.resolve("one.test")
	limit := func() int {
		id, ok := r.findCounter("server_max_outbound_connections server")
		if !ok {
			t.Fatal("no counter of the server")
		}
		return r.limits.State(id).Limit
	}
	if n := limit(); n != 1 {
		t.Fatalf("at most %d connections", n)
	}
	r.step(PolicyChanged{Generation: 2, Queues: []QueuePolicy{{Binding: "default", Domain: "one.test", Policy: now}}})
	if n := limit(); n != 3 {
		t.Fatalf("after the reload at most %d connections", n)
	}
	r.submit(old, "two.test", 1) // from a client that began before the reload
	r.resolve("two.test")
	if n := limit(); n != 3 {
		t.Errorf("mail with an older policy sets the limit to %d", n)
	}
}

// A queue that waits for one connection more, and whose last one ends, holds nothing any
// more: the reserve is open to it at once.
func TestWhoHoldsNothingAnyMoreMayUseTheReserve(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(8), server(1, 1))
	for range 5 {
		r.submit(p, "one.test", 1)
	}
	c := find[Connect](r.resolve("one.test"))
	if len(c) != 1 {
		t.Fatalf("%d connections for one.test", len(c))
	}
	r.step(Connected{Conn: c[0].Conn})
	d := find[Deliver](r.step(Wants{c[0].Conn, 1}))
	r.submit(p, "two.test", 1)
	if n := len(find[Connect](r.resolve("two.test", mx("mx.two.test", 10, "192.0.2.2")))); n != 1 {
		t.Fatalf("%d connections for two.test, from the reserve", n)
	}
	r.step(Attempted{Conn: c[0].Conn, Part: d[0].Part, Outcomes: outcome(d[0], mail.ClassDelivered)})
	if q, _ := r.Queue(r.now, "one.test", "default", ""); q.WaitingOn == nil {
		t.Fatalf("one.test waits for nothing: %+v", q)
	}
	if a := r.step(Closed{Conn: c[0].Conn}); len(find[Connect](a)) != 1 {
		t.Errorf("one.test holds nothing, one of 1+1 is in use, and it opens nothing: %s", show(a))
	}
}

// When a limit has let nobody pass in the last minute, how long a connection is held there
// tells when the next one's turn comes.
func TestEstimateByHowLongConnectionsAreHeld(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(8), server(1, 0))
	r.submit(p, "one.test", 1)
	c := find[Connect](r.resolve("one.test"))[0]
	r.step(Connected{Conn: c.Conn})
	d := find[Deliver](r.step(Wants{c.Conn, 1}))[0]
	r.submit(p, "two.test", 1)
	r.resolve("two.test")
	r.submit(p, "three.test", 1)
	r.resolve("three.test")
	r.wait(10 * time.Minute)
	if x, _ := r.Explain(r.now, "two.test/default"); x.Estimate != nil {
		t.Errorf("nothing is known of this limit yet: %+v", x.Estimate)
	}
	r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})
	r.step(Closed{Conn: c.Conn})
	r.wait(3 * time.Minute) // two.test has it now
	x, _ := r.Explain(r.now, "three.test/default")
	if x.Estimate == nil || x.Estimate.Seconds != 600 {
		t.Errorf("%+v, want the ten minutes for which the first one was held", x.Estimate)
	}
}

// When messages begin to take longer, the rates keep more connections busy. All queues under
// them hear of it, not only the one whose message it was.
func TestSlowerMessagesWakeOtherTenants(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(20))
	p.Throttles = []policy.Throttle{{
		Option: "max_message_rate", Act: policy.ActRecipients, By: policy.ByBinding | policy.ByDomain,
		Rate: policy.Rate{N: 100, Per: time.Second, Burst: 100},
	}}
	submit := func(tenant string) []Action {
		r.n++
		return r.step(Submitted{
			Message: mail.NewID(int64(r.n), [10]byte{}), Received: r.now, Tenant: tenant,
			Parts: []SubmittedPart{{Binding: "default", Domain: "one.test", Policy: p, Recipients: []int{0}, Due: r.now}},
		})
	}
	for range 10 {
		submit("a")
		submit("b")
	}
	conns := find[Connect](r.resolve("one.test"))
	for i := 0; i < len(conns); i++ {
		conns = append(conns, find[Connect](r.step(Connected{Conn: conns[i].Conn}))...)
	}
	if len(conns) != 2 || conns[0].Tenant == conns[1].Tenant {
		t.Fatalf("a rate of which it is not known how many connections it keeps busy: %d connections", len(conns))
	}
	d := find[Deliver](r.step(Wants{conns[0].Conn, 1}))
	r.wait(2 * time.Second)
	a := r.step(Attempted{Conn: conns[0].Conn, Part: d[0].Part, Outcomes: outcome(d[0], mail.ClassDelivered)})
	opened := map[string]int{}
	for _, c := range find[Connect](a) {
		opened[c.Tenant]++
	}
	if opened["a"] == 0 || opened["b"] == 0 {
		t.Errorf("a message takes two seconds at a hundred a second: further connections by tenant %v", opened)
	}
}
