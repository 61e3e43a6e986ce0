package sched

import (
	"math/rand/v2"
	"testing"
)

// TestFIFO compares a fifo with a slice, while it grows and shrinks over several blocks.
func TestFIFO(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	var f fifo[int]
	var want []int
	for i := range 100_000 {
		if rng.IntN(100) < 30+40*(i/8000%2) {
			f.push(i)
			want = append(want, i)
		} else {
			v, ok := f.pop()
			if ok != (len(want) > 0) || ok && v != want[0] {
				t.Fatalf("step %d: %d, %v", i, v, ok)
			}
			if ok {
				want = want[1:]
			}
		}
		if f.len() != len(want) {
			t.Fatalf("step %d: %d are there, want %d", i, f.len(), len(want))
		}
		if n := len(want); n > 0 {
			if k := rng.IntN(n); *f.nth(k) != want[k] || *f.front() != want[0] || *f.back() != want[n-1] {
				t.Fatalf("step %d: of %d, number %d is %d, want %d", i, n, k, *f.nth(k), want[k])
			}
		}
	}
}
