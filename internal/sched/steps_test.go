package sched

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// sweeps are the events that concern every queue or every part.
func sweeps(m *Machine) []struct {
	name string
	ev   Event
} {
	return []struct {
		name string
		ev   Event
	}{
		{"suspend", Operator{Verb: Suspend, By: "test"}},
		{"resume", Operator{Verb: Resume, By: "test"}},
		{"retry", Operator{Verb: Retry, By: "test"}},
		{"reload", everything(m, 7)},
		{"reload that shortens the life of mail", everything(m, 6)},
		{"rebind", Operator{Verb: Move, By: "test", Targets: map[string][]Candidate{"domain1.test": {{Binding: "other", Policy: testPolicy(bd(8))}}}}},
		{"fail", Operator{Verb: Fail, By: "test", Reply: mail.Reply{Code: 550, Text: "cleared"}}},
	}
}

// everything is a reload that changes the policy of all lanes and hosts.
func everything(m *Machine, limit int) PolicyChanged {
	p := testPolicy(bd(limit), server(2, 0))
	if limit == 6 {
		p.Expiration /= 2
	}
	ev := PolicyChanged{Generation: uint64(10 - limit), Server: policy.Server{MaxConnections: 1000}}
	for cursor := ""; ; {
		var names []Name
		names, cursor = m.Names(cursor, 1000)
		for _, n := range names {
			if n.Host != "" {
				ev.Hosts = append(ev.Hosts, HostPolicy{Binding: n.Binding, Host: n.Host, Policy: &policy.Host{}})
			} else {
				ev.Queues = append(ev.Queues, QueuePolicy{Binding: n.Binding, Domain: n.Domain, Policy: p})
			}
		}
		if cursor == "" {
			return ev
		}
	}
}

// follow takes an event and all steps that it leaves over, answered as by edges that write
// at once; each is called after every step.
func follow(m *Machine, ev Event, each func(took time.Duration)) {
	todo := []Event{ev}
	for len(todo) > 0 {
		ev := todo[0]
		todo = todo[1:]
		start := threadTime()
		m.Step(m.now, ev)
		each(threadTime() - start)
		account, change := uint64(0), uint64(0)
		again := false
		for _, a := range m.Drain(nil) {
			switch a := a.(type) {
			case WakeAt:
				again = a.At <= m.now
			case Account:
				account = a.Seq
			case Bounce:
				change = a.Seq
			case Persist:
				change = a.Seq
			case Finish:
				change = a.Seq
			}
		}
		if account > 0 {
			todo = append(todo, Recorded{account})
		}
		if change > 0 {
			todo = append(todo, Stored{change})
		}
		if again && len(todo) == 0 {
			todo = append(todo, Tick{})
		}
	}
}

// TestSweepsInSteps: what concerns every queue and every message is done in steps of a bounded
// number of visits (S10), whatever it is: a reload, recovery, suspend, resume, retry, fail,
// rebind.
func TestSweepsInSteps(t *testing.T) {
	const queues, parts = 5000, 4
	m := crowd(queues, parts, true)
	for _, x := range sweeps(m) {
		most, steps := 0, 0
		follow(m, x.ev, func(time.Duration) {
			most = max(most, budget-m.visits)
			steps++
		})
		t.Logf("%s: %d steps of at most %d visits", x.name, steps, most)
		if most > budget+budget/4 {
			t.Errorf("%s: a step of %d visits, at most %d", x.name, most, budget+budget/4)
		}
		if steps < queues/budget {
			t.Errorf("%s over %d queues: %d steps", x.name, queues, steps)
		}
	}
	if n := m.Totals(m.now); n.Parts != n.Flying {
		t.Errorf("left: %+v", n)
	}
}

// threadTime is the processor time of this thread: what else runs on the machine does not count.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkLock measures how long the lock is held at a time, step by step and in processor
// time, while a million messages in a hundred thousand queues are recovered, reloaded,
// suspended, retried, failed. The lists are in BenchmarkPages.
func BenchmarkLock(b *testing.B) {
	var m *Machine
	report := func(b *testing.B, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "µs-p50")
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "µs-p99")
		b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/1e3, "µs-max")
		b.ReportMetric(float64(len(took)), "steps")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("recovery", func(b *testing.B) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for range b.N {
			took := make([]time.Duration, 0, 1_200_000)
			m = crowdTimed(100_000, 10, true, func(d time.Duration) { took = append(took, d) })
			report(b, took)
		}
	})
	if m == nil {
		m = crowd(100_000, 10, true)
	}
	for _, x := range sweeps(m) {
		b.Run(x.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			took := make([]time.Duration, 0, 1<<16)
			for range b.N {
				follow(m, x.ev, func(d time.Duration) { took = append(took, d) })
			}
			report(b, took)
		})
	}
}
