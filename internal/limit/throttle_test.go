package limit

import (
	"math"
	"testing"
	"time"
)

func TestTokensAllOrNone(t *testing.T) {
	e := New()
	fast, _ := e.Throttle(key("fast", "", ""), Rate{10, second, 1})
	slow, _ := e.Throttle(key("slow", "", ""), Rate{1, second, 1})
	c, _ := e.Counter(key("c", "", ""), 1, 0)
	tolls := []Toll{{fast, 1}, {slow, 1}}
	var p, q Permit
	if _, ok := e.Acquire(0, &p, []CounterID{c}, tolls, Turn{Waiter: 1}); !ok {
		t.Fatal("the first is refused")
	}
	if b, ok := e.Acquire(0, &q, []CounterID{c}, tolls, Turn{Waiter: 2}); ok || b.Counter != c {
		t.Errorf("L2: %v", b)
	}
	now := second / 2
	if b, ok := e.Spend(now, tolls, Turn{Waiter: 2}); ok || b != (Blocker{slow, Throttled, 1}) {
		t.Errorf("half a token is enough: %v", b)
	}
	if e.Ready(now, tolls[0]) != now {
		t.Error("L7: a refused act has cost a token")
	}
	e.Return(&p)
	if b, ok := e.Acquire(now, &q, []CounterID{c}, tolls, Turn{Waiter: 2}); ok || b.Counter != slow || q.Held() || e.State(c).Used != 0 {
		t.Errorf("L2: a permit without its token: %v", b)
	}
}

func TestThrottleWakesOneForEachToken(t *testing.T) {
	e := New()
	id, _ := e.Throttle(key("rate", "", ""), Rate{4, second, 1})
	tolls := []Toll{{id, 1}}
	e.Spend(0, tolls, Turn{})
	for w := WaiterID(1); w <= 8; w++ {
		b, ok := e.Check(0, nil, tolls, Turn{Waiter: w})
		if ok {
			t.Fatal("admitted without a token")
		}
		e.Park(0, Turn{Waiter: w}, nil, b)
	}
	if _, _, ok := e.Next(); ok {
		t.Fatal("somebody is woken before a token has come")
	}
	for i := int64(1); i <= 8; i++ {
		at := e.WakeAt()
		if at != i*second/4 {
			t.Fatalf("token %d is due at %v", i, time.Duration(at))
		}
		e.Advance(at - 1)
		if e.Pending() {
			t.Fatal("woken too early")
		}
		e.Advance(at)
		w, from, ok := e.Next()
		if !ok || w != WaiterID(i) || from != id {
			t.Fatalf("token %d wakes %d from %d", i, w, from)
		}
		if b, ok := e.Spend(at, tolls, Turn{Waiter: w, From: from}); !ok {
			t.Fatalf("its turn, but refused: %v", b)
		}
		if _, _, ok := e.Next(); ok {
			t.Fatal("one token wakes two")
		}
		if err := e.Verify(nil); err != nil {
			t.Fatal(err)
		}
	}
	if e.WakeAt() != math.MaxInt64 {
		t.Error("a wake stands although nobody waits")
	}
}

func TestFasterRateWakes(t *testing.T) {
	e := New()
	id, _ := e.Throttle(key("rate", "", ""), Rate{1, day, 1})
	tolls := []Toll{{id, 1}}
	e.Spend(0, tolls, Turn{})
	b, _ := e.Check(0, nil, tolls, Turn{Waiter: 1})
	e.Park(0, Turn{Waiter: 1}, nil, b)
	e.SetRate(second, id, Rate{1, second, 1})
	if at := e.WakeAt(); at > 2*second {
		t.Errorf("woken at %v", time.Duration(at))
	}
	e.SetRate(second, id, Rate{})
	if w, _, ok := e.Next(); !ok || w != 1 {
		t.Error("a rate that was taken away keeps its waiter")
	}
}

func TestThrottleRemembersUntilFull(t *testing.T) {
	e := New()
	r := Rate{1, int64(time.Hour), 1}
	id, _ := e.Throttle(key("rate", "", ""), r)
	e.Spend(0, []Toll{{id, 1}}, Turn{})
	e.Release(id)
	e.Advance(second)
	id, fresh := e.Throttle(key("rate", "", ""), r)
	if fresh || e.Ready(second, Toll{id, 1}) != int64(time.Hour) {
		t.Error("L7: a throttle that was let go and asked for again has a token")
	}
	e.Release(id)
	e.Advance(int64(time.Hour))
	if e.Counters() != 0 {
		t.Error("a throttle that is full and nobody's stays")
	}
}

// TestCoveredThrottle: a waiter with a token that waits at the server stands in for its
// throttle, which wakes the next one when another token has come.
func TestCoveredThrottle(t *testing.T) {
	e := New()
	root, _ := e.Counter(Key{Option: "server"}, 1, 0)
	id, _ := e.Throttle(key("rate", "b", ""), Rate{1, second, 1})
	path, tolls := []CounterID{root}, []Toll{{id, 1}}
	e.Spend(0, tolls, Turn{})
	for w := WaiterID(1); w <= 3; w++ {
		b, _ := e.Check(0, path, tolls, Turn{Waiter: w})
		e.Park(0, Turn{Waiter: w}, path, b)
	}
	var p, q Permit
	e.Acquire(0, &p, path, nil, Turn{Waiter: 9})
	e.Advance(second)
	w, from, _ := e.Next()
	b, ok := e.Check(second, path, tolls, Turn{Waiter: w, From: from})
	if ok || b.Counter != root {
		t.Fatalf("%v", b)
	}
	e.Park(second, Turn{Waiter: w, From: from}, path, b)
	if _, _, ok := e.Next(); ok {
		t.Fatal("the second is woken for the same token")
	}
	e.Return(&p)
	w, from, _ = e.Next()
	if _, ok := e.Acquire(second, &q, path, tolls, Turn{Waiter: w, From: from}); w != 1 || !ok {
		t.Fatalf("%d is woken, or refused", w)
	}
	e.Advance(2*second + 1)
	if w, _, ok := e.Next(); !ok || w != 2 {
		t.Errorf("the next token wakes %d", w)
	}
}
