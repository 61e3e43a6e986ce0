package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The garbage collector's percentage at each size of the live heap. A small heap would
// be collected many times a second for the sake of a few megabytes; a large one, which
// is a long queue, would grow to twice its size. In between is Go's own default.
const (
	heapSmall   = 64 << 20  // up to here garbage may grow to about as much
	heapLarge   = 256 << 20 // from here on it may grow to half of what is live
	percentMost = 800
	percentMid  = 100
	percentLow  = 50
)

// TuneCollector makes the garbage collector follow the size of the heap from now on, and
// work harder before the memory that the system gives runs short. GOGC and GOMEMLIMIT in
// the environment have precedence. For the whole process, to be called once.
func TuneCollector() {
	if limit := newMemory().limit; limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 7) // below what makes intake refuse mail
	}
	if os.Getenv("GOGC") == "" {
		c := &collector{}
		c.cycle(0)
	}
}

type collector struct{ percent int }

// cycle is called after each collection, by the cleanup of an object that nobody holds.
func (c *collector) cycle(int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if p := percentFor(live[0].Value.Uint64()); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p) // stops the world for a moment: rarely
	}
	runtime.AddCleanup(new([16]byte), c.cycle, 0)
}

// percentFor returns GOGC for a heap of that many live octets, in steps of two.
func percentFor(live uint64) int {
	switch {
	case live >= heapLarge:
		return percentLow
	case live >= heapSmall:
		return percentMid
	}
	p := percentMid
	for p < percentMost && live*uint64(p) < heapSmall/2*100 {
		p *= 2
	}
	return p
}
