package handles

import (
	"math/rand/v2"
	"testing"
)

// TestFree compares with a plain stack.
func TestFree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var f Free
	var want []uint32
	for i := range 200_000 {
		grow := 40 + 20*(i/10_000%2) // it grows and shrinks by turns
		if rng.IntN(100) < grow {
			h := rng.Uint32()
			f.Push(h)
			want = append(want, h)
		} else if h, ok := f.Pop(); ok != (len(want) > 0) || ok && h != want[len(want)-1] {
			t.Fatalf("step %d: %d, %v", i, h, ok)
		} else if ok {
			want = want[:len(want)-1]
		}
		if f.Len() != len(want) {
			t.Fatalf("step %d: %d are there, want %d", i, f.Len(), len(want))
		}
	}
}

// TestFreeIsSteady: coming and going allocates nothing, at the edge of a block either.
func TestFreeIsSteady(t *testing.T) {
	var f Free
	for range block {
		f.Push(1)
	}
	f.Push(2)
	if n := testing.AllocsPerRun(1000, func() { f.Pop(); f.Pop(); f.Push(1); f.Push(2) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
