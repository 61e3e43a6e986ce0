package limit

// Aged claims. Whoever needs several contended counters that no one of them covers could
// be passed for ever: named by one it finds the other full, and back. So a waiter that has
// waited long, has had its turn at one counter and is stopped by another claims a unit of
// every counter on its path: room that only it and older claimants may take. Claims go by
// age: who claims needs used + older claims < limit, everybody else used + claims < limit;
// of many claims only the oldest few keep a unit. No unit changes hands by a claim, so there is nothing to deadlock on: the oldest
// claimant goes as soon as each of its counters has had one unit returned.
//
// At a throttle a claimant is first in line. Its token is kept for the claimant only while
// that waits for another throttle, for less than a further token would take: else a
// fast one would idle for a slow one.
const (
	claimAfter = 30e9 // ns: who has waited so long may claim,
	claimHolds = 3    // or, if less, so many times the mean time that a permit is held there,
	claimSoon  = 1e9  // but not sooner
	claimShare = 100  // claims keep at most a hundredth of a limit (at least one unit)
	claimsMost = 64   // so many may be on a counter: those of the oldest claimants
)

type claim struct {
	waiter     WaiterID
	counter    CounterID
	prev, next uint32 // at the counter, oldest first, circular; the counter names the oldest
	more       uint32 // the waiter's next claim
}

// patience is how long one waits before the counter that stops one is a reason to claim.
func (c *counter) patience() int64 {
	if c.held == 0 {
		return claimAfter
	}
	return min(max(claimHolds*c.held, claimSoon), claimAfter)
}

// mayClaim reports whether the waiter, stopped by one, has reason to claim its path.
func (e *Engine) mayClaim(w *waiter, t Turn, path []CounterID, stops CounterID) bool {
	if t.From == 0 || t.From == stops || e.now-w.since < e.counters[stops].patience() ||
		e.covers(stops, t.From) {
		return false
	}
	for _, id := range path {
		if !e.claimable(&e.counters[id], t.Waiter) {
			return false
		}
	}
	return true
}

// claimable reports whether the counter has a place for a claim of the waiter.
func (e *Engine) claimable(c *counter, id WaiterID) bool {
	return c.claims < claimsMost || e.older(id, e.claims[e.claims[c.claim].prev].waiter)
}

// kept is how many units the counter keeps for claimants.
func (c *counter) kept() int32 {
	return min(c.claims, max(c.limit/claimShare, 1))
}

// claim registers the waiter on every counter of the path.
func (e *Engine) claim(id WaiterID, path []CounterID) {
	for _, c := range path {
		e.claimOne(id, c)
	}
}

func (e *Engine) claimOne(id WaiterID, c CounterID) {
	if x := &e.counters[c]; x.claims >= claimsMost {
		e.unclaim(e.claims[e.claims[x.claim].prev].waiter) // the youngest makes room
	}
	n := e.allocClaim()
	w := &e.waiters[id]
	e.claims[n] = claim{waiter: id, counter: c, more: w.claims}
	w.claims = n
	e.rankClaim(n)
}

// claimThrottles puts a claimant first in line at the throttles that stop it, and has the
// one that named it keep its token if the wait for another one costs no more than that.
func (e *Engine) claimThrottles(t Turn, blockers []Blocker) {
	for _, b := range blockers {
		e.claimThrottle(t.Waiter, b.Counter)
	}
	if t.From == 0 || len(blockers) != 1 {
		return
	}
	x, stops := e.throttleOf(t.From), e.throttleOf(blockers[0].Counter)
	if x == nil || stops == nil || x == stops {
		return
	}
	e.claimThrottle(t.Waiter, t.From)
	token, _ := x.rate.span(1)
	if wait := stops.ready(int64(blockers[0].Need)) - e.now; wait <= token && (x.keeper == 0 || e.older(t.Waiter, x.keeper)) {
		x.keeper = t.Waiter
	}
}

func (e *Engine) claimThrottle(id WaiterID, at CounterID) {
	c := &e.counters[at]
	if c.throttle != 0 && !e.hasClaim(id, at) && e.claimable(c, id) {
		e.claimOne(id, at)
	}
}

// keptFrom reports whether the throttle keeps its token for somebody who goes before the waiter.
func (e *Engine) keptFrom(x *throttle, id WaiterID) bool {
	if x.keeper == 0 || x.keeper == id {
		return false
	}
	return int(id) >= len(e.waiters) || e.waiters[id].claims == 0 || e.older(x.keeper, id)
}

// rankClaim puts a claim where its waiter's age belongs.
func (e *Engine) rankClaim(n uint32) {
	x := &e.claims[n]
	c := &e.counters[x.counter]
	c.claims++
	if c.claim == 0 {
		x.prev, x.next, c.claim = n, n, n
		return
	}
	after := e.claims[c.claim].prev // the youngest
	for i := int32(1); i < c.claims && e.older(x.waiter, e.claims[after].waiter); i++ {
		if after == c.claim {
			c.claim = n // the oldest of all
		}
		after = e.claims[after].prev
	}
	x.prev, x.next = after, e.claims[after].next
	e.claims[x.next].prev = n
	e.claims[after].next = n
}

func (e *Engine) older(a, b WaiterID) bool {
	x, y := e.waiters[a].since, e.waiters[b].since
	return x < y || x == y && a < b
}

// unclaim gives up the waiter's claims.
func (e *Engine) unclaim(id WaiterID) {
	w := &e.waiters[id]
	for n := w.claims; n != 0; {
		x := e.claims[n]
		c := &e.counters[x.counter]
		if c.claim == n {
			c.claim = x.next
		}
		if c.claims--; c.claims == 0 {
			c.claim = 0
		}
		e.claims[x.prev].next, e.claims[x.next].prev = x.next, x.prev
		e.claims[n] = claim{more: e.freeClaim}
		e.freeClaim = n
		n = x.more
		if t := e.throttleOf(x.counter); t != nil && t.keeper == id {
			t.keeper = 0
		}
		e.push(x.counter)
		e.collect(x.counter)
	}
	w.claims = 0
}

// claimed reports whether the waiter's claims are on just this path, throttles aside.
func (e *Engine) claimed(w *waiter, path []CounterID) bool {
	n := w.claims
	for n != 0 && e.counters[e.claims[n].counter].throttle != 0 {
		n = e.claims[n].more
	}
	for i := len(path) - 1; i >= 0; i-- {
		if n == 0 || e.claims[n].counter != path[i] {
			return false
		}
		n = e.claims[n].more
	}
	return n == 0
}

// hasClaim reports whether the waiter has a claim on the counter.
func (e *Engine) hasClaim(id WaiterID, at CounterID) bool {
	if int(id) >= len(e.waiters) {
		return false
	}
	n := e.waiters[id].claims
	for n != 0 && e.claims[n].counter != at {
		n = e.claims[n].more
	}
	return n != 0
}

// ahead is how many units the counter keeps for others who go before the waiter, and
// whether one is kept for itself.
func (e *Engine) ahead(c *counter, id WaiterID) (n int32, mine bool) {
	kept := c.kept()
	if kept == 0 || int(id) >= len(e.waiters) || e.waiters[id].claims == 0 {
		return kept, false
	}
	for x := c.claim; n < kept; n++ {
		if e.claims[x].waiter == id {
			return n, true
		}
		x = e.claims[x].next
	}
	return n, false
}

// pickClaim returns the ticket of the oldest claimant that waits on the counter and has a
// unit of it, 0 if there is none.
func (e *Engine) pickClaim(id CounterID, c *counter) uint32 {
	x := c.claim
	for n := int32(0); n < c.kept(); n++ {
		w := e.claims[x].waiter
		free := c.limit - c.used - n
		if free+c.reserve <= 0 {
			return 0
		}
		if t := e.ticketAt(w, id); t != 0 && (free > 0 || e.tickets[t].poor) {
			return t
		}
		x = e.claims[x].next
	}
	return 0
}

// firstClaim returns the ticket of the oldest claimant that waits at a throttle.
func (e *Engine) firstClaim(id CounterID, c *counter) uint32 {
	x := c.claim
	for range c.claims {
		if t := e.ticketAt(e.claims[x].waiter, id); t != 0 {
			return t
		}
		x = e.claims[x].next
	}
	return 0
}

func (e *Engine) allocClaim() uint32 {
	if n := e.freeClaim; n != 0 {
		e.freeClaim = e.claims[n].more
		return n
	}
	e.claims = append(e.claims, claim{})
	return uint32(len(e.claims) - 1)
}
