package limit

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// world is n queues on paths of three counters of their own kind each and a tight
// server counter, everybody waiting for a connection.
type benchWorld struct {
	e     *Engine
	paths [][4]CounterID
	open  []benchPermit
}

type benchPermit struct {
	p Permit
	w WaiterID
}

func newBenchWorld(n, server int) *benchWorld {
	b := &benchWorld{e: New(), paths: make([][4]CounterID, n+1)}
	root, _ := b.e.Counter(Key{Option: "server_max_outbound_connections"}, server, 0)
	bindings := make([]CounterID, 10)
	for i := range bindings {
		bindings[i], _ = b.e.Counter(Key{Option: "server_max_outbound_connections", Binding: fmt.Sprint("ip-", i)}, server/5, 0)
	}
	for i := 1; i <= n; i++ {
		binding, domain := fmt.Sprint("ip-", i%10), fmt.Sprint("domain", i/10, ".test")
		bd, _ := b.e.Counter(Key{Option: "max_outbound_connections", Binding: binding, Domain: domain}, 32, 0)
		d, _ := b.e.Counter(Key{Option: "scope_max_outbound_connections", Stanza: domain}, 64, 0)
		b.paths[i] = [4]CounterID{bd, d, bindings[i%10], root}
	}
	return b
}

func (b *benchWorld) ask(w WaiterID, from CounterID, slot int) bool {
	t := Turn{Waiter: w, From: from}
	x, ok := b.e.Acquire(0, &b.open[slot].p, b.paths[w][:], nil, t)
	if !ok {
		b.e.Park(0, t, b.paths[w][:], x)
		return false
	}
	b.open[slot].w = w
	return true
}

// BenchmarkEngine measures one release, the grant that it wakes, and the queue that
// was granted lining up again: two events of the engine.
func BenchmarkEngine(b *testing.B) {
	for _, n := range []int{20_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			before := heapInUse()
			w := newBenchWorld(n, 2000)
			for i := 1; i <= n; i++ {
				w.open = append(w.open, benchPermit{})
				if !w.ask(WaiterID(i), 0, len(w.open)-1) {
					w.open = w.open[:len(w.open)-1]
				}
			}
			perQueue := float64(heapInUse()-before) / float64(n)
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				k := rng.IntN(len(w.open))
				old := w.open[k].w
				w.e.Return(&w.open[k].p)
				granted := false
				for !granted {
					q, from, ok := w.e.Next()
					if !ok {
						break
					}
					granted = w.ask(q, from, k)
				}
				if !granted {
					w.open[k] = w.open[len(w.open)-1]
					w.open = w.open[:len(w.open)-1]
				}
				if !w.e.Parked(old) {
					w.e.Park(0, Turn{Waiter: old}, w.paths[old][:], Blocker{Counter: w.paths[old][3]})
				}
			}
			b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(perQueue, "B/queue")
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
