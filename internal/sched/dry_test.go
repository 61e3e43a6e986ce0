package sched

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// A queue stands in line for the token of its open connection; that one has been idle for
// too long and ends, and a connection anew could be had at once: it is dialed, whether or
// not the receiver has let go of the old one.
func TestTheConnectionThatLacksATokenEnds(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(8), server(100, 0))
	p.IdleTimeout = 8 * time.Second
	host := shared(0)
	host.Policy = &policy.Host{Throttles: []policy.Throttle{{
		Option: "outbound_throttle_messages", Act: policy.ActMessages, By: policy.ByStanza,
		Rate: policy.Rate{N: 1, Per: 10 * time.Second, Burst: 1}, Origin: policy.Origin{Stanza: `host "192.0.2.1"`},
	}}}
	r.submit(p, "one.test", 1)
	c := only[Connect](t, r.resolve("one.test", host)) // the next one may be opened in 10 s
	r.wait(4 * time.Second)
	r.step(Connected{Conn: c.Conn})
	d := only[Deliver](t, r.step(Wants{c.Conn, 2})) // the next one may be given in 14 s
	r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})
	r.wait(3 * time.Second)
	r.submit(p, "one.test", 1)
	if a := r.submit(p, "one.test", 1); len(a) > 0 {
		t.Fatalf("without a token: %s", show(a))
	}
	if a := r.wait(4900 * time.Millisecond); len(a) > 0 {
		t.Fatalf("before the connection is too old: %s", show(a))
	}
	a := r.wait(200 * time.Millisecond)
	if cl := only[Close](t, a); cl.Conn != c.Conn {
		t.Errorf("another one ends: %s", show(a))
	}
	only[Connect](t, a)
}
