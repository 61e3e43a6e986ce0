package limit

// Aged claims. Whoever needs several contended counters that no one of them covers could
// be passed for ever: named by one it finds the other full, and back. So a waiter that has
// waited long, has had its turn at one counter and is stopped by another claims a unit of
// every counter on its path: room that only it and older claimants may take. Claims by
// age: who claims needs used + older claims < limit, everybody else used + claims <
// limit. No unit changes hands by a claim, so there is nothing to deadlock on: the oldest
// claimant goes as soon as each of its counters has had one unit returned.
//
// A throttle's tokens cannot be kept: there a claimant is merely the first in line.
const (
	claimAfter  = 30e9 // ns: who has waited so long may claim,
	claimHolds  = 3    // or, if less, so many times the mean time that a permit is held there,
	claimSoon   = 1e9  // but not sooner
	claimsMost  = 64   // claims on one counter: a hundredth of its limit, at least one, and
	claimsShare = 100  // never more than that
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
	if t.From == 0 || t.From == stops || len(path) == 0 || e.now-w.since < e.counters[stops].patience() ||
		e.keys[stops].covers(&e.keys[t.From]) {
		return false
	}
	for _, id := range path {
		c := &e.counters[id]
		if c.throttle == 0 && c.claims >= min(max(c.limit/claimsShare, 1), claimsMost) {
			return false
		}
	}
	return true
}

// claim registers the waiter on every counter of the path.
func (e *Engine) claim(id WaiterID, path []CounterID) {
	w := &e.waiters[id]
	for _, c := range path {
		n := e.allocClaim()
		e.claims[n] = claim{waiter: id, counter: c, more: w.claims}
		w.claims = n
		e.rankClaim(n)
	}
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
		e.push(x.counter)
		e.collect(x.counter)
	}
	w.claims = 0
}

// claimed reports whether the waiter's claims are on just this path.
func (e *Engine) claimed(w *waiter, path []CounterID) bool {
	n := w.claims
	for i := len(path) - 1; i >= 0; i-- {
		if n == 0 || e.claims[n].counter != path[i] {
			return false
		}
		n = e.claims[n].more
	}
	return n == 0
}

// ahead is how many claims on the counter go before the waiter, and whether it has one.
func (e *Engine) ahead(c *counter, id WaiterID) (n int32, mine bool) {
	if c.claims == 0 || id == 0 || int(id) >= len(e.waiters) || e.waiters[id].claims == 0 {
		return c.claims, false
	}
	for x := c.claim; n < c.claims; n++ {
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
	for n := int32(0); n < c.claims; n++ {
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
