package limit

import (
	"fmt"
	"math"
)

// counter is what every counter and throttle has; 32 bytes, because there are millions.
// What only some have at some time lies in its line.
type counter struct {
	limit    int32 // <= this many at once
	used     int32
	refs     int32  // cached paths that name it
	line     uint32 // 0: nobody waits, nothing is idle, and so on
	head     uint32 // its key
	tail     uint32
	grants   uint32 // in all; the lower part
	grantsUp uint8
	rank     uint8 // how specific: 0 is the whole server
	listed   bool  // in the work list
	live     bool
}

// line is what a counter has besides once somebody waits on it.
type line struct {
	reserve  int32  // so many more for those that hold nothing
	waiting  int32  // tickets on it
	poor     int32  // of these, of waiters that hold nothing
	reps     int32  // waiters it has let pass that now wait on a counter which covers it
	poorRep  int32  // of these, such that hold nothing
	passed   int32  // other waiters it has let pass
	claims   int32  // of waiters that have waited long
	closing  int32  // permits on it whose connections are on their way out
	claim    uint32 // the oldest claim
	list     uint32 // the waiters in order, while there are any
	idle     uint32 // most recent node of its circular idle list
	throttle uint32 // 0: a plain counter
	held     int64  // how long a permit is held, on the average, while others wait
	blocked  int64  // ns of all waiters, up to changed
	changed  int64  // when the number of waiters changed last
}

// lineOf returns the line of a counter, to be read: an empty one if it has none.
func (e *Engine) lineOf(c *counter) *line { return e.lines.at(c.line) }

// needLine returns the line of a counter, to be written.
func (e *Engine) needLine(c *counter) *line {
	if c.line == 0 {
		c.line = e.lines.alloc()
	}
	return e.lines.at(c.line)
}

// busy reports whether the line is needed beyond what it remembers.
func (l *line) busy() bool {
	return l.waiting|l.reps|l.passed|l.claims|l.closing != 0 || l.idle|l.throttle != 0
}

// room is how many grants the counter has left for a waiter, beyond what claimants and
// its representatives will take. poor: for one that holds nothing; others that wait further
// on do not stand in its way, because there may be a reserve there for it alone.
func (c *counter) room(l *line, poor bool) int32 {
	if poor {
		return c.limit + l.reserve - c.used - c.kept(l) - l.poorRep
	}
	return c.limit - c.used - c.kept(l) - l.reps
}

// ceiling is how many the counter admits at most.
func (c *counter) ceiling(l *line, poor bool) int32 {
	if poor {
		return c.limit + l.reserve
	}
	return c.limit
}

// granted counts permits or tokens.
func (c *counter) granted(n uint32) {
	if c.grants += n; c.grants < n {
		c.grantsUp++
	}
}

// Counter finds or creates the counter of a key and adds a reference to it: it lives
// while it is referred to, used or waited on. One that exists keeps its limit; fresh
// says that it did not exist.
func (e *Engine) Counter(k Key, limit, reserve int) (id CounterID, fresh bool) {
	id, ok := e.Lookup(k)
	if !ok {
		h, t := k.split()
		id = CounterID(e.counters.alloc())
		c := e.counters.at(uint32(id))
		*c = counter{limit: clamp(limit), head: e.names.takeHead(h), tail: e.names.takeTail(t), rank: k.rank(), live: true}
		e.index.Insert(hashPair(c.head, c.tail), uint32(id))
		e.setReserve(c, reserve)
	}
	e.at(id).refs++
	return id, !ok
}

func (e *Engine) at(id CounterID) *counter { return e.counters.at(uint32(id)) }

func (e *Engine) setReserve(c *counter, reserve int) {
	if c.line != 0 || reserve > 0 {
		e.needLine(c).reserve = clamp(reserve)
	}
}

func clamp(n int) int32 { return int32(min(max(n, 0), math.MaxInt32/2)) }

func hashPair(head, tail uint32) uint64 {
	h := (uint64(head)<<32 | uint64(tail)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// Lookup finds the counter of a key without a reference.
func (e *Engine) Lookup(k Key) (CounterID, bool) {
	hk, tk := k.split()
	head, _ := e.names.findHead(hk)
	tail, _, known := e.names.findTail(tk)
	if head == 0 || !known {
		return 0, false
	}
	id := e.index.Find(hashPair(head, tail), func(h uint32) bool {
		c := e.counters.at(h)
		return c.head == head && c.tail == tail
	})
	return CounterID(id), id != 0
}

// Key returns the key of a live counter.
func (e *Engine) Key(id CounterID) Key {
	c := e.at(id)
	h, t := &e.names.heads.at(c.head).head, e.names.tail(c.tail)
	return Key{
		Option: h.option, Binding: h.binding, Group: h.group, Stanza: h.stanza, Sent: h.sent,
		Domain: t.domain, Host: t.host, Address: t.address,
	}
}

// covers reports whether whatever counts on id counts on wide too, so that who waits at
// wide may stand in for others that wait on id. Who pays a throttle says nothing of that.
func (e *Engine) covers(wide, id CounterID) bool {
	w, c := e.at(wide), e.at(id)
	if e.lineOf(w).throttle != 0 {
		return false
	}
	a, b := &e.names.heads.at(w.head).head, &e.names.heads.at(c.head).head
	if a.binding != "" && a.binding != b.binding || a.group != "" && a.group != b.group {
		return false
	}
	// Of two options in one stanza another stanza may set one alone, for some of its names.
	if a.stanza != "" && (a.stanza != b.stanza || a.option != b.option) {
		return false
	}
	if w.tail == 0 || w.tail == c.tail {
		return true
	}
	x, y := e.names.tail(w.tail), e.names.tail(c.tail)
	return (x.domain == "" || x.domain == y.domain) && (x.host == "" || x.host == y.host) &&
		(!x.address.IsValid() || x.address == y.address)
}

// Retain adds a reference to a counter or throttle that has one.
func (e *Engine) Retain(id CounterID) { e.at(id).refs++ }

// Release drops a reference that Counter gave.
func (e *Engine) Release(id CounterID) {
	c := e.at(id)
	if c.refs--; c.refs < 0 {
		panic(fmt.Sprintf("limit: counter %s released more often than it was asked for", e.text(id)))
	}
	e.collect(id)
}

func (e *Engine) text(id CounterID) string {
	k := e.Key(id)
	return k.Option + " " + k.String()
}

// tidy frees the line of a counter that was only busy, never waited on.
func (e *Engine) tidy(c *counter) {
	if l := e.lineOf(c); c.line != 0 && !l.busy() && l.reserve == 0 && l.blocked == 0 {
		e.lines.release(c.line)
		c.line = 0
	}
}

// collect frees the counter when nothing holds it any more.
func (e *Engine) collect(id CounterID) {
	c := e.at(id)
	if !c.live || c.refs > 0 || c.used > 0 || c.listed {
		return
	}
	if c.line != 0 && !e.collectLine(id, c) {
		return
	}
	e.bury(c)
	e.index.Remove(uint32(id))
	e.names.drop(c.head, c.tail)
	e.counters.release(uint32(id))
}

// collectLine frees the line of a counter that is going, false if it is still needed.
func (e *Engine) collectLine(id CounterID, c *counter) bool {
	l := e.lineOf(c)
	if x := e.throttleOf(id); x != nil {
		if l.waiting|l.reps|l.passed|l.claims != 0 {
			return false
		}
		if x.full() > e.now {
			e.schedule(id)
			return false
		}
		e.unheap(x)
		e.throttles.release(l.throttle)
		l.throttle = 0
	}
	if l.busy() {
		return false
	}
	e.lines.release(c.line)
	c.line = 0
	return true
}

// SetLimit changes the ceiling of a counter. A raised one wakes its waiters (Next); a
// lowered one takes nothing away (L6).
func (e *Engine) SetLimit(id CounterID, limit, reserve int) {
	c := e.at(id)
	c.limit = clamp(limit)
	e.setReserve(c, reserve)
	e.push(id)
}

// State is what a counter or a throttle holds at this moment.
type State struct {
	Used, Limit, Reserve int
	Waiters              int
	Closing              int // of Used, on their way out
	Claims               int // waiters that have waited long elsewhere; for the oldest of them units are kept
	Throttle             bool
	Rate                 Rate   // of a throttle
	Grants               uint64 // permits in all; of a throttle: tokens
}

// State returns the state of a live counter.
func (e *Engine) State(id CounterID) State {
	c := e.at(id)
	l := e.lineOf(c)
	s := State{
		Used: int(c.used), Limit: int(c.limit), Reserve: int(l.reserve), Waiters: int(l.waiting), Closing: int(l.closing),
		Claims: int(l.claims), Grants: uint64(c.grantsUp)<<32 | uint64(c.grants),
	}
	if x := e.throttleOf(id); x != nil {
		s.Throttle, s.Rate = true, x.rate
	}
	return s
}

// BlockedNs is how long waiters have waited on a live counter, all of them together, those
// that wait now until now.
func (e *Engine) BlockedNs(now int64, id CounterID) int64 {
	return e.lineOf(e.at(id)).blockedBy(now)
}

func (l *line) blockedBy(now int64) int64 {
	return l.blocked + int64(l.waiting)*(max(now, l.changed)-l.changed)
}

// joins books that the number of waiters changes.
func (e *Engine) joins(l *line, by int32) {
	l.blocked, l.changed = l.blockedBy(e.now), e.now
	l.waiting += by
}

// Counters is how many counters and throttles are live.
func (e *Engine) Counters() int { return e.counters.live() }

// Bound is one above the highest CounterID given so far, for tables beside the engine.
func (e *Engine) Bound() int { return int(e.counters.next) }
