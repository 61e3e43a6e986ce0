package limit

import (
	"math"
	"slices"
)

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

func (e *Engine) throttleFor(id CounterID) *throttle {
	var n uint32
	if k := len(e.freeThr); k > 0 {
		n = e.freeThr[k-1]
		e.freeThr = e.freeThr[:k-1]
	} else {
		e.throttles = append(e.throttles, throttle{})
		n = uint32(len(e.throttles) - 1)
	}
	e.throttles[n] = throttle{id: id}
	e.counters[id].throttle = n
	return &e.throttles[n]
}

// throttleOf returns the throttle of a counter; nil if it is a plain one.
func (e *Engine) throttleOf(id CounterID) *throttle {
	if n := e.counters[id].throttle; n != 0 {
		return &e.throttles[n]
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
		c, th := &e.counters[x.Throttle], e.throttleOf(x.Throttle)
		switch r := th.ready(int64(x.N)); {
		case r > at:
			worst, at = Blocker{x.Throttle, Throttled, x.N}, r
		case worst.Counter == 0 && e.keptFrom(th, t.Waiter):
			worst = Blocker{x.Throttle, Throttled, x.N}
		case worst.Counter == 0 && c.waiting > 0 && !e.hasClaim(t.Waiter, x.Throttle) && !e.passed(t, x.Throttle):
			worst = Blocker{x.Throttle, Throttled, x.N}
		}
	}
	return worst, worst.Counter == 0
}

// passed reports whether the asker need not queue at the throttle: it has waited there.
func (e *Engine) passed(t Turn, id CounterID) bool {
	if id == t.From {
		return true
	}
	if t.From == 0 || int(t.Waiter) >= len(e.waiters) {
		return false
	}
	w := &e.waiters[t.Waiter]
	return slices.Contains(w.via[:w.nvia], id)
}

func (e *Engine) spend(tolls []Toll) {
	for _, x := range tolls {
		if x.N > 0 {
			e.throttleOf(x.Throttle).spend(e.now, int64(x.N))
			e.counters[x.Throttle].grants += uint64(x.N)
			e.schedule(x.Throttle)
		}
	}
}

// admits is when the throttle may admit whoever is first in its line.
func (e *Engine) admits(c *counter, x *throttle) int64 {
	t := &e.tickets[e.first(x.id, c)]
	if e.keptFrom(x, t.waiter) {
		return math.MaxInt64
	}
	return max(x.ready(int64(t.need)), x.hold)
}

// first is the ticket at the front of a throttle's line: claimants by age, then in fair order.
func (e *Engine) first(id CounterID, c *counter) uint32 {
	if c.claims > 0 {
		if t := e.firstClaim(id, c); t != 0 {
			return t
		}
	}
	return e.head(&e.lists[c.list], false)
}

// schedule sees to it that a throttle is looked at when its first waiter can be admitted,
// and that one nobody refers to is forgotten when its bucket is full. It does nothing to
// a plain counter.
func (e *Engine) schedule(id CounterID) {
	c := &e.counters[id]
	x := e.throttleOf(id)
	switch {
	case x == nil || c.listed:
	case c.waiting == 0 && c.refs > 0:
		e.unheap(x)
	case c.waiting == 0:
		e.inHeap(x, fading, x.full())
	default:
		if at := e.admits(c, x); at > e.now {
			e.inHeap(x, coming, at)
			return
		}
		e.unheap(x)
		e.list(id)
	}
}

// passOn is called when a waiter that the throttle has woken lines up elsewhere. If that
// covers the throttle, its whole traffic goes through there and the waiter stands in for it: the
// next one is woken when another token has come. Else the token is free for the next one.
func (e *Engine) passOn(x *throttle, covered bool) {
	if covered && x.rate.N > 0 {
		ns, _ := x.rate.span(1)
		x.hold = e.now + ns + 1
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

// Two heaps order throttles by the time at which they are to be looked at.
const (
	coming = 0 // tokens for those who wait
	fading = 1 // nobody refers to it; to be forgotten
)

func (e *Engine) soonest(h uint8) *throttle {
	if len(e.heaps[h]) == 0 {
		return nil
	}
	return &e.throttles[e.heaps[h][0]]
}

func (e *Engine) inHeap(x *throttle, h uint8, due int64) {
	if x.pos != 0 && x.heap != h {
		e.unheap(x)
	}
	x.heap, x.due = h, due
	if x.pos == 0 {
		e.heaps[h] = append(e.heaps[h], e.counters[x.id].throttle)
		x.pos = int32(len(e.heaps[h]))
	}
	e.fixHeap(h, int(x.pos)-1)
}

func (e *Engine) unheap(x *throttle) {
	if x.pos == 0 {
		return
	}
	q := e.heaps[x.heap]
	i, last := int(x.pos)-1, len(q)-1
	q[i] = q[last]
	e.throttles[q[i]].pos = int32(i + 1)
	e.heaps[x.heap] = q[:last]
	x.pos = 0
	if i < last {
		e.fixHeap(x.heap, i)
	}
}

func (e *Engine) before(a, b uint32) bool {
	x, y := &e.throttles[a], &e.throttles[b]
	return x.due < y.due || x.due == y.due && x.id < y.id
}

// fixHeap moves the entry at i to where it belongs.
func (e *Engine) fixHeap(h uint8, i int) {
	q := e.heaps[h]
	swap := func(i, j int) {
		q[i], q[j] = q[j], q[i]
		e.throttles[q[i]].pos, e.throttles[q[j]].pos = int32(i+1), int32(j+1)
	}
	for i > 0 && e.before(q[i], q[(i-1)/2]) {
		swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		c := 2*i + 1
		if c >= len(q) {
			return
		}
		if c+1 < len(q) && e.before(q[c+1], q[c]) {
			c++
		}
		if !e.before(q[c], q[i]) {
			return
		}
		swap(i, c)
		i = c
	}
}
