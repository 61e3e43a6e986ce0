package limit

// WaiterID names one that may wait: a ready queue. The scheduler gives the numbers,
// small and dense. Zero is nobody.
type WaiterID uint32

// waiter is what the engine knows of one that waits.
type waiter struct {
	first uint32 // its tickets
	turns uint32 // and claims; 0: neither
	since uint32 // when it was parked first since it was granted something, as age; 0: it was not
}

// ageBits makes ages of times: a unit is 67 ms, there are enough of them for nine years.
const ageBits = 26

func age(now int64) uint32 { return uint32(now>>ageBits) + 1 }

// ticket is the place of one waiter in the line of one counter.
type ticket struct {
	seq        uint32 // compared by difference
	waiter     WaiterID
	counter    CounterID
	prev, next uint32 // in the line
	more       uint32 // the waiter's next ticket
	share      int32
	need       int32 // tokens of a throttle; for a counter poor or rich
}

const (
	rich = 0
	poor = -1 // the waiter holds nothing
)

func (t *ticket) poor() bool { return t.need == poor }

func (t *ticket) before(u *ticket) bool { return int32(t.seq-u.seq) < 0 }

func (e *Engine) waiter(id WaiterID) *waiter { return e.waiters.at(uint32(id)) }

// Park lines the waiter up at what blocks it, as Check has said: one counter or
// throttle, or, when it could go to any of several hosts that are all full, one for each.
// It stays until Next names it or Cancel. After Next each waiter ends in Acquire, Spend,
// Park or Cancel. path is the counters of the address that it would take, for claims; for
// a message on an open connection there is none.
func (e *Engine) Park(now int64, t Turn, path []CounterID, blockers ...Blocker) {
	e.tick(now)
	e.waiters.reach(uint32(t.Waiter))
	w := e.waiter(t.Waiter)
	e.leaveLines(t.Waiter)
	if w.since == 0 {
		w.since = age(e.now)
	}
	one := CounterID(0) // all its way leads through here
	if len(blockers) == 1 {
		one = blockers[0].Counter
	}
	e.reclaim(w, t, path, blockers)
	e.passes(w, t, one)
	for _, b := range blockers {
		e.lineUp(t, b)
	}
}

// Cancel takes the waiter out of every line.
func (e *Engine) Cancel(id WaiterID) {
	if !e.waiters.has(uint32(id)) {
		return
	}
	w := e.waiter(id)
	e.leaveLines(id)
	e.dropTurns(w, Turn{Waiter: id}, false)
	e.unclaim(id)
	w.since = 0
}

// Parked reports whether the waiter stands in a line.
func (e *Engine) Parked(id WaiterID) bool {
	return e.waiters.has(uint32(id)) && e.waiter(id).first != 0
}

// Waits reports whether the waiter stands in the line of a counter or throttle.
func (e *Engine) Waits(w WaiterID, id CounterID) bool { return e.ticketAt(w, id) != 0 }

// WaitsOn returns the first counter that the waiter waits on, 0 if it does not wait.
func (e *Engine) WaitsOn(id WaiterID) CounterID {
	if !e.Parked(id) {
		return 0
	}
	return e.tickets.at(e.waiter(id).first).counter
}

// Next names the next waiter whose turn it is and the counter that has room for it,
// most specific counters first, in fair order. The waiter has left its lines. false:
// nobody, or, while Pending, that enough has been looked at for one call.
func (e *Engine) Next() (WaiterID, CounterID, bool) {
	most := e.visits + slice
	for rank := maxRank; rank >= 0 && e.pending > 0; rank-- {
		for q := &e.work[rank]; len(*q) > 0 && e.visits < most; {
			id := (*q)[len(*q)-1]
			e.visits++
			if k := e.pick(id); k != 0 {
				w := e.tickets.at(k).waiter
				e.leaveLines(w)
				return w, id, true
			}
			*q = (*q)[:len(*q)-1]
			e.pending--
			e.at(id).listed = false
			e.schedule(id)
			e.collect(id)
		}
	}
	return 0, 0, false
}

// Pending reports whether Next may have somebody to name.
func (e *Engine) Pending() bool { return e.pending > 0 }

// pick returns the ticket that a counter would serve next, 0 if it has no room for
// anybody who waits.
func (e *Engine) pick(id CounterID) uint32 {
	c := e.at(id)
	l := e.lineOf(c)
	switch {
	case l.waiting == 0:
		return 0
	case l.throttle != 0:
		if e.admits(l, e.throttles.at(l.throttle)) <= e.now {
			return e.first(id, l)
		}
		return 0
	}
	if l.claims > 0 {
		if k := e.pickClaim(id, c, l); k != 0 {
			return k
		}
	}
	if c.room(l, false) > 0 {
		return e.front(e.listOf(l), false)
	}
	if l.poor > 0 && c.room(l, true) > 0 {
		return e.front(e.listOf(l), true)
	}
	return 0
}

// push puts a counter on the work list if it has somebody to serve.
func (e *Engine) push(id CounterID) {
	c := e.at(id)
	if c.line == 0 || c.listed {
		return
	}
	l := e.lineOf(c)
	switch {
	case l.throttle != 0:
		e.schedule(id)
	case l.waiting == 0:
	case c.room(l, false) > 0, l.poor > 0 && c.room(l, true) > 0, l.claims > 0 && e.pickClaim(id, c, l) != 0:
		e.list(id, c)
	}
}

func (e *Engine) list(id CounterID, c *counter) {
	c.listed = true
	e.work[c.rank] = append(e.work[c.rank], id)
	e.pending++
}

// settle closes the account of a waiter that is being granted: its turn is charged
// where it was named, and what was held back for it is freed for the grant itself.
func (e *Engine) settle(t Turn) {
	if t.Waiter == 0 {
		return
	}
	if t.From != 0 {
		e.charge(t.From, t.Tenant)
		e.schedule(t.From) // another one may be first in its line now
	}
	if e.waiters.has(uint32(t.Waiter)) {
		w := e.waiter(t.Waiter)
		e.leaveLines(t.Waiter)
		e.dropTurns(w, t, true)
		e.unclaim(t.Waiter)
		w.since = 0
	}
}

// ticketAt returns the waiter's ticket in the line of a counter, 0 if it has none.
func (e *Engine) ticketAt(w WaiterID, id CounterID) uint32 {
	if !e.waiters.has(uint32(w)) {
		return 0
	}
	k := e.waiter(w).first
	for k != 0 && e.tickets.at(k).counter != id {
		k = e.tickets.at(k).more
	}
	return k
}

func (e *Engine) lineUp(t Turn, b Blocker) {
	id := b.Counter
	if e.ticketAt(t.Waiter, id) != 0 {
		return
	}
	w, l := e.waiter(t.Waiter), e.needLine(e.at(id))
	need := int32(rich)
	switch {
	case l.throttle != 0:
		need = max(b.Need, 1)
	case t.Poor:
		need = poor
		l.poor++
	}
	k := e.tickets.alloc()
	e.seq++
	*e.tickets.at(k) = ticket{seq: e.seq, waiter: t.Waiter, counter: id, more: w.first, need: need}
	w.first = k
	e.joins(l, 1)
	e.enqueue(e.needList(l), k, t.Tenant)
	e.push(id)
}

func (e *Engine) leaveLines(id WaiterID) {
	w := e.waiter(id)
	for k := w.first; k != 0; {
		t := e.tickets.at(k)
		at, more := t.counter, t.more
		l := e.lineOf(e.at(at))
		e.dequeue(e.listOf(l), k)
		e.joins(l, -1)
		if t.poor() {
			l.poor--
		}
		e.tickets.release(k)
		if l.waiting == 0 {
			e.dropList(l)
		}
		e.schedule(at)
		if l.waiting == 0 {
			e.collect(at)
		}
		k = more
	}
	w.first = 0
}
