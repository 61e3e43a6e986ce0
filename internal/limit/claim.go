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
func (l *line) patience() int64 {
	if l.held == 0 {
		return claimAfter
	}
	return min(max(claimHolds*l.held, claimSoon), claimAfter)
}

// reclaim looks at the claims of a waiter that is being parked: those on another path are
// over, and if it has reason to claim this one it does.
func (e *Engine) reclaim(w *waiter, t Turn, path []CounterID, blockers []Blocker) {
	if len(path) > 0 && e.claimsOf(w) != 0 && !e.claimed(w, path) {
		e.unclaim(t.Waiter)
	}
	if e.claimsOf(w) == 0 {
		if !e.mayClaim(w, t, path, blockers[0].Counter) {
			return
		}
		e.claim(t.Waiter, path)
	}
	e.claimThrottles(t, blockers)
}

// mayClaim reports whether the waiter, stopped by one, has reason to claim its path.
func (e *Engine) mayClaim(w *waiter, t Turn, path []CounterID, stops CounterID) bool {
	if t.From == 0 || t.From == stops || int64(age(e.now)-w.since)<<ageBits < e.lineOf(e.at(stops)).patience() || e.covers(stops, t.From) {
		return false
	}
	for _, id := range path {
		if !e.claimable(e.lineOf(e.at(id)), t.Waiter) {
			return false
		}
	}
	return true
}

// claimable reports whether the counter has a place for a claim of the waiter.
func (e *Engine) claimable(l *line, id WaiterID) bool {
	return l.claims < claimsMost || e.older(id, e.claims.at(e.youngest(l)).waiter)
}

func (e *Engine) youngest(l *line) uint32 { return e.claims.at(l.claim).prev }

// kept is how many units the counter keeps for claimants.
func (c *counter) kept(l *line) int32 {
	if l.claims == 0 {
		return 0
	}
	return min(l.claims, max(c.limit/claimShare, 1))
}

// claim registers the waiter on every counter of the path.
func (e *Engine) claim(id WaiterID, path []CounterID) {
	for _, c := range path {
		e.claimOne(id, c)
	}
}

func (e *Engine) claimOne(id WaiterID, at CounterID) {
	l := e.needLine(e.at(at))
	if l.claims >= claimsMost {
		e.unclaim(e.claims.at(e.youngest(l)).waiter) // it makes room
	}
	n := e.claims.alloc()
	w := e.waiter(id)
	*e.claims.at(n) = claim{waiter: id, counter: at, more: e.claimsOf(w)}
	e.setClaims(w, n)
	e.rankClaim(l, n)
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
	l := e.lineOf(e.at(at))
	if l.throttle != 0 && !e.hasClaim(id, at) && e.claimable(l, id) {
		e.claimOne(id, at)
	}
}

// keptFrom reports whether the throttle keeps its token for somebody who goes before the waiter.
func (e *Engine) keptFrom(x *throttle, id WaiterID) bool {
	if x.keeper == 0 || x.keeper == id {
		return false
	}
	return !e.waiters.has(uint32(id)) || e.claimsOf(e.waiter(id)) == 0 || e.older(x.keeper, id)
}

// rankClaim puts a claim where its waiter's age belongs.
func (e *Engine) rankClaim(l *line, n uint32) {
	x := e.claims.at(n)
	l.claims++
	if l.claim == 0 {
		x.prev, x.next, l.claim = n, n, n
		return
	}
	after := e.youngest(l)
	for i := int32(1); i < l.claims && e.older(x.waiter, e.claims.at(after).waiter); i++ {
		if after == l.claim {
			l.claim = n // the oldest of all
		}
		after = e.claims.at(after).prev
	}
	x.prev, x.next = after, e.claims.at(after).next
	e.claims.at(x.next).prev = n
	e.claims.at(after).next = n
}

func (e *Engine) older(a, b WaiterID) bool {
	x, y := e.waiter(a).since, e.waiter(b).since
	return x < y || x == y && a < b
}

// unclaim gives up the waiter's claims.
func (e *Engine) unclaim(id WaiterID) {
	w := e.waiter(id)
	for n := e.claimsOf(w); n != 0; {
		x := *e.claims.at(n)
		l := e.lineOf(e.at(x.counter))
		if l.claim == n {
			l.claim = x.next
		}
		if l.claims--; l.claims == 0 {
			l.claim = 0
		}
		e.claims.at(x.prev).next, e.claims.at(x.next).prev = x.next, x.prev
		e.claims.release(n)
		n = x.more
		if t := e.throttleOf(x.counter); t != nil && t.keeper == id {
			t.keeper = 0
		}
		e.push(x.counter)
		e.collect(x.counter)
	}
	if w.turns != 0 {
		e.setClaims(w, 0)
	}
}

// Forgo gives up the waiter's claims on room: it goes on to wait for tokens alone.
func (e *Engine) Forgo(id WaiterID) {
	if e.waiters.has(uint32(id)) && !e.claimed(e.waiter(id), nil) {
		e.unclaim(id)
	}
}

// claimed reports whether the waiter's claims are on just this path, throttles aside.
func (e *Engine) claimed(w *waiter, path []CounterID) bool {
	n := e.claimsOf(w)
	for n != 0 && e.throttleOf(e.claims.at(n).counter) != nil {
		n = e.claims.at(n).more
	}
	for i := len(path) - 1; i >= 0; i-- {
		if n == 0 || e.claims.at(n).counter != path[i] {
			return false
		}
		n = e.claims.at(n).more
	}
	return n == 0
}

// hasClaim reports whether the waiter has a claim on the counter.
func (e *Engine) hasClaim(id WaiterID, at CounterID) bool {
	if !e.waiters.has(uint32(id)) {
		return false
	}
	n := e.claimsOf(e.waiter(id))
	for n != 0 && e.claims.at(n).counter != at {
		n = e.claims.at(n).more
	}
	return n != 0
}

// ahead is how many units the counter keeps for others who go before the waiter, and
// whether one is kept for itself.
func (e *Engine) ahead(c *counter, l *line, id WaiterID) (n int32, mine bool) {
	kept := c.kept(l)
	if kept == 0 || !e.waiters.has(uint32(id)) || e.claimsOf(e.waiter(id)) == 0 {
		return kept, false
	}
	for k := l.claim; n < kept; n++ {
		x := e.claims.at(k)
		if x.waiter == id {
			return n, true
		}
		k = x.next
	}
	return n, false
}

// pickClaim returns the ticket of the oldest claimant that waits on the counter and has a
// unit of it, 0 if there is none.
func (e *Engine) pickClaim(id CounterID, c *counter, l *line) uint32 {
	kept := c.kept(l)
	for k, n := l.claim, int32(0); n < kept; n++ {
		free := c.limit - c.used - n
		if free+l.reserve <= 0 {
			return 0
		}
		x := e.claims.at(k)
		if t := e.ticketAt(x.waiter, id); t != 0 && (free > 0 || e.tickets.at(t).poor()) {
			return t
		}
		k = x.next
	}
	return 0
}

// claimsFirst reports whether the waiter goes before all who wait at a throttle: it has a
// claim, and no older claimant waits there. One that asks for fewer tokens does not go first
// for that.
func (e *Engine) claimsFirst(w WaiterID, id CounterID, l *line) bool {
	if !e.hasClaim(w, id) {
		return false
	}
	k := e.firstClaim(id, l)
	return k == 0 || !e.older(e.tickets.at(k).waiter, w)
}

// firstClaim returns the ticket of the oldest claimant that waits at a throttle.
func (e *Engine) firstClaim(id CounterID, l *line) uint32 {
	k := l.claim
	for range l.claims {
		x := e.claims.at(k)
		if t := e.ticketAt(x.waiter, id); t != 0 {
			return t
		}
		k = x.next
	}
	return 0
}
