package sched

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

// TestMailmax: a connection carries as many messages as the receiver says, and ends; the
// rest goes over another one.
func TestMailmax(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(1), server(100, 0))
	for range 4 {
		r.submit(p, "one.test", 1)
	}
	c := only[Connect](t, r.resolve("one.test"))
	r.step(Connected{Conn: c.Conn, Limits: SessionLimits{Mail: 3}})
	a := r.step(Wants{c.Conn, 2})
	sent := 0
	for len(find[Deliver](a)) > 0 {
		parts := find[Deliver](a)
		a = nil
		for _, d := range parts {
			sent++
			a = append(a, r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})...)
			a = append(a, r.step(Wants{c.Conn, 1})...)
		}
	}
	if sent != 3 {
		t.Errorf("%d messages over a connection that takes 3", sent)
	}
	only[Close](t, r.log)
	only[Connect](t, r.step(Closed{Conn: c.Conn}))
}

// TestMailmaxCountsWhatWasSent: a part that comes back unsent leaves its place.
func TestMailmaxCountsWhatWasSent(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(1), server(100, 0))
	for range 2 {
		r.submit(p, "one.test", 1)
	}
	c := only[Connect](t, r.resolve("one.test"))
	r.step(Connected{Conn: c.Conn, Limits: SessionLimits{Mail: 2}})
	d := find[Deliver](r.step(Wants{c.Conn, 1}))
	if len(d) != 1 {
		t.Fatalf("%d parts for one wanted", len(d))
	}
	r.step(Returned{Conn: c.Conn, Part: d[0].Part})
	if got := find[Deliver](r.step(Wants{c.Conn, 2})); len(got) != 2 {
		t.Errorf("%d parts, want 2: nothing has been sent yet", len(got))
	}
}

// TestRcptmax: a part with more recipients than the receiver takes at once is cut, nobody
// is left out, and nobody is sent to twice.
func TestRcptmax(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(1), server(100, 0))
	p.MaxRecipientsPerBatch = 100
	r.submit(p, "one.test", 25)
	c := only[Connect](t, r.resolve("one.test"))
	r.step(Connected{Conn: c.Conn, Limits: SessionLimits{Rcpt: 10}})
	a := r.step(Wants{c.Conn, 1})
	seen := map[int]int{}
	for range 10 {
		parts := find[Deliver](a)
		if len(parts) == 0 {
			break
		}
		a = nil
		for _, d := range parts {
			if len(d.Recipients) > 10 {
				t.Errorf("%d recipients for a receiver that takes 10", len(d.Recipients))
			}
			for _, i := range d.Recipients {
				seen[i]++
			}
			a = append(a, r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})...)
			a = append(a, r.step(Wants{c.Conn, 1})...)
		}
	}
	for i := range 25 {
		if seen[i] != 1 {
			t.Errorf("recipient %d was sent to %d times", i, seen[i])
		}
	}
	only[Finish](t, r.log)
}

// TestRcptdomainmax: a connection passes on to another domain of its host only where the
// receiver takes that.
func TestRcptdomainmax(t *testing.T) {
	for most, want := range []int{0: 1, 1: 0, 2: 1} {
		r := newRig(t)
		p := testPolicy(server(1, 0))
		host := mx("mx.both.test", 10, "192.0.2.1")
		r.submit(p, "one.test", 1)
		c := only[Connect](t, r.resolve("one.test", host))
		r.submit(p, "two.test", 1)
		r.resolve("two.test", host)
		r.step(Connected{Conn: c.Conn, Limits: SessionLimits{RcptDomain: most}})
		d := only[Deliver](t, r.step(Wants{c.Conn, 1}))
		a := r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})
		a = append(a, r.step(Wants{c.Conn, 1})...)
		if got := len(find[Deliver](a)); got != want {
			t.Errorf("RCPTDOMAINMAX %d: %d parts of the second domain, want %d in %s", most, got, want, show(a))
		}
		if want == 0 { // its place goes to the other one as a new connection
			r.step(Closed{Conn: c.Conn})
			if n := len(find[Connect](r.log)); n != 2 {
				t.Errorf("RCPTDOMAINMAX %d: %d connections in all, want 2", most, n)
			}
		}
	}
}
