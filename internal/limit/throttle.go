package limit

import "math"

// Toll is so many tokens of a throttle, for one act. N 0 costs nothing.
type Toll struct {
	Throttle CounterID
	N        int32
}

// throttle is what a counter that bounds a rate has besides: it lies in the slab of the
// counters, its waiters stand in the same lines.
type throttle struct {
	bucket
	id     CounterID
	hold   int64    // nobody is woken before: whoever was woken last waits elsewhere for the token
	keeper WaiterID // its token is kept for this claimant
	due    int64    // when it is to be looked at, while it is in a heap
	pos    int32    // in heap, 1-based; 0: in none
	heap   uint8
}

// Throttle finds or creates the throttle of a key and adds a reference to it, as Counter
// does. A throttle that nobody refers to any more is remembered until its bucket is full,
// so that coming back does not refill it.
func (e *Engine) Throttle(k Key, r Rate) (id CounterID, fresh bool) {
	id, fresh = e.Counter(k, 0, 0)
	if fresh {
		e.throttleFor(id).rate = r.norm()
	}
	e.unheap(e.throttleOf(id))
	e.schedule(id)
	return id, fresh
}

// throttleFor makes a counter a throttle.
func (e *Engine) throttleFor(id CounterID) *throttle {
	l := e.needLine(e.at(id))
	l.throttle = e.throttles.alloc()
	x := e.throttles.at(l.throttle)
	x.id = id
	return x
}

// throttleOf returns the throttle of a counter; nil if it is a plain one.
func (e *Engine) throttleOf(id CounterID) *throttle {
	if n := e.lineOf(e.at(id)).throttle; n != 0 {
		return e.throttles.at(n)
	}
	return nil
}

// SetRate changes the rate of a throttle: tokens that are owed stay owed. Its waiters are
// looked at anew.
func (e *Engine) SetRate(now int64, id CounterID, r Rate) {
	e.tick(now)
	x := e.throttleOf(id)
	x.setRate(e.now, r)
	x.hold = 0
	e.schedule(id)
}

// AskLess says that a waiter asks for n tokens where it asked for more: what it would do
// next has become smaller. It keeps its place.
func (e *Engine) AskLess(now int64, w WaiterID, n int32) {
	if !e.Parked(w) {
		return
	}
	e.tick(now)
	for k := e.waiter(w).first; k != 0; k = e.tickets.at(k).more {
		if t := e.tickets.at(k); t.need > n && e.throttleOf(t.counter) != nil {
			t.need = max(n, 1)
			e.schedule(t.counter)
		}
	}
}

// Ready returns when the throttle would admit the toll as far as its bucket is concerned:
// now if it would.
func (e *Engine) Ready(now int64, toll Toll) int64 {
	if toll.N <= 0 {
		return now
	}
	return max(now, e.throttleOf(toll.Throttle).ready(int64(toll.N)))
}

// Spend takes the tokens of a further act on a connection that is open: all or none.
func (e *Engine) Spend(now int64, tolls []Toll, t Turn) (Blocker, bool) {
	e.tick(now)
	if b, ok := e.checkTolls(tolls, t); !ok {
		return b, false
	}
	e.settle(t)
	e.spend(tolls)
	return Blocker{}, true
}

// Refund gives back tokens that were taken at the time spent (by Acquire or Spend) for an
// act that did not happen. No window ever sees more than the rate allows: tokens after
// which others were spent are not given back.
func (e *Engine) Refund(now, spent int64, tolls []Toll) {
	e.tick(now)
	for _, x := range tolls {
		if x.N > 0 {
			e.throttleOf(x.Throttle).unspend(spent, int64(x.N))
			e.schedule(x.Throttle)
		}
	}
}

// checkTolls returns the throttle that will admit its toll last, or one at which others
// come first.
func (e *Engine) checkTolls(tolls []Toll, t Turn) (Blocker, bool) {
	var worst Blocker
	at := e.now
	for _, x := range tolls {
		if x.N <= 0 {
			continue
		}
		l := e.lineOf(e.at(x.Throttle))
		th := e.throttles.at(l.throttle)
		switch r := th.ready(int64(x.N)); {
		case r > at:
			worst, at = Blocker{x.Throttle, Throttled, x.N}, r
		case worst.Counter == 0 && e.keptFrom(th, t.Waiter):
			worst = Blocker{x.Throttle, Throttled, x.N}
		case worst.Counter == 0 && l.waiting > 0 && !e.claimsFirst(t.Waiter, x.Throttle, l) && !e.hadTurn(t, x.Throttle):
			worst = Blocker{x.Throttle, Throttled, x.N}
		}
	}
	return worst, worst.Counter == 0
}

func (e *Engine) spend(tolls []Toll) {
	for _, x := range tolls {
		if x.N > 0 {
			e.throttleOf(x.Throttle).spend(e.now, int64(x.N))
			e.at(x.Throttle).granted(uint32(x.N))
			e.schedule(x.Throttle)
		}
	}
}

// admits is when the throttle may admit whoever is first in its line. A claimant goes before
// whoever was woken last and waits elsewhere for the token.
func (e *Engine) admits(l *line, x *throttle) int64 {
	t := e.tickets.at(e.first(x.id, l))
	if e.keptFrom(x, t.waiter) {
		return math.MaxInt64
	}
	ready := x.ready(int64(t.need))
	if !e.hasClaim(t.waiter, x.id) {
		ready = max(ready, x.hold)
	}
	return ready
}

// first is the ticket at the front of a throttle's line: claimants by age, then in fair order.
func (e *Engine) first(id CounterID, l *line) uint32 {
	if l.claims > 0 {
		if t := e.firstClaim(id, l); t != 0 {
			return t
		}
	}
	return e.front(e.listOf(l), false)
}

// schedule sees to it that a throttle is looked at when its first waiter can be admitted,
// and that one nobody refers to is forgotten when its bucket is full. It does nothing to
// a plain counter.
func (e *Engine) schedule(id CounterID) {
	c := e.at(id)
	l := e.lineOf(c)
	if l.throttle == 0 || c.listed {
		return
	}
	x := e.throttles.at(l.throttle)
	switch {
	case l.waiting == 0 && c.refs > 0:
		e.unheap(x)
	case l.waiting == 0:
		e.inHeap(x, fading, x.full())
	default:
		if at := e.admits(l, x); at > e.now {
			e.inHeap(x, coming, at)
			return
		}
		e.unheap(x)
		e.list(id, c)
	}
}

// passToken is called when a waiter that a throttle has woken lines up elsewhere. If that
// covers the throttle, its whole traffic goes through there and the waiter stands in for
// it: the next one is woken when another token has come. Else the token is free for the
// next one.
func (e *Engine) passToken(id CounterID, covered bool) {
	x := e.throttleOf(id)
	if x == nil {
		return
	}
	if covered && x.rate.N > 0 {
		ns, _ := x.rate.span(1)
		x.hold = e.now + ns + 1
	}
	e.schedule(id)
}

// unhold: whoever was woken last by a throttle does not stand in for it elsewhere any more:
// its token is free for the next one. It does nothing to a plain counter.
func (e *Engine) unhold(id CounterID) {
	if x := e.throttleOf(id); x != nil {
		x.hold = 0
	}
}

// Advance moves the clock on: throttles whose tokens came due enter the work list of
// Next. Not more than a slice of them at once: WakeAt is not after now while some are left.
func (e *Engine) Advance(now int64) {
	e.tick(now)
	for range slice {
		x := e.soonest(coming)
		if x == nil || x.due > e.now {
			break
		}
		e.unheap(x)
		e.schedule(x.id)
	}
	for range slice {
		x := e.soonest(fading)
		if x == nil || x.due > e.now {
			break
		}
		e.unheap(x)
		e.collect(x.id)
	}
}

const slice = 64

// tick takes the time over; it never runs backwards.
func (e *Engine) tick(now int64) { e.now = max(e.now, now) }

// WakeAt returns when Advance has something to do, math.MaxInt64 if never.
func (e *Engine) WakeAt() int64 {
	if x := e.soonest(coming); x != nil {
		return x.due
	}
	return math.MaxInt64
}
