package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// TestWaitingTimesAddUp gives every queue one message, so that it waits from then on until
// a connection carries mail of its binding and domain: that is looked at from outside, in
// the list of connections. What explain books on causes must add up to it, in every sample,
// within a hundredth.
func TestWaitingTimesAddUp(t *testing.T) {
	samples, causes := 0, map[string]int{}
	for seed := uint64(1); seed <= 6; seed++ {
		w := New(seed)
		w.Check = true
		w.Limit(optServer, "*", 6, 2, 1)
		w.Limit(optServer, "binding:ip-1", 3, 0, 2)
		w.Limit(optScope, "d3.test", 1, 0, 3)
		w.Limit(optMax, "host:mx.shared.test", 2, 0, 4)
		for i := range 10 {
			w.domains[fmt.Sprintf("s%d.test", i)] = &domain{hosts: []mxHost{{name: "mx.shared.test", preference: 10}}}
		}
		came := map[string]int64{} // queues whose mail nobody has carried
		for i := range 60 {
			b, d := fmt.Sprintf("ip-%d", i%2), fmt.Sprintf("d%d.test", i/2)
			if i >= 40 {
				d = fmt.Sprintf("s%d.test", i/2%10)
			}
			w.Receiver("mx." + d).Latency = 300 * time.Millisecond
			w.client(time.Duration(w.rng.Int64N(int64(10*time.Second))), func() {
				came[d+"/"+b] = w.now
				w.Submit(b, d, "", 1)
			})
		}
		w.client(5*time.Second, func() { w.step(sched.Operator{Verb: sched.Suspend, By: "the test", Binding: "ip-0"}) })
		w.client(15*time.Second, func() { w.step(sched.Operator{Verb: sched.Resume, By: "the test", Binding: "ip-0"}) })
		for range 600 {
			w.Run(50 * time.Millisecond)
			for _, c := range w.conns { // each by itself: the order does not matter
				delete(came, c.Domain+"/"+c.Binding)
			}
			for _, q := range slices.Sorted(maps.Keys(came)) {
				x, ok := w.m.Explain(w.now, q)
				if !ok {
					delete(came, q) // came, carried and gone since the last look
					continue
				}
				sum := 0.0
				for cause, seconds := range x.Waited { // a sum: the order does not matter
					sum += seconds
					causes[cause]++
				}
				samples++
				if want := float64(w.now-came[q]) / 1e9; math.Abs(sum-want) > want/100+1e-6 {
					t.Fatalf("seed %d: %s has waited %.6f s, its causes add up to %.6f s: %v", seed, q, want, sum, x.Waited)
				}
			}
		}
		if err := w.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d samples, all within a hundredth; by cause: %v", samples, causes)
	if samples < 1000 || len(causes) < 6 {
		t.Errorf("too little was seen: %d samples, %d causes", samples, len(causes))
	}
}
