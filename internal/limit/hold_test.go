package limit

import "testing"

// A throttle's token is held back while whoever it has woken stands in for its line at a
// counter that covers it; not a moment longer.
func TestHeldOnlyWhileSomebodyStandsIn(t *testing.T) {
	for name, end := range map[string]func(e *Engine, path []CounterID, tolls []Toll, slow CounterID, from Turn){
		"it stops at another throttle": func(e *Engine, path []CounterID, _ []Toll, slow CounterID, turn Turn) {
			e.Park(second, turn, path, Blocker{slow, Throttled, 1})
		},
		"it comes back": func(e *Engine, path []CounterID, tolls []Toll, _ CounterID, turn Turn) {
			e.Park(second, turn, path, Blocker{tolls[0].Throttle, Throttled, 1})
		},
		"it gives up": func(e *Engine, _ []CounterID, _ []Toll, _ CounterID, turn Turn) { e.Cancel(turn.Waiter) },
	} {
		t.Run(name, func(t *testing.T) {
			e := New()
			rate, _ := e.Throttle(key("rate", "b", "d"), Rate{1, second, 1})
			slow, _ := e.Throttle(key("slow", "", ""), Rate{1, day, 1})
			wide, _ := e.Counter(key("wide", "", ""), 1, 0)
			path, tolls := []CounterID{wide}, []Toll{{rate, 1}}
			var p Permit
			e.Acquire(0, &p, path, []Toll{{rate, 1}, {slow, 1}}, Turn{})
			for w := WaiterID(1); w <= 2; w++ {
				e.Park(0, Turn{Waiter: w}, path, Blocker{rate, Throttled, 1})
			}
			e.Advance(second)
			w, from, ok := e.Next()
			if !ok || w != 1 || from != rate {
				t.Fatalf("%d is woken at %d", w, from)
			}
			e.Park(second, Turn{Waiter: 1, From: from}, path, Blocker{Counter: wide, Why: Full})
			if w, _, ok := e.Next(); ok {
				t.Fatalf("%d is woken for a token that 1 stands for", w)
			}
			e.Return(&p)
			if w, from, ok = e.Next(); !ok || w != 1 || from != wide {
				t.Fatalf("%d is woken at %d", w, from)
			}
			end(e, path, tolls, slow, Turn{Waiter: 1, From: from})
			if _, from, ok = e.Next(); !ok || from != rate {
				t.Fatalf("nobody is woken though the token is free: held until %d", e.throttleOf(rate).hold)
			}
			if err := e.Verify(nil); err != nil {
				t.Error(err)
			}
		})
	}
}
