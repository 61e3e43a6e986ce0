package limit

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchWorld is n queues in random order on paths of two counters of their own each, a
// binding, a group and a tight server counter; everybody waits for a connection.
type benchWorld struct {
	e     *Engine
	now   int64
	paths [][5]CounterID
	open  []benchPermit
	rng   *rand.Rand
}

type benchPermit struct {
	p Permit
	w WaiterID
}

// newBenchWorld makes the counters, each kind in a random order of its own.
func newBenchWorld(n, server int) *benchWorld {
	b := &benchWorld{e: New(), paths: make([][5]CounterID, n+1), rng: rand.New(rand.NewPCG(1, 1)), open: make([]benchPermit, 0, server+1)}
	root, _ := b.e.Counter(Key{Option: "server_max_outbound_connections"}, server, 0)
	var bindings [100]CounterID
	var groups [10]CounterID
	for i := range groups {
		groups[i], _ = b.e.Counter(Key{Option: "server_max_outbound_connections", Group: fmt.Sprint("group-", i)}, server/5, 0)
	}
	for i := range bindings {
		bindings[i], _ = b.e.Counter(Key{Option: "server_max_outbound_connections", Binding: fmt.Sprint("ip-", i)}, server/20, 0)
	}
	names := make([]string, n+1)
	for i := range names {
		names[i] = fmt.Sprint("domain-", i, ".test")
	}
	for _, i := range b.rng.Perm(n) {
		id, _ := b.e.Counter(Key{Option: "max_outbound_connections", Binding: fmt.Sprint("ip-", i%100), Domain: names[i]}, 32, 0)
		b.paths[i+1] = [5]CounterID{id, 0, bindings[i%100], groups[i%10], root}
	}
	for _, i := range b.rng.Perm(n) {
		b.paths[i+1][1], _ = b.e.Counter(Key{Option: "cluster_max_outbound_connections", Binding: fmt.Sprint("ip-", i%100), Domain: names[i]}, 64, 0)
	}
	return b
}

// ask has the queue take a connection, or wait.
func (b *benchWorld) ask(w WaiterID, from CounterID) bool {
	t := Turn{Waiter: w, From: from, Tenant: int32(w) % 4}
	n := len(b.open)
	b.open = b.open[:n+1]
	b.open[n] = benchPermit{w: w}
	x, ok := b.e.Acquire(b.now, &b.open[n].p, b.paths[w][:], nil, t)
	if !ok {
		b.open = b.open[:n]
		b.e.Park(b.now, t, b.paths[w][:], x)
		return false
	}
	return true
}

// fill has everybody ask, in random order.
func (b *benchWorld) fill() {
	for _, i := range b.rng.Perm(len(b.paths) - 1) {
		b.ask(WaiterID(i+1), 0)
	}
}

// turn is two events: a return with the grants that it wakes, and the queue that had the
// connection asking again.
func (b *benchWorld) turn() {
	b.now += int64(10 * time.Microsecond)
	k, last := b.rng.IntN(len(b.open)), len(b.open)-1
	old := b.open[k].w
	b.e.Return(&b.open[k].p)
	b.open[k] = b.open[last]
	b.open = b.open[:last]
	b.e.Advance(b.now)
	for b.e.Pending() {
		if w, from, ok := b.e.Next(); ok {
			b.ask(w, from)
		}
	}
	if !b.e.Parked(old) {
		b.ask(old, 0)
	}
}

// BenchmarkEngine measures events of the engine (an acquisition or a return, with what
// follows of it) in a second of processor time, beside random reads of as much memory.
func BenchmarkEngine(b *testing.B) {
	for _, n := range []int{20_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			before := heapInUse()
			w := newBenchWorld(n, 2000)
			counters := heapInUse()
			w.e.waiters.reach(uint32(n))
			idle := heapInUse()
			start := cpuTime()
			w.fill()
			parking := cpuTime() - start
			parked := heapInUse()
			paths := len(w.paths) * 20 // the world's own, not the engine's
			for range 1000 {
				w.turn()
			}
			b.ReportAllocs()
			b.ResetTimer()
			start = cpuTime()
			for range b.N {
				w.turn()
			}
			used := (cpuTime() - start).Seconds()
			b.StopTimer()
			b.ReportMetric(2*float64(b.N)/used/1e6, "Mevents/cpu-s")
			b.ReportMetric(randomReads(parked-before)/1e6, "Mreads/cpu-s")
			b.ReportMetric(float64(counters-before-paths)/float64(w.e.Counters()), "B/counter")
			b.ReportMetric(float64(idle-counters)/float64(n), "B/queue")
			b.ReportMetric(float64(parked-idle)/float64(n), "B/ticket")
			b.ReportMetric(parking.Seconds(), "s-to-park-all")
			runtime.KeepAlive(w)
		})
	}
}

// BenchmarkEventTime measures single events in processor time: turns of a world of a million
// queues, and of 100,000 who wait on two limits that cross.
func BenchmarkEventTime(b *testing.B) {
	report := func(b *testing.B, n int, event func()) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		took := make([]time.Duration, n)
		for i := range took {
			start := threadTime()
			event()
			took[i] = threadTime() - start
		}
		slices.Sort(took)
		for _, x := range []struct {
			at   int
			unit string
		}{{n / 2, "µs-p50"}, {n * 99 / 100, "µs-p99"}, {n * 9999 / 10000, "µs-p99.99"}, {n - 1, "µs-max"}} {
			b.ReportMetric(float64(took[x.at].Nanoseconds())/1e3, x.unit)
		}
	}
	b.Run("1M queues", func(b *testing.B) {
		w := newBenchWorld(1_000_000, 2000)
		w.fill()
		report(b, 100_000, w.turn)
	})
	b.Run("100k on crossing limits", func(b *testing.B) {
		c := newCrowd(100_000)
		i := 0
		report(b, 20_000, func() {
			c.now += second / 2000
			c.e.Advance(c.now)
			c.giveBack()
			for before := c.e.visits; c.e.Pending() && c.e.visits-before < 256; {
				if w, from, ok := c.e.Next(); ok {
					c.ask(w, from)
				}
			}
			c.take(i % 2)
			i++
		})
	})
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// randomReads is how many words of so much memory can be read in a second of processor
// time, each at a place that the last one tells.
func randomReads(bytes int) float64 {
	words := make([]uint32, bytes/4)
	for i := range words {
		words[i] = uint32(i)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := len(words) - 1; i > 0; i-- { // one cycle through all (Sattolo)
		j := rng.IntN(i)
		words[i], words[j] = words[j], words[i]
	}
	const n = 3_000_000
	at := uint32(0)
	start := cpuTime()
	for range n {
		at = words[at]
	}
	used := (cpuTime() - start).Seconds()
	runtime.KeepAlive(at)
	return n / used
}

func heapInUse() int {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}
