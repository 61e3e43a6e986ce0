package sched

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

const sec = int64(time.Second)

func testPolicy(limits ...policy.Limit) *policy.Queue {
	return &policy.Queue{
		Limits: limits, Ramp: 0.75,
		Retry:      policy.RetrySchedule{Steps: []time.Duration{20 * time.Minute}, Doubling: true, Max: 12 * time.Hour},
		Expiration: 5 * 24 * time.Hour, MaxRetries: -1,
		MaxRecipientsPerBatch: 100, IdleTimeout: 5 * time.Second,
		MaxMXHosts: 5, MaxAddressesPerHost: 2, HostFailureRetry: 2 * time.Minute,
		GenerateBounces: true,
	}
}

func bd(max int) policy.Limit {
	return policy.Limit{Option: "max_outbound_connections", By: policy.ByBinding | policy.ByDomain, Max: max}
}

func server(max, reserve int) policy.Limit {
	return policy.Limit{Option: "server_max_outbound_connections", Max: max, Reserve: reserve}
}

// rig drives a machine by hand; accounting and the spool answer at once unless held.
type rig struct {
	*Machine
	t         *testing.T
	now       int64
	n         int
	log       []Action // all but WakeAt, Account and Log
	records   []Account
	holdBooks bool // accounting does not answer
	holdSpool bool
	wake      int64
	audit     WaitAudit
}

func newRig(t *testing.T) *rig {
	return &rig{Machine: New(Config{Seed: 1}), t: t, now: 1000 * sec, wake: neverTime}
}

func (r *rig) step(ev Event) []Action {
	r.t.Helper()
	from := len(r.log)
	r.one(ev)
	return r.log[from:]
}

func (r *rig) one(ev Event) {
	r.t.Helper()
	r.Step(r.now, ev)
	if err := errors.Join(r.CheckInvariants(), r.AuditWaits(&r.audit)); err != nil {
		r.t.Fatalf("after %T: %v", ev, err)
	}
	recorded, stored := uint64(0), uint64(0)
	r.wake = neverTime
	for _, a := range r.Drain(nil) {
		switch a := a.(type) {
		case WakeAt:
			r.wake = a.At
			continue
		case Log:
			continue
		case Account:
			recorded = a.Seq
			r.records = append(r.records, a)
			continue
		case Persist:
			stored = a.Seq
		case Bounce:
			stored = a.Seq
		case Finish:
			stored = a.Seq
		}
		r.log = append(r.log, a)
	}
	if recorded > 0 && !r.holdBooks {
		r.one(Recorded{recorded})
	}
	if stored > 0 && !r.holdSpool {
		r.one(Stored{stored})
	}
	if r.wake <= r.now {
		r.one(Tick{})
	}
}

// wait lets time pass.
func (r *rig) wait(d time.Duration) []Action {
	from := len(r.log)
	end := r.now + int64(d)
	for r.now < end {
		r.now = min(end, max(r.now+1, r.wheel.next()))
		r.one(Tick{})
	}
	return r.log[from:]
}

func (r *rig) submit(p *policy.Queue, domain string, rcpt int) []Action {
	r.n++
	idx := make([]int, rcpt)
	for i := range idx {
		idx[i] = i
	}
	return r.step(Submitted{
		Message: mail.NewID(int64(r.n), [10]byte{}), Received: r.now,
		Parts: []SubmittedPart{{Binding: "default", Domain: domain, Policy: p, Recipients: idx, Due: r.now}},
	})
}

func (r *rig) resolve(domain string, hosts ...RouteHost) []Action {
	if len(hosts) == 0 {
		hosts = []RouteHost{mx("mx."+domain, 10, "192.0.2.1")}
	}
	return r.step(Resolved{Binding: "default", Domain: domain, Hosts: hosts, Until: r.now + 3600*sec, Class: mail.ClassDelivered})
}

func mx(name string, pref int, addrs ...string) RouteHost {
	h := RouteHost{Name: name, Preference: pref, Port: 25}
	for _, a := range addrs {
		h.Addresses = append(h.Addresses, netip.MustParseAddr(a))
	}
	return h
}

func find[T Action](actions []Action) []T {
	var out []T
	for _, a := range actions {
		if x, ok := a.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

// only returns the only action of its kind.
func only[T Action](t *testing.T, actions []Action) T {
	t.Helper()
	found := find[T](actions)
	if len(found) != 1 {
		t.Fatalf("%d actions of %T, want one, in %s", len(found), *new(T), show(actions))
	}
	return found[0]
}

func show(actions []Action) string {
	s := ""
	for _, a := range actions {
		s += fmt.Sprintf("\n\t%T%+v", a, a)
	}
	return s
}

func outcome(d Deliver, c mail.Class) []mail.Outcome {
	out := make([]mail.Outcome, len(d.Recipients))
	for i, x := range d.Recipients {
		out[i] = mail.Outcome{Recipient: x, Class: c, Reply: mail.Reply{Code: 250}}
	}
	return out
}

func TestStraightPath(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(8), server(100, 0))
	only[Resolve](t, r.submit(p, "one.test", 2))
	c := only[Connect](t, r.resolve("one.test"))
	if c.Host != "mx.one.test" || c.Port != 25 || c.Binding != "default" {
		t.Errorf("connects to %+v", c)
	}
	if a := r.step(Connected{Conn: c.Conn}); len(a) != 0 {
		t.Errorf("before it wants a part: %s", show(a))
	}
	d := only[Deliver](t, r.step(Wants{c.Conn, 1}))
	fin := only[Finish](t, r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)}))
	if fin.Message != d.Message {
		t.Errorf("finishes %v, delivered %v", fin.Message, d.Message)
	}
	if len(r.records) != 2 || r.records[0].Kind != RecordReceived || r.records[1].Kind != RecordDelivered {
		t.Errorf("records %+v", r.records)
	}
	cl := only[Close](t, r.wait(6*time.Second))
	if cl.Conn != c.Conn || cl.How != CloseNow {
		t.Errorf("close %+v", cl)
	}
	if s := r.Totals(r.now); s.Connections != 1 {
		t.Errorf("the permit is gone before the receiver let go: %+v", s)
	}
	r.step(Closed{Conn: c.Conn})
	if s := r.Totals(r.now); s.Messages+s.Parts+s.Queues+s.Connections != 0 || r.limits.Counters() != 0 {
		t.Errorf("something is left: %+v, %d counters", s, r.limits.Counters())
	}
}

func TestLimitIsHeldAndWaitersWoken(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2), server(100, 0))
	for range 10 {
		r.submit(p, "one.test", 1)
	}
	conns := find[Connect](r.resolve("one.test"))
	if len(conns) != 1 {
		t.Fatalf("%d connections to a host nobody has spoken to", len(conns))
	}
	conns = append(conns, find[Connect](r.step(Connected{Conn: conns[0].Conn}))...)
	if len(conns) != 2 {
		t.Fatalf("%d connections at a limit of 2", len(conns))
	}
	x, ok := r.Explain(r.now, "one.test/default")
	if !ok || x.WaitingOn == nil || x.WaitingOn.Option != "max_outbound_connections" || x.WaitingOn.Use != 2 || x.WaitingOn.Limit != 2 {
		t.Fatalf("explain %+v", x)
	}
	a := r.step(ConnectFailed{Conn: conns[1].Conn, Class: ConnectTLS})
	if n := len(find[Connect](a)); n != 0 {
		t.Fatalf("%d connections opened before the receiver let go", n)
	}
	again := only[Connect](t, r.step(Closed{Conn: conns[1].Conn}))
	if again.TLS != TLSNo {
		t.Errorf("TLS failed where it was only wished for, but the next connection asks for %v", again.TLS)
	}
}

func TestDeferredMailComesBack(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2))
	r.submit(p, "one.test", 3)
	c := only[Connect](t, r.resolve("one.test"))
	r.step(Connected{Conn: c.Conn})
	d := only[Deliver](t, r.step(Wants{c.Conn, 1}))
	out := outcome(d, mail.ClassDelivered)
	out[1] = mail.Outcome{Recipient: 1, Class: mail.ClassDeferred, Reply: mail.Reply{Code: 450}}
	out[2] = mail.Outcome{Recipient: 2, Class: mail.ClassRefused, Reply: mail.Reply{Code: 550}}
	b := only[Bounce](t, r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: out}))
	if b.Last || len(b.Outcomes) != 1 || b.Outcomes[0].Recipient != 2 || len(b.States) != 3 {
		t.Fatalf("bounce %+v", b)
	}
	a := r.wait(17 * time.Minute)
	if len(find[Connect](a)) != 0 {
		t.Error("tried again before 18 minutes")
	}
	r.step(Closed{Conn: c.Conn})
	a = r.wait(6 * time.Minute)
	c = only[Connect](t, a)
	r.step(Connected{Conn: c.Conn})
	d = only[Deliver](t, r.step(Wants{c.Conn, 1}))
	if len(d.Recipients) != 1 || d.Recipients[0] != 1 || d.Attempts != 1 {
		t.Errorf("second attempt %+v", d)
	}
	only[Finish](t, r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)}))
}

func TestExpiryWithoutAnyPath(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(0))
	r.submit(p, "one.test", 1)
	r.resolve("one.test")
	b := only[Bounce](t, r.wait(5*24*time.Hour+time.Minute))
	if !b.Expired || !b.Last {
		t.Errorf("bounce %+v", b)
	}
	if s := r.Totals(r.now); s.Messages+s.Parts+s.Queues != 0 {
		t.Errorf("something is left: %+v", s)
	}
}

func TestRecoveryClampsTimes(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2))
	r.step(Submitted{
		Message: mail.NewID(1, [10]byte{}), Received: r.now + 365*24*3600*sec, Recovered: true,
		Parts: []SubmittedPart{{Binding: "default", Domain: "one.test", Policy: p, Recipients: []int{0}, Due: r.now + 365*24*3600*sec, Attempts: 3}},
	})
	if v, ok := r.Queue(r.now, "one.test", "default", ""); !ok || v.Oldest != 0 || v.Queued != 1 {
		t.Errorf("its age is not clamped: %+v", v)
	}
	if n := len(find[Resolve](r.wait(12*time.Hour + time.Second))); n != 1 {
		t.Errorf("not tried within max_retry_interval")
	}
}

func TestNamesAndPages(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2))
	for i := range 25 {
		r.submit(p, fmt.Sprintf("d%d.test", i), 1)
		for _, c := range find[Connect](r.resolve(fmt.Sprintf("d%d.test", i), mx("mx.test", 10, "192.0.2.1"))) {
			r.step(Connected{Conn: c.Conn})
		}
	}
	domains, hosts := map[string]bool{}, map[string]bool{}
	for cursor := ""; ; {
		page, next := r.Names(cursor, 10)
		for _, n := range page {
			if n.Host != "" {
				hosts[n.Host] = true
			} else {
				domains[n.Domain] = true
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(domains) != 25 || len(hosts) != 1 {
		t.Errorf("%d domains, hosts %v", len(domains), hosts)
	}
	rows := 0
	for cursor := ""; ; {
		page, next := r.Queues(r.now, cursor, 7)
		rows += len(page)
		if cursor = next; cursor == "" {
			break
		}
	}
	if rows != 25 {
		t.Errorf("%d queues in pages", rows)
	}
	if v, _, ok := r.Domain(r.now, "d3.test", "", 100); !ok || len(v.Queues) != 1 || len(v.Hosts) != 1 || v.Conns != 1 {
		t.Errorf("domain %+v", v)
	}
	if v, ok := r.Binding("default"); !ok || v.Conns != 25 || v.Ready != 25 {
		t.Errorf("binding %+v", v)
	}
	if _, ok := r.Explain(r.now, "nobody.test/default"); ok {
		t.Error("explains a queue that is not there")
	}
}

func TestExplainSays(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2), server(1, 0))
	p.Limits[1].Origin = policy.Origin{Stanza: "global", File: "sluice.conf", Line: 3}
	say := func(want string) {
		t.Helper()
		if x, _ := r.Explain(r.now, "one.test/default"); !strings.Contains(x.State, want) {
			t.Errorf("it says %q, want %q", x.State, want)
		}
	}
	r.submit(p, "zero.test", 1)
	r.resolve("zero.test")
	r.submit(p, "one.test", 1)
	say("resolving")
	r.resolve("one.test")
	say("waits for a connection slot: server_max_outbound_connections server, 1 of 1 in use")
	r.wait(3 * time.Second)
	x, _ := r.Explain(r.now, "one.test/default")
	if w := x.WaitingOn; w == nil || w.File != "sluice.conf" || w.Line != 3 || w.Waiters != 1 || r.now-w.SinceAt != 3*sec {
		t.Errorf("waits on %+v", w)
	}
	if got := x.Waited["server_max_outbound_connections server"]; got != 3 {
		t.Errorf("has waited %v", x.Waited)
	}
	r.step(Operator{Verb: Suspend, Domain: "one.test", By: "ann"})
	say("suspended by ann")
	r.step(Operator{Verb: Resume, By: "ann"})
	say("waits for a connection slot")
	r.step(StoreFailed{})
	say("cannot be written")
	r.step(StoreFailed{Healthy: true})
	say("waits for a connection slot")
}

func TestForgottenRecipientIsDeferred(t *testing.T) {
	r := newRig(t)
	r.submit(testPolicy(bd(1)), "one.test", 3)
	c := only[Connect](t, r.resolve("one.test"))
	r.step(Connected{Conn: c.Conn})
	d := only[Deliver](t, r.step(Wants{c.Conn, 1}))
	s := only[Persist](t, r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: []mail.Outcome{
		{Recipient: 2, Class: mail.ClassDelivered}, {Recipient: 7, Class: mail.ClassDelivered}, {Recipient: 0, Class: mail.ClassDelivered},
	}}))
	if len(s.States) != 3 || s.States[2].Index != 1 || s.States[2].Status != mail.Pending {
		t.Errorf("states %+v", s.States)
	}
}
