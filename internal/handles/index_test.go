package handles

import (
	"math/rand/v2"
	"testing"
)

// TestIndex compares an index with a map over random insertions and removals, with hashes
// that often meet.
func TestIndex(t *testing.T) {
	for _, spread := range []uint64{1, 7, 1000, 1 << 60} {
		rng := rand.New(rand.NewPCG(1, spread))
		hash := func(h uint32) uint64 { return uint64(h) * 0x9e3779b97f4a7c15 % spread * 0x9e3779b97f4a7c15 }
		x := Index{Hash: hash}
		there := map[uint32]bool{}
		most := 3000
		if spread < 1000 {
			most = 100
		}
		for range 20 * most {
			h := uint32(1 + rng.IntN(most))
			found := x.Find(hash(h), func(o uint32) bool { return o == h })
			if (found == h) != there[h] {
				t.Fatalf("spread %d: handle %d is found as %d, there: %v", spread, h, found, there[h])
			}
			if there[h] {
				x.Remove(h)
				delete(there, h)
			} else {
				x.Insert(hash(h), h)
				there[h] = true
			}
		}
	}
}

// TestIndexBytes: a handle costs at most eight bytes in the index, whatever their number.
func TestIndexBytes(t *testing.T) {
	hash := func(h uint32) uint64 { return uint64(h) * 0x9e3779b97f4a7c15 * 0xbf58476d1ce4e5b9 }
	x := Index{Hash: hash}
	worst := 0.0
	for h := uint32(1); h <= 400_000; h++ {
		x.Insert(hash(h), h)
		if h < 100_000 || h%10_000 != 0 {
			continue
		}
		slots := 0
		for i := range x.shards {
			slots += cap(x.shards[i].slots)
		}
		worst = max(worst, 4*float64(slots)/float64(h))
	}
	t.Logf("at most %.1f bytes a handle", worst)
	if worst > 8.5 {
		t.Errorf("%.1f bytes a handle", worst)
	}
}
