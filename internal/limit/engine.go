package limit

import "github.com/sluice-mta/sluice/internal/handles"

// Engine holds the counters and those who wait on them. The zero Engine is not
// ready; use New. Not safe for concurrent use.
type Engine struct {
	now int64

	counters slab[counter]
	lines    slab[line]
	names    names
	index    handles.Index

	waiters slab[waiter] // by WaiterID
	tickets slab[ticket]
	turns   slab[turns]
	claims  slab[claim]
	seq     uint32

	lists slab[*waitlist]
	spare []*waitlist // emptied, for the next counter that somebody waits on

	throttles slab[throttle]
	heaps     [2][]uint32 // of throttles, by due

	idle slab[idleNode]

	spent []Spent // grants of counters that have gone

	weights []uint32
	work    [maxRank + 1][]CounterID // counters that may have a grant to give, by rank
	pending int                      // entries in work
	visits  int                      // tickets and counters looked at for Next, in all
}

// New returns an engine without counters.
func New() *Engine {
	e := &Engine{
		counters: newSlab[counter](), lines: newSlab[line](), waiters: newSlab[waiter](), tickets: newSlab[ticket](),
		turns: newSlab[turns](), claims: lazySlab[claim](), lists: lazySlab[*waitlist](), throttles: lazySlab[throttle](),
		idle: lazySlab[idleNode](),
	}
	e.names.init()
	e.index.Hash = func(h uint32) uint64 {
		c := e.counters.at(h)
		return hashPair(c.head, c.tail)
	}
	return e
}

// SetWeight sets the share of a tenant at every contended counter, relative to the
// others; it is 1 unless set, and at least 1.
func (e *Engine) SetWeight(tenant int32, weight int) {
	for int(tenant) >= len(e.weights) {
		e.weights = append(e.weights, 1)
	}
	e.weights[tenant] = uint32(min(max(weight, 1), maxWeight))
}

func (e *Engine) weight(tenant int32) uint32 {
	if int(tenant) < len(e.weights) {
		return e.weights[tenant]
	}
	return 1
}

// Unlimited stands for the smallest limit of a path that has no counter.
const Unlimited = -1
