package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// TestManyQueuesInSlices releases, reloads and retries thousands of queues at once: no
// step does it all (S10), the limits hold meanwhile, and in the end nothing is left.
func TestManyQueuesInSlices(t *testing.T) {
	w := New(1)
	const domains, each = 2000, 3
	w.Limit(optServer, "*", 300, 20, 1)
	w.Limit(optMax, "*", 4, 0, 2)
	w.Limit(optServer, "binding:ip-1", 80, 0, 3)
	w.step(sched.Operator{Verb: sched.Suspend, By: "test"})
	for i := range domains * each {
		w.Submit(fmt.Sprintf("ip-%d", i%3), fmt.Sprintf("d%d.test", i%domains), "", 1)
	}
	w.Run(time.Minute)
	if w.books.Delivered != 0 {
		t.Fatalf("%d delivered while suspended", w.books.Delivered)
	}
	w.MostActs = 0
	w.step(sched.Operator{Verb: sched.Resume, By: "test"})
	w.Run(100 * time.Millisecond)
	w.Limit(optServer, "*", 100, 10, 1)
	w.Run(100 * time.Millisecond)
	w.step(sched.Operator{Verb: sched.Retry})
	w.Limit(optServer, "*", 500, 10, 1)
	w.RunUntilQuiet(time.Hour)
	if err := w.Settle(); err != nil {
		t.Fatal(err)
	}
	if w.books.Delivered != domains*each {
		t.Errorf("%d of %d delivered", w.books.Delivered, domains*each)
	}
	if most := 1000; w.MostActs > most {
		t.Errorf("one step gave %d actions, at most %d (S10)", w.MostActs, most)
	}
	t.Logf("%d steps, at most %d actions a step, peak %d, took %v", w.Steps, w.MostActs, w.referee.Peak["server"], w.Since())
}
