package limit

import (
	"testing"

	"pgregory.net/rapid"
)

// A permit passes to the head of the line, all or nothing, and counts as a grant.
func TestPass(t *testing.T) {
	e := New()
	one, _ := e.Counter(key("a", "b", "one"), 5, 0)
	two, _ := e.Counter(key("a", "b", "two"), 1, 0)
	host, _ := e.Counter(Key{Option: "a", Host: "h"}, 2, 0)
	from, to := []CounterID{host, one}, []CounterID{host, two}
	var p, q, r Permit
	e.Acquire(0, &p, from, nil, Turn{Waiter: 1})
	e.Acquire(0, &q, from, nil, Turn{Waiter: 1})
	if e.Heir(&p, host) != 0 {
		t.Error("an heir where nobody waits")
	}
	e.Park(0, Turn{Waiter: 2}, to, Blocker{Counter: host, Why: Full})
	if w := e.Heir(&p, host); w != 2 {
		t.Errorf("heir %d", w)
	}
	if e.Heir(&p, one) != 0 || e.State(host).Used != 2 || e.Pending() {
		t.Error("asking for the heir has changed something")
	}
	e.Idle(&p, 1)
	e.Leave(&p)
	if _, ok := e.Pass(0, &p, to, nil, Turn{Waiter: 2, From: host}); !ok {
		t.Fatal("it does not pass")
	}
	if s := e.State(host); s.Used != 2 || s.Waiters != 0 || s.Closing != 0 || e.State(one).Used != 1 || e.State(two).Used != 1 {
		t.Errorf("host %+v, one %+v, two %+v", s, e.State(one), e.State(two))
	}
	if _, idle := e.Yield(host); idle {
		t.Error("the permit that has passed is still idle")
	}
	// Waiter 3 wants the second place too: two is full by a permit that stays.
	if b, ok := e.Pass(0, &q, to, nil, Turn{Waiter: 3}); ok || b.Counter != two || e.State(one).Used != 1 {
		t.Errorf("passed to a full counter: %+v %v", b, ok)
	}
	e.Return(&p)
	e.Return(&q)
	defer func() {
		if recover() == nil {
			t.Error("a permit that is not held passes")
		}
	}()
	e.Pass(0, &r, to, nil, Turn{Waiter: 1})
}

// One that leaves is surplus and contended as if it stayed, and Stay takes it back.
func TestStay(t *testing.T) {
	e := New()
	c, _ := e.Counter(key("a", "b", "d"), 2, 0)
	var p, q Permit
	e.Acquire(0, &p, []CounterID{c}, nil, Turn{Waiter: 1})
	e.Acquire(0, &q, []CounterID{c}, nil, Turn{Waiter: 1})
	e.Park(0, Turn{Waiter: 2}, []CounterID{c}, Blocker{Counter: c, Why: Full})
	e.Leave(&p)
	if !e.Contended(&p, 0) || e.Contended(&q, 0) {
		t.Error("one waits and one leaves: that one is his, the other is not")
	}
	e.SetLimit(c, 1, 0)
	if !e.Surplus(&p) || e.Surplus(&q) {
		t.Error("one too many and one leaves: that one is surplus, the other is not")
	}
	e.Stay(&p)
	if e.State(c).Closing != 0 || !e.Surplus(&q) {
		t.Error("one that stays counts as leaving")
	}
}

// Who is named heir is who would have been woken first had the permit been returned.
func TestHeirIsNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(), New()
		var ids []CounterID
		for i := range rapid.IntRange(1, 4).Draw(t, "counters") {
			k := Key{Option: string(rune('a' + i))}
			for range i % 3 {
				k.Binding, k.Domain = "b", k.Domain+"d"
			}
			most := rapid.IntRange(1, 3).Draw(t, "limit")
			id, _ := a.Counter(k, most, 0)
			b.Counter(k, most, 0)
			ids = append(ids, id)
		}
		var pa, pb []Permit
		pa, pb = make([]Permit, 0, 16), make([]Permit, 0, 16)
		for w := WaiterID(1); w <= WaiterID(rapid.IntRange(2, 12).Draw(t, "waiters")); w++ {
			path := ids[rapid.IntRange(0, len(ids)-1).Draw(t, "from"):]
			turn := Turn{Waiter: w, Tenant: int32(w % 3)}
			var x, y Permit
			block, ok := a.Acquire(0, &x, path, nil, turn)
			_, okb := b.Acquire(0, &y, path, nil, turn)
			if ok != okb {
				t.Fatal("the two engines differ")
			}
			if ok {
				pa, pb = append(pa, x), append(pb, y)
				continue
			}
			a.Park(0, turn, path, block)
			b.Park(0, turn, path, block)
		}
		if len(pa) == 0 {
			return
		}
		i := rapid.IntRange(0, len(pa)-1).Draw(t, "which")
		heir, at := WaiterID(0), CounterID(0)
		var best uint8
		for _, id := range pa[i].Path() {
			if w := a.Heir(&pa[i], id); w != 0 && (heir == 0 || a.at(id).rank > best) {
				heir, at, best = w, id, a.at(id).rank
			}
		}
		b.Return(&pb[i])
		next, from, _ := b.Next()
		if heir != next && b.at(from).rank != best {
			t.Fatalf("heir %d at %d, but %d is woken at %d", heir, at, next, from)
		}
	})
}
