package limit

import "fmt"

// Verify compares every counter with an independent count of the permits that are out
// (used, by CounterID) and the lines with their sums. For tests and the simulator.
func (e *Engine) Verify(used []int) error {
	waiting := make([]int32, len(e.counters))
	reps := make([]int32, len(e.counters))
	claims := make([]int32, len(e.counters))
	for i := range e.waiters {
		for t := e.waiters[i].first; t != 0; t = e.tickets[t].more {
			waiting[e.tickets[t].counter]++
		}
		for n := e.waiters[i].claims; n != 0; n = e.claims[n].more {
			claims[e.claims[n].counter]++
			if int(e.claims[n].waiter) != i || e.waiters[i].first == 0 {
				return fmt.Errorf("waiter %d has claims and does not wait", i)
			}
		}
		for _, v := range e.waiters[i].via[:e.waiters[i].nvia] {
			reps[v]++
		}
	}
	for i := 1; i < len(e.counters); i++ {
		c, id := &e.counters[i], CounterID(i)
		u := 0
		if i < len(used) {
			u = used[i]
		}
		switch {
		case !c.live:
			if u != 0 {
				return fmt.Errorf("counter %d is gone but %d permits name it", i, u)
			}
		case int(c.used) != u:
			return fmt.Errorf("counter %s %s says %d in use, the connections say %d", e.keys[i].Option, e.keys[i], c.used, u)
		case c.waiting != waiting[i] || c.reps != reps[i]:
			return fmt.Errorf("counter %s %s says %d waiters and %d let pass, the lines say %d and %d", e.keys[i].Option, e.keys[i], c.waiting, c.reps, waiting[i], reps[i])
		case c.throttle == 0 && !c.listed && c.waiting > 0 && e.pick(id, c) != 0:
			return fmt.Errorf("counter %s %s has room and waiters, but nobody is going to be woken", e.keys[i].Option, e.keys[i])
		case c.closing < 0 || c.closing > c.used || c.poor > c.waiting:
			return fmt.Errorf("counter %s %s: %d closing of %d in use, %d poor of %d waiting", e.keys[i].Option, e.keys[i], c.closing, c.used, c.poor, c.waiting)
		}
		if err := e.verifyThrottle(id); err != nil {
			return err
		}
		if err := e.verifyClaims(id, claims[i]); err != nil {
			return err
		}
		if found, ok := e.Lookup(e.keys[i]); c.live && (!ok || found != id) {
			return fmt.Errorf("counter %s %s is not found by its key", e.keys[i].Option, e.keys[i])
		}
	}
	return nil
}

// verifyThrottle: a throttle with waiters is on the work list, or stands in the heap at
// the time when its first waiter can be admitted.
func (e *Engine) verifyThrottle(id CounterID) error {
	c, x := &e.counters[id], e.throttleOf(id)
	switch {
	case !c.live || x == nil:
	case c.used != 0 || x.id != id:
		return fmt.Errorf("throttle %s %s is used as a counter", e.keys[id].Option, e.keys[id])
	case c.waiting > 0 && !c.listed && (x.pos == 0 || x.heap != coming || x.due != e.admits(c, x)):
		return fmt.Errorf("throttle %s %s has %d waiters, and nothing wakes them in time", e.keys[id].Option, e.keys[id], c.waiting)
	}
	return nil
}

// verifyClaims: the claims of a counter are those of its claimants, oldest first.
func (e *Engine) verifyClaims(id CounterID, want int32) error {
	c := &e.counters[id]
	if c.claims != want || (c.claim == 0) != (want == 0) {
		return fmt.Errorf("counter %s %s says %d claims, the waiters say %d", e.keys[id].Option, e.keys[id], c.claims, want)
	}
	x := c.claim
	for i := int32(0); i < c.claims; i++ {
		next := e.claims[x].next
		if e.claims[x].counter != id || e.claims[next].prev != x || i+1 < c.claims && !e.older(e.claims[x].waiter, e.claims[next].waiter) {
			return fmt.Errorf("counter %s %s: its claims are not in order of age", e.keys[id].Option, e.keys[id])
		}
		x = next
	}
	return nil
}
