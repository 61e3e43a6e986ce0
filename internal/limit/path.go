package limit

import "fmt"

// Why says in what way a counter blocks.
type Why uint8

const (
	Full      Why = iota + 1 // no room
	Queued                   // room, but others wait for it and come first
	Claimed                  // room, but it is kept for those that have waited long
	Throttled                // a throttle: no token yet, or others wait for it and come first
)

// Blocker is the counter that keeps a connection from being opened, or the throttle that
// keeps something from being done.
type Blocker struct {
	Counter CounterID
	Why     Why
	Need    int32 // Throttled: so many tokens are asked for
}

// Turn says who asks and whose turn it is. From is the counter that Next named: the
// asker has waited there and need not queue again at it or at more specific ones.
type Turn struct {
	Waiter WaiterID
	Tenant int32
	Poor   bool // it holds no permit at all: it may use a reserve
	From   CounterID
}

// Check returns the first counter on the path that blocks, most specific first, and
// false; or true if the whole path is open. When every counter has room, the throttles of
// the tolls are asked; each is named once. It takes nothing.
func (e *Engine) Check(now int64, path []CounterID, tolls []Toll, t Turn) (Blocker, bool) {
	e.tick(now)
	passed := -1
	if t.From != 0 {
		for i, id := range path {
			if id == t.From {
				passed = i
				break
			}
		}
	}
	for i, id := range path {
		c := e.at(id)
		if c.line == 0 {
			if c.used >= c.limit {
				return Blocker{Counter: id, Why: Full}, false
			}
			continue
		}
		l := e.lineOf(c)
		ahead, mine := e.ahead(c, l, t.Waiter)
		switch most := c.ceiling(l, t.Poor); {
		case c.used >= most:
			return Blocker{Counter: id, Why: Full}, false
		case c.used+ahead >= most:
			return Blocker{Counter: id, Why: Claimed}, false
		case mine || i <= passed:
		case l.waiting > 0 && (l.poor > 0 || c.used+ahead < c.limit) && !e.hadTurn(t, id):
			return Blocker{Counter: id, Why: Queued}, false
		}
	}
	return e.checkTolls(tolls, t)
}

// Acquire takes the permit on every counter of the path and the tokens of every toll
// (L2), or takes nothing and returns what blocks. The path is ordered most specific
// first, without repetition.
func (e *Engine) Acquire(now int64, p *Permit, path []CounterID, tolls []Toll, t Turn) (Blocker, bool) {
	if p.held {
		panic("limit: a permit that is held was asked for again; each connection has its own")
	}
	if b, ok := e.Check(now, path, tolls, t); !ok {
		return b, false
	}
	e.settle(t)
	e.hold(p, path)
	for _, id := range path {
		e.at(id).granted(1)
	}
	e.spend(tolls)
	return Blocker{}, true
}

func (e *Engine) hold(p *Permit, path []CounterID) {
	if len(path) > MaxPath {
		panic(fmt.Sprintf("limit: a path of %d counters; at most %d", len(path), MaxPath))
	}
	for _, id := range path {
		e.at(id).used++
	}
	p.n = uint8(copy(p.path[:], path))
	p.held, p.since = true, e.now
}

// Return gives the permit back on the counters it was taken on and lines up those
// that wait on them (Next). A permit that is not held panics (L3).
func (e *Engine) Return(p *Permit) {
	if !p.held {
		panic("limit: a permit was returned twice, or never taken; its counters would fall below the connections that are open")
	}
	e.Busy(p)
	for _, id := range p.Path() {
		if l := e.lineOf(e.at(id)); l.waiting > 0 || p.leaving {
			if p.leaving {
				l.closing--
			}
			l.lasted(e.now - p.since)
		}
		e.drop(id)
	}
	*p = Permit{}
}

// lasted takes the time for which a permit was held into the mean.
func (l *line) lasted(ns int64) {
	if l.held == 0 {
		l.held = max(ns, 1)
		return
	}
	l.held = max(l.held+(ns-l.held)/16, 1)
}

func (e *Engine) drop(id CounterID) {
	c := e.at(id)
	if c.used--; c.used < 0 {
		panic(fmt.Sprintf("limit: %s counts below zero; a permit was returned on a counter that it was not taken on", e.text(id)))
	}
	e.push(id)
	e.tidy(c)
	e.collect(id)
}

// Move puts a held permit on another path: released where it was, charged where it
// is now, even above the limit, which then counts as lowered below use (L6).
func (e *Engine) Move(p *Permit, path []CounterID) {
	if !p.held {
		panic("limit: a permit that is not held cannot move")
	}
	old := *p
	p.idle, p.leaving = 0, false
	e.hold(p, path) // first charge, then release: a counter on both paths lives on
	p.since = old.since
	if old.leaving {
		e.Leave(p)
	}
	if old.idle != 0 {
		e.Idle(p, e.idle.at(old.idle).conn)
	}
	e.Return(&old)
}

// Leave says that the permit's connection is on its way out: it is not counted upon
// when others look for a connection that should give way.
func (e *Engine) Leave(p *Permit) {
	if p.leaving {
		return
	}
	p.leaving = true
	for _, id := range p.Path() {
		e.needLine(e.at(id)).closing++
	}
}

// Surplus reports whether a counter on the permit's path is used beyond its (lowered)
// limit by connections that are not yet on their way out.
func (e *Engine) Surplus(p *Permit) bool {
	for _, id := range p.Path() {
		c := e.at(id)
		l := e.lineOf(c)
		stay := c.used - l.closing
		if p.leaving {
			stay++ // would it, if it stayed?
		}
		if stay > c.limit+l.reserve {
			return true
		}
	}
	return false
}

// Contended reports whether somebody else than self waits on a counter of the permit's
// path and no other connection is already on its way out for him.
func (e *Engine) Contended(p *Permit, self WaiterID) bool {
	for _, id := range p.Path() {
		l := e.lineOf(e.at(id))
		n := l.waiting - l.closing
		if p.leaving {
			n++ // it is not its own successor
		}
		if n > 0 && self != 0 && e.ticketAt(self, id) != 0 {
			n--
		}
		if n > 0 {
			return true
		}
	}
	return false
}
