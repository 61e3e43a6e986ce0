package limit

import "testing"

// TestPassedOnceForEachRoom: a counter lets as many pass to a fuller one as it has room
// for, not all who wait there: one release is worth one visit or two, however many wait.
func TestPassedOnceForEachRoom(t *testing.T) {
	e := New()
	root, _ := e.Counter(Key{Option: "root"}, 2, 0)
	leaf, _ := e.Counter(Key{Option: "leaf", Domain: "one.test"}, 1, 0)
	far, _ := e.Counter(Key{Option: "leaf", Domain: "two.test"}, 9, 0)
	path := []CounterID{leaf, root}
	var here, there Permit
	mustAcquire := func(p *Permit, path []CounterID) {
		t.Helper()
		if b, ok := e.Acquire(0, p, path, nil, Turn{}); !ok {
			t.Fatalf("%s blocks", e.Key(b.Counter))
		}
	}
	mustAcquire(&here, path)
	mustAcquire(&there, []CounterID{far, root})
	for w := WaiterID(1); w <= 1000; w++ {
		turn := Turn{Waiter: w}
		b, ok := e.Check(0, path, nil, turn)
		if ok || b.Counter != leaf {
			t.Fatalf("waiter %d: %v %v", w, b, ok)
		}
		e.Park(0, turn, path, b)
	}
	e.SetLimit(root, 1, 0) // what comes free is not free at the root
	e.Return(&here)
	visits := 0
	for {
		w, from, ok := e.Next()
		if !ok {
			break
		}
		if visits++; visits > 2 {
			t.Fatalf("more than two were looked at for one release")
		}
		turn := Turn{Waiter: w, From: from}
		b, ok := e.Check(0, path, nil, turn)
		if ok {
			t.Fatal("the root has no room")
		}
		e.Park(0, turn, path, b)
	}
	if visits == 0 {
		t.Error("nobody was looked at")
	}
}

// TestAwayGainsNothing: a tenant that comes back to a line has no more turns than one that
// was there all the time.
func TestAwayGainsNothing(t *testing.T) {
	e := New()
	id, _ := e.Counter(Key{Option: "root"}, 1, 0)
	path := []CounterID{id}
	var p Permit
	if _, ok := e.Acquire(0, &p, path, nil, Turn{}); !ok {
		t.Fatal("the first one is blocked")
	}
	next := WaiterID(0)
	tenants := map[WaiterID]int32{}
	park := func(tenant int32) {
		next++
		tenants[next] = tenant
		turn := Turn{Waiter: next, Tenant: tenant}
		b, _ := e.Check(0, path, nil, turn)
		e.Park(0, turn, path, b)
	}
	grant := func() int32 {
		e.Return(&p)
		w, from, ok := e.Next()
		if !ok {
			t.Fatal("nobody is woken")
		}
		if _, ok := e.Acquire(0, &p, path, nil, Turn{Waiter: w, Tenant: tenants[w], From: from}); !ok {
			t.Fatal("who is woken is blocked")
		}
		return tenants[w]
	}
	for range 300 {
		park(1)
	}
	park(2)
	park(3)
	for range 100 { // tenants 2 and 3 are served once, and are away then
		grant()
	}
	for range 50 {
		park(2)
	}
	second := 0
	for range 20 {
		if grant() == 2 {
			second++
		}
	}
	if second < 8 || second > 12 {
		t.Errorf("of 20 turns the tenant that came back has %d, not half", second)
	}
}

// TestTwoOptionsOfAStanza: what counts on one option of a stanza need not count on another
// one: who waits for that does not stand in for the line of the first.
func TestTwoOptionsOfAStanza(t *testing.T) {
	e := New()
	first, _ := e.Counter(Key{Option: "scope", Stanza: "re"}, 2, 0)
	second, _ := e.Counter(Key{Option: "cluster", Stanza: "re"}, 1, 0)
	var p [3]Permit
	for i, path := range [][]CounterID{{first, second}, {first}} {
		if b, ok := e.Acquire(0, &p[i], path, nil, Turn{}); !ok {
			t.Fatalf("%s blocks", e.Key(b.Counter))
		}
	}
	both, one := []CounterID{first, second}, []CounterID{first}
	b, _ := e.Check(0, both, nil, Turn{Waiter: 1})
	e.Park(0, Turn{Waiter: 1}, both, b)
	b, _ = e.Check(0, one, nil, Turn{Waiter: 2})
	e.Park(0, Turn{Waiter: 2}, one, b)
	e.Return(&p[1])
	served := false
	for {
		w, from, ok := e.Next()
		if !ok {
			break
		}
		turn := Turn{Waiter: w, From: from}
		path := both
		if w == 2 {
			path = one
		}
		b, ok := e.Acquire(0, &p[2], path, nil, turn)
		if served = served || ok && w == 2; !ok {
			e.Park(0, turn, path, b)
		}
	}
	if !served {
		t.Error("a slot that the one who waits elsewhere cannot use is kept from the next one")
	}
}
