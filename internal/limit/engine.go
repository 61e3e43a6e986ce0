package limit

import (
	"fmt"
	"math"
)

// counter is the hot half of a counter; its Key lies beside it in Engine.keys.
type counter struct {
	limit    int32 // <= this many at once
	reserve  int32 // and so many more for those that hold nothing
	used     int32
	waiting  int32 // tickets on it
	poor     int32 // of these, of waiters that hold nothing
	reps     int32 // waiters it has let pass that now wait on a counter which covers it
	poorRep  int32 // of these, such that hold nothing
	closing  int32 // permits on it whose connections are on their way out
	refs     int32 // cached paths that name it
	list     uint32
	idle     uint32 // most recent node of its circular idle list
	throttle uint32 // 0: a plain counter
	grants   uint64
	blocked  int64 // ns of all waiters, up to changed
	changed  int64 // when the number of waiters changed last
	rank     uint8 // how specific: 0 is the whole server
	listed   bool  // in the work list
	live     bool
}

// room is how many grants the counter has left for a waiter, beyond what its
// representatives will take. poor: for one that holds nothing; others that wait further
// on do not stand in its way, because there may be a reserve there for it alone.
func (c *counter) room(poor bool) int32 {
	if poor {
		return c.limit + c.reserve - c.used - c.poorRep
	}
	return c.limit - c.used - c.reps
}

func (c *counter) full(poor bool) bool {
	if poor {
		return c.used >= c.limit+c.reserve
	}
	return c.used >= c.limit
}

// Engine holds the counters and those who wait on them. The zero Engine is not
// ready; use New. Not safe for concurrent use.
type Engine struct {
	counters []counter
	keys     []Key
	free     []CounterID
	index    index

	waiters []waiter
	tickets []ticket
	freeTkt uint32
	seq     uint64

	lists    []waitlist
	freeList []uint32

	idle     []idleNode
	freeIdle uint32

	throttles []throttle
	freeThr   []uint32
	heaps     [2][]uint32 // of throttles, by due
	now       int64

	weights []uint32
	work    [maxRank + 1][]CounterID // counters that may have a grant to give, by rank
	pending int                      // entries in work
}

// New returns an engine without counters.
func New() *Engine {
	return &Engine{
		counters:  make([]counter, 1),
		keys:      make([]Key, 1),
		waiters:   make([]waiter, 1),
		tickets:   make([]ticket, 1),
		lists:     make([]waitlist, 1),
		idle:      make([]idleNode, 1),
		throttles: make([]throttle, 1),
	}
}

// Counter finds or creates the counter of a key and adds a reference to it: it lives
// while it is referred to, used or waited on. One that exists keeps its limit; fresh
// says that it did not exist.
func (e *Engine) Counter(k Key, limit, reserve int) (id CounterID, fresh bool) {
	h := e.index.hash(k)
	id, ok := e.index.find(h, k, e.keys)
	if !ok {
		id = e.alloc()
		e.keys[id] = k
		e.counters[id] = counter{limit: clamp(limit), reserve: clamp(reserve), rank: k.rank(), live: true}
		e.index.insert(h, id, e.keys)
	}
	e.counters[id].refs++
	return id, !ok
}

func (e *Engine) alloc() CounterID {
	if n := len(e.free); n > 0 {
		id := e.free[n-1]
		e.free = e.free[:n-1]
		return id
	}
	e.counters = append(e.counters, counter{})
	e.keys = append(e.keys, Key{})
	return CounterID(len(e.counters) - 1)
}

func clamp(n int) int32 { return int32(min(max(n, 0), math.MaxInt32/2)) }

// Lookup finds the counter of a key without a reference.
func (e *Engine) Lookup(k Key) (CounterID, bool) {
	return e.index.find(e.index.hash(k), k, e.keys)
}

// Retain adds a reference to a counter or throttle that has one.
func (e *Engine) Retain(id CounterID) { e.counters[id].refs++ }

// Release drops a reference that Counter gave.
func (e *Engine) Release(id CounterID) {
	c := &e.counters[id]
	if c.refs--; c.refs < 0 {
		panic(fmt.Sprintf("limit: counter %s %s released more often than it was asked for", e.keys[id].Option, e.keys[id]))
	}
	e.collect(id)
}

// collect frees the counter when nothing holds it any more.
func (e *Engine) collect(id CounterID) {
	c := &e.counters[id]
	if !c.live || c.refs > 0 || c.used > 0 || c.waiting > 0 || c.reps > 0 || c.listed {
		return
	}
	if x := e.throttleOf(id); x != nil {
		if x.full() > e.now {
			e.schedule(id)
			return
		}
		e.unheap(x)
		e.freeThr = append(e.freeThr, c.throttle)
	}
	e.index.remove(e.keys[id], e.keys)
	e.keys[id] = Key{}
	*c = counter{}
	e.free = append(e.free, id)
}

// SetLimit changes the ceiling of a counter. A raised one wakes its waiters (Next); a
// lowered one takes nothing away (L6).
func (e *Engine) SetLimit(id CounterID, limit, reserve int) {
	c := &e.counters[id]
	c.limit, c.reserve = clamp(limit), clamp(reserve)
	e.push(id)
}

// SetWeight sets the share of a tenant at every contended counter, relative to the
// others; it is 1 unless set, and at least 1.
func (e *Engine) SetWeight(tenant int32, weight int) {
	for int(tenant) >= len(e.weights) {
		e.weights = append(e.weights, 1)
	}
	e.weights[tenant] = uint32(min(max(weight, 1), maxWeight))
}

// State is what a counter or a throttle holds at this moment.
type State struct {
	Used, Limit, Reserve int
	Waiters              int
	Closing              int // of Used, on their way out
	Claims               int // units held back for waiters that have waited long elsewhere
	Throttle             bool
	Rate                 Rate   // of a throttle
	Grants               uint64 // permits in all; of a throttle: tokens
}

// State returns the state of a live counter.
func (e *Engine) State(id CounterID) State {
	c := &e.counters[id]
	s := State{
		Used: int(c.used), Limit: int(c.limit), Reserve: int(c.reserve), Waiters: int(c.waiting), Closing: int(c.closing),
		Grants: c.grants,
	}
	if x := e.throttleOf(id); x != nil {
		s.Throttle, s.Rate = true, x.rate
	}
	return s
}

// BlockedNs is how long waiters have waited on a live counter, all of them together, those
// that wait now until now.
func (e *Engine) BlockedNs(now int64, id CounterID) int64 {
	c := &e.counters[id]
	return c.blocked + int64(c.waiting)*(max(now, c.changed)-c.changed)
}

// joins books that the number of waiters changes.
func (e *Engine) joins(id CounterID, by int32) {
	c := &e.counters[id]
	c.blocked, c.changed = e.BlockedNs(e.now, id), e.now
	c.waiting += by
}

// Key returns the key of a live counter.
func (e *Engine) Key(id CounterID) Key { return e.keys[id] }

// Counters is how many counters are live.
func (e *Engine) Counters() int { return len(e.counters) - 1 - len(e.free) }

// Bound is one above the highest CounterID given so far, for tables beside the engine.
func (e *Engine) Bound() int { return len(e.counters) }

// Unlimited stands for the smallest limit of a path that has no counter.
const Unlimited = -1
