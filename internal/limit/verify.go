package limit

import (
	"errors"
	"fmt"
)

// Verify compares every counter with an independent count of the permits that are out
// (used, by CounterID) and the lines with their sums. For tests and the simulator.
func (e *Engine) Verify(used []int) error {
	sums, err := e.recount()
	if err != nil {
		return err
	}
	for i := 1; i < e.Bound(); i++ {
		id, u := CounterID(i), 0
		if i < len(used) {
			u = used[i]
		}
		c := e.at(id)
		if !c.live {
			if u != 0 {
				return fmt.Errorf("counter %d is gone but %d permits name it", i, u)
			}
			continue
		}
		if int(c.used) != u {
			return fmt.Errorf("counter %s says %d in use, the connections say %d", e.text(id), c.used, u)
		}
		if found, ok := e.Lookup(e.Key(id)); !ok || found != id {
			return fmt.Errorf("counter %s is not found by its key", e.text(id))
		}
		if err := errors.Join(e.verifyLine(id, sums[i]), e.verifyThrottle(id), e.verifyClaims(id, sums[i].claims)); err != nil {
			return err
		}
	}
	return nil
}

// sums is what the waiters say of a counter.
type sums struct{ waiting, poor, reps, poorRep, passed, claims int32 }

func (e *Engine) recount() ([]sums, error) {
	all := make([]sums, e.Bound())
	for i := uint32(0); i < e.waiters.next; i++ {
		w := e.waiters.at(i)
		for k := w.first; k != 0; k = e.tickets.at(k).more {
			t := e.tickets.at(k)
			all[t.counter].waiting++
			if t.poor() {
				all[t.counter].poor++
			}
		}
		for n := e.claimsOf(w); n != 0; n = e.claims.at(n).more {
			x := e.claims.at(n)
			all[x.counter].claims++
			if uint32(x.waiter) != i || w.first == 0 {
				return nil, fmt.Errorf("waiter %d has claims and does not wait", i)
			}
		}
		t := e.turns.at(w.turns)
		for _, p := range t.passed[:t.n] {
			s := &all[p.counter]
			switch {
			case !p.rep:
				s.passed++
			case t.poor:
				s.poorRep++
				s.reps++
			default:
				s.reps++
			}
		}
	}
	return all, nil
}

// verifyLine: the line of a counter holds what its waiters say, and none of them is
// forgotten.
func (e *Engine) verifyLine(id CounterID, want sums) error {
	c := e.at(id)
	l := e.lineOf(c)
	if got := (sums{l.waiting, l.poor, l.reps, l.poorRep, l.passed, l.claims}); got != want {
		return fmt.Errorf("counter %s says %+v, the waiters say %+v", e.text(id), got, want)
	}
	switch {
	case l.throttle == 0 && !c.listed && e.pick(id) != 0:
		return fmt.Errorf("counter %s has room and waiters, but nobody is going to be woken", e.text(id))
	case l.closing < 0 || l.closing > c.used:
		return fmt.Errorf("counter %s: %d closing of %d in use", e.text(id), l.closing, c.used)
	}
	return nil
}

// verifyThrottle: a throttle with waiters is on the work list, or stands in the heap at
// the time when its first waiter can be admitted.
func (e *Engine) verifyThrottle(id CounterID) error {
	c, x := e.at(id), e.throttleOf(id)
	if x == nil {
		return nil
	}
	l := e.lineOf(c)
	switch {
	case c.used != 0 || x.id != id:
		return fmt.Errorf("throttle %s is used as a counter", e.text(id))
	case l.waiting > 0 && !c.listed && (x.pos == 0 || x.heap != coming || x.due != e.admits(l, x)):
		return fmt.Errorf("throttle %s has %d waiters, and nothing wakes them in time", e.text(id), l.waiting)
	case x.keeper != 0 && !e.hasClaim(x.keeper, id):
		return fmt.Errorf("throttle %s keeps its token for %d, which claims nothing", e.text(id), x.keeper)
	}
	return nil
}

// verifyClaims: the claims of a counter are those of its claimants, oldest first.
func (e *Engine) verifyClaims(id CounterID, want int32) error {
	l := e.lineOf(e.at(id))
	if l.claims != want || (l.claim == 0) != (want == 0) {
		return fmt.Errorf("counter %s says %d claims, the waiters say %d", e.text(id), l.claims, want)
	}
	for k, i := l.claim, int32(0); i < l.claims; i++ {
		x := e.claims.at(k)
		if x.counter != id || e.claims.at(x.next).prev != k || i+1 < l.claims && !e.older(x.waiter, e.claims.at(x.next).waiter) {
			return fmt.Errorf("counter %s: its claims are not in order of age", e.text(id))
		}
		k = x.next
	}
	return nil
}
