package limit

import (
	"math/rand/v2"
	"testing"
)

// TestWaitersInOrder: those who wait at a counter get their turns as Waiters has told, and
// Ahead has told how many come before, exactly where it says so.
func TestWaitersInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 200 {
		e := New()
		root, _ := e.Counter(Key{Option: "server"}, 1, 0)
		path := []CounterID{root}
		tenants := 1 + rng.IntN(12)
		for i := range tenants {
			e.SetWeight(int32(i), 1+rng.IntN(5))
		}
		tenant := map[WaiterID]int32{}
		var p Permit
		e.Acquire(0, &p, path, nil, Turn{Waiter: 999})
		const n = 60
		for w := WaiterID(1); w <= n; w++ {
			tenant[w] = int32(rng.IntN(tenants))
			e.Park(0, Turn{Waiter: w, Tenant: tenant[w], Poor: rng.IntN(2) == 0}, path, Blocker{Counter: root})
			if rng.IntN(5) == 0 {
				next(t, e, &p, path, tenant)
			}
		}
		told := e.Waiters(root, n)
		ahead, exact := map[WaiterID]int{}, map[WaiterID]bool{}
		for _, w := range told {
			ahead[w], exact[w] = e.Ahead(w, root, n)
		}
		for i, w := range told {
			if got := next(t, e, &p, path, tenant); got != w {
				t.Fatalf("turn %d is %d's, told was %d's", i, got, w)
			}
			if exact[w] && ahead[w] != i {
				t.Fatalf("%d is told that exactly %d come before; they are %d", w, ahead[w], i)
			}
		}
		if e.State(root).Waiters != 0 {
			t.Fatal("not all have been told of")
		}
	}
}

// next has the permit of one counter go to the next waiter.
func next(t *testing.T, e *Engine, p *Permit, path []CounterID, tenant map[WaiterID]int32) WaiterID {
	t.Helper()
	e.Return(p)
	w, from, ok := e.Next()
	if !ok {
		t.Fatal("nobody is woken")
	}
	if _, ok := e.Acquire(0, p, path, nil, Turn{Waiter: w, Tenant: tenant[w], From: from}); !ok {
		t.Fatal("its turn, but refused")
	}
	return w
}
