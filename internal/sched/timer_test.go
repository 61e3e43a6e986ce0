package sched

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWheelFiresInOrderAndNotEarly(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		now := rng.Int64N(1 << 50)
		due := map[uint32]int64{}
		handles := map[uint32]uint32{}
		ref := uint32(0)
		for range 3000 {
			switch rng.IntN(4) {
			case 0, 1:
				ref++
				at := now + rng.Int64N(1<<(10+rng.IntN(45))) - 1<<20
				due[ref] = at
				handles[ref] = w.set(at, timerPart, ref)
			case 2:
				if len(due) > 0 {
					keys := make([]uint32, 0, len(due))
					for k := range due {
						keys = append(keys, k)
					}
					slices.Sort(keys)
					k := keys[rng.IntN(len(keys))]
					h := handles[k]
					w.cancel(&h)
					delete(due, k)
				}
			case 3:
				now += rng.Int64N(1 << (15 + rng.IntN(35)))
				last := int64(-1)
				for {
					_, r, ok := w.pop(now)
					if !ok {
						break
					}
					at, known := due[r]
					if !known || at > now {
						t.Fatalf("seed %d: timer %d for %d fired at %d (known %v)", seed, r, at, now, known)
					}
					if tk := ticks(at); tk < last && tk > now>>tickBits {
						t.Fatalf("seed %d: out of order", seed)
					} else {
						last = tk
					}
					delete(due, r)
				}
				for r, at := range due {
					if ticks(at) <= now>>tickBits {
						t.Fatalf("seed %d: timer %d for %d did not fire at %d", seed, r, at, now)
					}
				}
				if n := w.next(); len(due) > 0 && n == neverTime || n <= now-1<<tickBits {
					t.Fatalf("seed %d: next is %d at %d with %d timers", seed, n, now, len(due))
				}
			}
		}
	}
}
