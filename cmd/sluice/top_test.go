package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/sched"
)

// look has something of everything; names come from outside.
func look() *admin.Top {
	full := &sched.CounterView{Option: "max_outbound_connections", Key: "ip-1/one.test", Use: 8, Limit: 8}
	queues := []sched.QueueView{
		{Queue: "one.test/ip-1", Ready: 120, Conns: 8, Oldest: 75, For: 12, Cause: "max_outbound_connections ip-1/one.test", WaitingOn: full},
		{Queue: "bad\x1b[2Jname.test/ip-1", Queued: 7, Oldest: 4000, State: "next retry in 18m"},
	}
	return &admin.Top{
		Version: "1.0", Hostname: "mta.test", Uptime: 61, Sort: "ready", Counts: admin.Counts{Received: 200, Delivered: 110, Deferred: 7},
		Queue: sched.Totals{
			Messages: 127, Queues: 2, Queued: 7, Ready: 112, Flying: 8, OldestSecs: 4000,
			Waiting: []sched.CauseTotal{{Cause: "resolving", Queues: 0, Seconds: 3}, {Cause: "max_outbound_connections", Queues: 1, Seconds: 60}},
		},
		Connections: sched.ConnStates{Opening: 1, Delivering: 7},
		Limits: []sched.CounterUse{
			{Option: "max_outbound_connections", Key: "ip-1/one.test", Use: 8, Limit: 8, Waiters: 1},
			{Option: "max_connect_rate", Key: "ip-1/two.test", Waiters: 2, Throttle: true},
		},
		Bindings: []sched.BindingView{{Binding: "ip-1", Conns: 8, Limit: 200, Queued: 7, Ready: 112}, {Binding: "ip-2", Limit: -1, Trouble: "450 no"}},
		Queues:   queues, Waiting: queues[:1],
	}
}

func TestTopFrame(t *testing.T) {
	golden(t, "top.golden", strings.Join(topLines(look(), Rates{Received: 20, Delivered: 9.96, Deferred: 0.5}, 0), "\n")+"\n")
}

// A frame never has more lines than there is room for, and never less than what is there
// in sum; nothing of it obeys what a name says.
func TestTopFits(t *testing.T) {
	x := look()
	for range 6 {
		x.Queues, x.Waiting = append(x.Queues, x.Queues...), append(x.Waiting, x.Waiting...)
		x.Limits, x.Bindings = append(x.Limits, x.Limits...), append(x.Bindings, x.Bindings...)
	}
	for height := 5; height < 80; height++ {
		lines := topLines(x, Rates{}, height)
		if len(lines) < 4 || height >= 24 && len(lines) > height {
			t.Errorf("%d lines for %d", len(lines), height)
		}
		if strings.Contains(strings.Join(lines, ""), "\x1b") {
			t.Error("an escape sequence from outside")
		}
	}
	if s := clip("añb", 2); s != "añ" {
		t.Errorf("clipped to %q", s)
	}
}

func TestRatesOf(t *testing.T) {
	a, b := look(), look()
	b.Uptime, b.Counts.Delivered = 63, 130
	if r := ratesOf(a, b); r != (Rates{Delivered: 10}) {
		t.Errorf("%+v", r)
	}
	b.Uptime = 3 // it was started anew
	if r := ratesOf(a, b); r != (Rates{}) {
		t.Errorf("%+v", r)
	}
}

// Keys are passed on until the input ends or nobody wants them any more.
func TestKeys(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	pressed, stop := keys(in)
	if _, err := out.WriteString("wq"); err != nil {
		t.Fatal(err)
	}
	if a, b := <-pressed, <-pressed; a != 'w' || b != 'q' {
		t.Errorf("%q %q", a, b)
	}
	if _, err := out.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	stop()
	pressed, stop = keys(in)
	out.Close()
	for range pressed { // until the end
	}
	stop()
}

// TestTopOnce prints one frame of a server without mail, and its object.
func TestTopOnce(t *testing.T) {
	address := running(t)
	out, errs, status := command("top", "--once", "--admin", address)
	if status != 0 || !strings.Contains(out, "mail         0 messages") || strings.Contains(out, "\x1b") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	out, _, status = command("top", "--json", "--admin", address)
	if status != 0 || !strings.Contains(out, `"rates"`) || strings.Contains(out, ": null,") && !strings.Contains(out, `"waiting_on"`) {
		t.Errorf("status %d\n%s", status, out)
	}
	if _, errs, status := command("top", "--sort", "size", "--admin", address); status != 1 || !strings.Contains(errs, "cannot be sorted") {
		t.Errorf("status %d\n%s", status, errs)
	}
}
