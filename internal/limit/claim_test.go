package limit

import "testing"

// claimants has two waiters that need a counter of their own each and one in common claim
// both, the younger one first: waiter 1 has waited longer than waiter 2.
func claimants(t *testing.T, limit int) (e *Engine, paths [3][]CounterID, common []*Permit) {
	t.Helper()
	e = New()
	z, _ := e.Counter(Key{Option: "z", Group: "z"}, limit, 0)
	var own [3]Permit
	for w := WaiterID(1); w <= 2; w++ {
		id, _ := e.Counter(Key{Option: "own", Domain: name("d", int(w))}, 1, 0)
		paths[w] = []CounterID{id, z}
		e.Acquire(0, &own[w], paths[w][:1], nil, Turn{})
		b, _ := e.Check(int64(w)*second, paths[w], nil, Turn{Waiter: w})
		e.Park(int64(w)*second, Turn{Waiter: w}, paths[w], b)
	}
	for range limit {
		p := &Permit{}
		e.Acquire(2*second, p, []CounterID{z}, nil, Turn{})
		common = append(common, p)
	}
	e.Advance(60 * second)
	for _, w := range []WaiterID{2, 1} {
		e.Return(&own[w])
		got, from, ok := e.Next()
		if !ok || got != w {
			t.Fatalf("%d is woken", got)
		}
		b, _ := e.Check(60*second, paths[w], nil, Turn{Waiter: w, From: from})
		e.Park(60*second, Turn{Waiter: w, From: from}, paths[w], b)
	}
	if e.State(z).Claims != 2 {
		t.Fatalf("%+v", e.State(z))
	}
	return e, paths, common
}

func TestTheOldestClaimGoesFirst(t *testing.T) {
	e, paths, common := claimants(t, 1)
	z := paths[1][1]
	if w := e.Waiters(z, 9); len(w) != 2 || w[0] != 1 {
		t.Errorf("told: %v", w)
	}
	var p [3]Permit
	e.Return(common[0])
	for _, want := range []WaiterID{1, 2} {
		w, from, ok := e.Next()
		if !ok || w != want {
			t.Fatalf("L8: %d goes before %d, which has waited longer", w, want)
		}
		if b, ok := e.Acquire(60*second, &p[w], paths[w], nil, Turn{Waiter: w, From: from}); !ok {
			t.Fatalf("its turn, but refused: %v", b)
		}
		if _, _, ok := e.Next(); ok {
			t.Fatal("a second one is woken for one unit")
		}
		e.Return(&p[w])
	}
}

// TestClaimsKeepLittle: a claim keeps a unit from others, and of several at once only a
// hundredth of the limit, at least one.
func TestClaimsKeepLittle(t *testing.T) {
	e, paths, common := claimants(t, 5)
	z := paths[1][1]
	other := Turn{Waiter: 9}
	e.Return(common[0])
	var p, q Permit
	if b, ok := e.Acquire(60*second, &p, []CounterID{z}, nil, other); ok || b != (Blocker{Counter: z, Why: Claimed}) {
		t.Fatalf("a claimed unit goes to another: %v", b)
	}
	if _, ok := e.Acquire(60*second, &p, paths[2], nil, Turn{Waiter: 2, From: z}); ok {
		t.Fatal("it goes to the younger claimant")
	}
	e.Return(common[1])
	if b, ok := e.Acquire(60*second, &q, []CounterID{z}, nil, Turn{Waiter: 9, From: z}); !ok {
		t.Fatalf("two claims keep two of five units: %v", b)
	}
	e.Cancel(1)
	e.Cancel(2)
	if s := e.State(z); s.Claims != 0 || s.Waiters != 0 {
		t.Errorf("%+v", s)
	}
	if _, ok := e.Acquire(60*second, &p, []CounterID{z}, nil, other); !ok {
		t.Error("claims that were given up keep a unit")
	}
}
