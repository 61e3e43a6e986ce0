package limit

import "testing"

// At a throttle too the oldest claimant goes first: a younger one does not overtake it
// because it asks for fewer tokens, of which there are enough.
func TestTheOldestClaimGoesFirstAtAThrottle(t *testing.T) {
	e, paths, common := claimants(t, 1)
	z := paths[1][1]
	rate, _ := e.Throttle(key("rate", "", ""), Rate{1, second, 4})
	e.Spend(60*second, []Toll{{rate, 3}}, Turn{}) // one token is left
	e.Return(common[0])
	w, from, ok := e.Next()
	if !ok || w != 1 {
		t.Fatalf("%d is woken", w)
	}
	e.Park(60*second, Turn{Waiter: 1, From: from}, paths[1], Blocker{rate, Throttled, 4})
	e.Park(60*second, Turn{Waiter: 2, From: z}, paths[2], Blocker{rate, Throttled, 1})
	if e.State(rate).Claims != 2 {
		t.Fatalf("%+v", e.State(rate))
	}
	if b, ok := e.Check(60*second, nil, []Toll{{rate, 1}}, Turn{Waiter: 2}); ok || b.Counter != rate {
		t.Fatal("L8: the younger claimant overtakes the older one")
	}
	e.Advance(63*second - 1)
	if w, _, ok := e.Next(); ok {
		t.Fatalf("%d is woken before there are tokens for the oldest", w)
	}
	e.Advance(63 * second)
	if w, from, ok = e.Next(); !ok || w != 1 || from != rate {
		t.Fatalf("%d is woken at %d", w, from)
	}
	if b, ok := e.Spend(63*second, []Toll{{rate, 4}}, Turn{Waiter: w, From: from}); !ok {
		t.Fatalf("its turn, but refused: %+v", b)
	}
	e.Advance(64 * second)
	if w, _, ok = e.Next(); !ok || w != 2 {
		t.Fatalf("%d is woken", w)
	}
}
