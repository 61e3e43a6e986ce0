package sched

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// refuse fails every connection among the actions, and those that come of it, with a class
// and a reply; it returns how many there were.
func (r *rig) refuse(actions []Action, class ConnectClass, reply mail.Reply) (n int) {
	for len(actions) > 0 {
		var next []Action
		for _, c := range find[Connect](actions) {
			n++
			next = append(next, r.step(ConnectFailed{Conn: c.Conn, Class: class, Reply: reply})...)
			next = append(next, r.step(Closed{Conn: c.Conn, Class: class})...)
		}
		actions = next
	}
	return n
}

// refuseFor lets time pass, and refuses every connection meanwhile.
func (r *rig) refuseFor(d time.Duration) (n int) {
	for end := r.now + int64(d); r.now < end; {
		n += r.refuse(r.wait(min(time.Second, time.Duration(end-r.now))), ConnectHost, mail.Reply{Text: "refused"})
	}
	return n
}

func (r *rig) deferred() (n int) {
	for _, a := range r.records {
		if a.Kind == RecordDeferred {
			n += len(a.Outcomes)
		}
	}
	return n
}

func patientPolicy() *policy.Queue {
	p := testPolicy(bd(8))
	p.MXFailuresToDelay, p.ConnectTimeoutToDelay = 50, 15*time.Minute
	return p
}

// A host that failed is left alone for host_failure_retry, then called by one connection.
func TestHostFailureRetry(t *testing.T) {
	r := newRig(t)
	p := patientPolicy()
	for range 10 {
		r.submit(p, "one.test", 1)
	}
	if n := r.refuse(r.resolve("one.test"), ConnectHost, mail.Reply{Text: "refused"}); n != 1 {
		t.Fatalf("%d connections to a dead host", n)
	}
	if n := r.refuseFor(119 * time.Second); n != 0 || r.deferred() != 1 {
		t.Errorf("%d connections within host_failure_retry, %d deferred: only the message that was tried is", n, r.deferred())
	}
	if x, _ := r.Explain(r.now, "one.test/default"); x.Cause != "all hosts failed" || x.State != "all hosts failed; tried again in 2s" {
		t.Errorf("explained as %q, %q", x.Cause, x.State)
	}
	if n := r.refuseFor(3 * time.Second); n != 1 {
		t.Errorf("%d connections when it is tried again", n)
	}
	// It is back: everything goes.
	c := find[Connect](r.wait(130 * time.Second))
	if len(c) != 1 {
		t.Fatalf("%d connections", len(c))
	}
	r.step(Connected{Conn: c[0].Conn})
	if d := find[Deliver](r.step(Wants{c[0].Conn, 2})); len(d) != 2 {
		t.Errorf("%d parts handed out", len(d))
	}
}

// When all hosts have failed mx_failures_to_delay times in a row, all that is ready is
// deferred at once, and so is what comes until they are tried again.
func TestMXFailuresToDelay(t *testing.T) {
	r := newRig(t)
	p := patientPolicy()
	p.MXFailuresToDelay, p.ConnectTimeoutToDelay = 3, 0
	for range 10 {
		r.submit(p, "one.test", 1)
	}
	hosts := []RouteHost{mx("a.one.test", 10, "192.0.2.1", "192.0.2.2"), mx("b.one.test", 20, "192.0.2.3")}
	if n := r.refuse(r.resolve("one.test", hosts...), ConnectHost, mail.Reply{Text: "refused"}); n != 3 {
		t.Fatalf("%d connections, want one to each address", n)
	}
	if n := r.refuseFor(121 * time.Second); n != 3 || r.deferred() != 2 {
		t.Errorf("second round: %d connections, %d deferred", n, r.deferred())
	}
	r.refuseFor(121 * time.Second)
	if r.deferred() != 10 {
		t.Errorf("after three rounds %d of 10 are deferred", r.deferred())
	}
	if a := r.submit(p, "one.test", 1); len(find[Connect](a)) != 0 || r.deferred() != 11 {
		t.Errorf("what comes now is not deferred at once: %s", show(a))
	}
}

// When no host could be reached for connect_timeout_to_delay, all that is ready is deferred at once.
func TestConnectTimeoutToDelay(t *testing.T) {
	for name, x := range map[string]struct {
		long time.Duration
		want int // deferred after four minutes and after eleven
		then int
	}{
		"ten minutes":                    {10 * time.Minute, 3, 10},
		"less than host_failure_retry":   {time.Minute, 10, 10},
		"never, and mx_failures neither": {0, 3, 6},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := patientPolicy()
			p.MXFailuresToDelay, p.ConnectTimeoutToDelay = 0, x.long
			for range 10 {
				r.submit(p, "one.test", 1)
			}
			r.refuse(r.resolve("one.test"), ConnectHost, mail.Reply{Text: "refused"})
			r.refuseFor(4*time.Minute + 5*time.Second)
			if r.deferred() != x.want {
				t.Errorf("after four minutes %d are deferred, want %d", r.deferred(), x.want)
			}
			r.refuseFor(7 * time.Minute)
			if r.deferred() != x.then {
				t.Errorf("after eleven minutes %d are deferred, want %d", r.deferred(), x.then)
			}
		})
	}
}

// The least final word of all hosts wins: mail is refused only when each of them has said
// that it never takes any.
func TestLeastFinalStatusWins(t *testing.T) {
	never := mail.Reply{Code: 521, Text: "no mail", Stage: mail.StageGreeting}
	for name, x := range map[string]struct {
		second ConnectClass
		more   int // hosts for which there is no room
		want   RecordKind
	}{
		"both never":                     {ConnectNever, 0, RecordBounced},
		"one never, one away":            {ConnectHost, 0, RecordDeferred},
		"one never, TLS of the other":    {ConnectTLS, 0, RecordDeferred},
		"both never, and a third unseen": {ConnectNever, 1, RecordDeferred},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.submit(patientPolicy(), "one.test", 1)
			hosts := []RouteHost{mx("a.one.test", 10, "192.0.2.1"), mx("b.one.test", 20, "192.0.2.2")}
			hosts[1].TLS = TLSRequired
			ev := Resolved{Binding: "default", Domain: "one.test", Hosts: hosts, Until: r.now + 3600*sec, Class: mail.ClassDelivered, Best: 1, MX: []string{"a.one.test", "b.one.test"}}
			for range x.more {
				ev.MX = append(ev.MX, "c.one.test")
			}
			first := only[Connect](t, r.step(ev))
			second := only[Connect](t, append(r.step(ConnectFailed{Conn: first.Conn, Class: ConnectNever, Reply: never}), r.step(Closed{Conn: first.Conn})...))
			r.step(ConnectFailed{Conn: second.Conn, Class: x.second, Reply: never})
			last := r.records[len(r.records)-1]
			if last.Kind != x.want || last.Outcomes[0].Reply.Code != 521 {
				t.Errorf("recorded as %v: %v", last.Kind, last.Outcomes)
			}
		})
	}
}
