package limit

// WaiterID names one that may wait: a ready queue. The scheduler gives the numbers,
// small and dense. Zero is nobody.
type WaiterID uint32

const maxVia = 4

// waiter is what the engine knows of one that waits. via are the counters that have
// let it pass and hold a unit back for it while it waits on a counter that covers
// them; their reps count it.
type waiter struct {
	first uint32 // its tickets
	via   [maxVia]CounterID
	nvia  uint8
	poor  bool // as which it is counted there
}

// ticket is the place of one waiter in the line of one counter.
type ticket struct {
	seq        uint64
	waiter     WaiterID
	counter    CounterID
	prev, next uint32 // in the line
	more       uint32 // the waiter's next ticket
	share      int32
	tenant     int32
	need       int32 // tokens of a throttle
	poor       bool
}

// Park lines the waiter up at what blocks it, as Check has said: one counter or
// throttle, or, when it could go to any of several hosts that are all full, one for each.
// It stays until Next names it or Cancel. After Next each waiter ends in Acquire, Spend,
// Park or Cancel. path is that of the address that it would take; it may name throttles
// too.
func (e *Engine) Park(now int64, t Turn, path []CounterID, blockers ...Blocker) {
	e.tick(now)
	w := e.waiterAt(t.Waiter)
	e.leaveLines(t.Waiter)
	one := CounterID(0) // all its way leads through here
	if len(blockers) == 1 {
		one = blockers[0].Counter
	}
	e.keepVia(w, t, one)
	if t.From != 0 && one != t.From {
		e.passedBy(w, t, one != 0 && e.keys[one].covers(&e.keys[t.From]))
	}
	for _, b := range blockers {
		e.lineUp(t, b)
	}
}

// keepVia drops from the waiter's via what the counter it waits on does not cover.
func (e *Engine) keepVia(w *waiter, t Turn, one CounterID) {
	if w.nvia > 0 && w.poor != t.Poor {
		e.dropVia(t.Waiter)
	}
	w.poor = t.Poor
	n := uint8(0)
	for _, v := range w.via[:w.nvia] {
		if one != 0 && v != one && e.keys[one].covers(&e.keys[v]) {
			w.via[n] = v
			n++
		} else {
			e.unrep(v, w.poor)
		}
	}
	w.nvia = n
}

// passedBy books that the counter which named the waiter has let it pass to another one.
func (e *Engine) passedBy(w *waiter, t Turn, covered bool) {
	if covered && w.nvia < maxVia {
		w.via[w.nvia] = t.From
		w.nvia++
		e.counters[t.From].rep(t.Poor, 1)
		e.charge(t.From, t.Tenant)
	}
	if x := e.throttleOf(t.From); x != nil {
		e.passOn(x, covered)
		e.schedule(t.From)
	}
}

// Cancel takes the waiter out of every line.
func (e *Engine) Cancel(w WaiterID) {
	if int(w) >= len(e.waiters) {
		return
	}
	e.leaveLines(w)
	e.dropVia(w)
}

// Parked reports whether the waiter stands in a line.
func (e *Engine) Parked(w WaiterID) bool { return int(w) < len(e.waiters) && e.waiters[w].first != 0 }

// Waits reports whether the waiter stands in the line of a counter or throttle.
func (e *Engine) Waits(w WaiterID, id CounterID) bool { return e.waitsOn(w, id) }

// WaitsOn returns the first counter that the waiter waits on, 0 if it does not wait.
func (e *Engine) WaitsOn(w WaiterID) CounterID {
	if !e.Parked(w) {
		return 0
	}
	return e.tickets[e.waiters[w].first].counter
}

// Next names the next waiter whose turn it is and the counter that has room for it,
// most specific counters first, in fair order; false when no counter has a grant to
// give. The waiter has left its lines.
func (e *Engine) Next() (WaiterID, CounterID, bool) {
	if e.pending == 0 {
		return 0, 0, false
	}
	for rank := maxRank; rank >= 0; rank-- {
		for q := &e.work[rank]; len(*q) > 0; {
			id := (*q)[len(*q)-1]
			c := &e.counters[id]
			if t := e.pick(c); t != 0 {
				w := e.tickets[t].waiter
				e.leaveLines(w)
				return w, id, true
			}
			*q = (*q)[:len(*q)-1]
			e.pending--
			c.listed = false
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
func (e *Engine) pick(c *counter) uint32 {
	switch {
	case c.waiting == 0:
		return 0
	case c.throttle != 0:
		if e.admits(c, &e.throttles[c.throttle]) <= e.now {
			return e.head(&e.lists[c.list], false)
		}
		return 0
	}
	if c.room(false) > 0 {
		return e.head(&e.lists[c.list], false)
	}
	if c.poor > 0 && c.room(true) > 0 {
		return e.head(&e.lists[c.list], true)
	}
	return 0
}

// push puts a counter on the work list if it has somebody to serve.
func (e *Engine) push(id CounterID) {
	c := &e.counters[id]
	if c.throttle != 0 {
		e.schedule(id)
		return
	}
	if c.listed || c.waiting == 0 || c.room(false) <= 0 && (c.poor == 0 || c.room(true) <= 0) {
		return
	}
	e.list(id)
}

func (e *Engine) list(id CounterID) {
	c := &e.counters[id]
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
	if int(t.Waiter) < len(e.waiters) {
		e.leaveLines(t.Waiter)
		w := &e.waiters[t.Waiter]
		for _, v := range w.via[:w.nvia] {
			e.counters[v].rep(w.poor, -1) // the grant's own use takes its place at once
		}
		e.pushAll(w)
	}
}

// pushAll looks again at the counters that a granted waiter represented: some may not
// be on the path that was granted.
func (e *Engine) pushAll(w *waiter) {
	n := w.nvia
	w.nvia = 0
	for _, v := range w.via[:n] {
		e.push(v)
		e.collect(v)
	}
}

func (e *Engine) dropVia(id WaiterID) {
	w := &e.waiters[id]
	n := w.nvia
	w.nvia = 0
	for _, v := range w.via[:n] {
		e.unrep(v, w.poor)
	}
}

func (c *counter) rep(poor bool, by int32) {
	c.reps += by
	if poor {
		c.poorRep += by
	}
}

func (e *Engine) unrep(v CounterID, poor bool) {
	e.counters[v].rep(poor, -1)
	e.push(v)
	e.collect(v)
}

func (e *Engine) waiterAt(id WaiterID) *waiter {
	for int(id) >= len(e.waiters) {
		e.waiters = append(e.waiters, waiter{})
	}
	return &e.waiters[id]
}

func (e *Engine) waitsOn(w WaiterID, id CounterID) bool {
	if !e.Parked(w) {
		return false
	}
	for t := e.waiters[w].first; t != 0; t = e.tickets[t].more {
		if e.tickets[t].counter == id {
			return true
		}
	}
	return false
}

func (e *Engine) lineUp(t Turn, b Blocker) {
	id := b.Counter
	if e.waitsOn(t.Waiter, id) {
		return
	}
	k := e.allocTicket()
	w := &e.waiters[t.Waiter]
	e.seq++
	c := &e.counters[id]
	poor := t.Poor && c.throttle == 0 // tokens have no reserve
	e.tickets[k] = ticket{seq: e.seq, waiter: t.Waiter, counter: id, more: w.first, tenant: t.Tenant, need: max(b.Need, 1), poor: poor}
	w.first = k
	if c.list == 0 {
		c.list = e.allocList()
	}
	e.joins(id, 1)
	if poor {
		c.poor++
	}
	e.enqueue(&e.lists[c.list], k)
	e.push(id)
}

func (e *Engine) leaveLines(id WaiterID) {
	w := &e.waiters[id]
	for k := w.first; k != 0; {
		t := e.tickets[k]
		c := &e.counters[t.counter]
		e.dequeue(&e.lists[c.list], k)
		e.joins(t.counter, -1)
		if t.poor {
			c.poor--
		}
		if c.waiting == 0 {
			e.freeWaitlist(c.list)
			c.list = 0
		}
		e.tickets[k] = ticket{more: e.freeTkt}
		e.freeTkt = k
		k = t.more
		e.schedule(t.counter)
		if c.waiting == 0 {
			e.collect(t.counter)
		}
	}
	w.first = 0
}

func (e *Engine) allocTicket() uint32 {
	if k := e.freeTkt; k != 0 {
		e.freeTkt = e.tickets[k].more
		return k
	}
	e.tickets = append(e.tickets, ticket{})
	return uint32(len(e.tickets) - 1)
}
