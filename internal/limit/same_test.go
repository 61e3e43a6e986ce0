package limit

import (
	"hash/fnv"
	"runtime"
	"testing"
	"time"
)

// TestSameAgain: the same events give the same grants, however often, on any number of
// processors. (Each engine has a hash seed of its own.)
func TestSameAgain(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	x := crossing{limits: []int{4, 3, 2}, competitors: 20, hold: []time.Duration{3e9, 2e9, 1e9}, victimHold: 2e9, victims: 5, rates: []Rate{{2, second, 2}}, length: 600e9}
	var first uint64
	for i := range 100 {
		runtime.GOMAXPROCS(1 + i%4)
		w, _, _ := x.build(t, false)
		w.run(x.length)
		h := fnv.New64a()
		for _, p := range w.queues {
			for k, at := range p.granted {
				for b := range 8 {
					h.Write([]byte{byte(at >> (8 * b)), byte(p.turns[k] >> (8 * b))})
				}
			}
		}
		if i == 0 {
			first = h.Sum64()
		} else if h.Sum64() != first {
			t.Fatalf("run %d differs from the first", i)
		}
	}
	t.Logf("100 runs, one trace: %x", first)
}
