package limit

import (
	"math"
	"math/rand/v2"
	"testing"
)

// crowd is very many queues that all need two counters, of which first one and then the
// other is free: the worst there is, because everybody whose turn it is at one finds the
// other full.
type crowd struct {
	e       *Engine
	now     int64
	path    []CounterID
	permits []*Permit
	grants  int
}

func newCrowd(n int) *crowd {
	c := &crowd{e: New()}
	x, _ := c.e.Counter(Key{Option: "x", Domain: "x"}, 1, 0)
	y, _ := c.e.Counter(Key{Option: "y", Binding: "y"}, 1, 0)
	c.path = []CounterID{x, y}
	c.take(0)
	c.take(1)
	for w := range WaiterID(n) {
		c.ask(w+1, 0)
	}
	return c
}

// take has an outsider take a unit of one of the counters, if it can.
func (c *crowd) take(i int) {
	p := &Permit{}
	if _, ok := c.e.Acquire(c.now, p, c.path[i:i+1], nil, Turn{From: c.path[i]}); ok {
		c.permits = append(c.permits, p)
	}
}

func (c *crowd) ask(w WaiterID, from CounterID) {
	t := Turn{Waiter: w, Tenant: int32(w) % 3, From: from}
	p := &Permit{}
	b, ok := c.e.Acquire(c.now, p, c.path, nil, t)
	if !ok {
		c.e.Park(c.now, t, c.path, b)
		return
	}
	c.permits = append(c.permits, p)
	c.grants++
}

// giveBack returns the oldest permit that is out.
func (c *crowd) giveBack() {
	if len(c.permits) > 0 {
		c.e.Return(c.permits[0])
		c.permits = c.permits[1:]
	}
}

// TestWorkIsBounded: whatever an event sets going, Next looks at a bounded number of
// counters and waiters in each call, so that 256 of them are a step; the rest follows in
// steps of its own, and ends.
func TestWorkIsBounded(t *testing.T) {
	const waiters, budget = 100_000, 256
	c := newCrowd(waiters)
	worst, steps, sum := 0, 0, 0
	step := func() {
		before := c.e.visits
		for c.e.Pending() && c.e.visits-before < budget {
			if w, from, ok := c.e.Next(); ok {
				c.ask(w, from)
			}
		}
		n := c.e.visits - before
		worst = max(worst, n)
		steps++
		sum += n
	}
	for i := range 3000 { // events, one step each
		c.now += second / 2000
		if i > 1000 {
			c.now += second / 10 // now claims make an end of it
		}
		c.e.Advance(c.now)
		c.giveBack()
		step()
		c.take(i % 2)
	}
	for n := 0; c.e.Pending(); n++ {
		step()
		if n > 10*waiters/budget {
			t.Fatal("the rest of the work does not end")
		}
	}
	used := make([]int, c.e.Bound())
	for _, p := range c.permits {
		for _, id := range p.Path() {
			used[id]++
		}
	}
	if err := c.e.Verify(used); err != nil {
		t.Error(err)
	}
	t.Logf("%d waiters on crossing limits: at most %d visits a step, %d in %d steps; %d grants, none before anybody may claim", waiters, worst, sum, steps, c.grants)
	if worst > budget+slice {
		t.Errorf("a step of %d visits, at most %d and a slice", worst, budget)
	}
	if c.grants < 1500 {
		t.Errorf("%d grants in 2000 events", c.grants)
	}
}

// TestSilence: with everybody parked and no events there is nothing to do, and nobody
// asks to be woken but for the next token.
func TestSilence(t *testing.T) {
	c := newCrowd(100_000)
	if c.e.Pending() || c.e.WakeAt() != math.MaxInt64 {
		t.Errorf("pending %v, next wake %d", c.e.Pending(), c.e.WakeAt())
	}
	id, _ := c.e.Throttle(Key{Option: "rate"}, Rate{1, day, 1})
	tolls := []Toll{{id, 1}}
	c.e.Spend(0, tolls, Turn{})
	for w := range WaiterID(100_000) {
		w += 200_000
		b, _ := c.e.Check(0, nil, tolls, Turn{Waiter: w})
		c.e.Park(0, Turn{Waiter: w}, nil, b)
	}
	wakes := 0
	for at := c.e.WakeAt(); at <= 10*day; at = c.e.WakeAt() {
		wakes++
		c.e.Advance(at)
		for c.e.Pending() {
			if w, from, ok := c.e.Next(); ok {
				c.e.Spend(at, tolls, Turn{Waiter: w, From: from})
			}
		}
	}
	if wakes != 10 {
		t.Errorf("%d wakes in ten days for ten tokens", wakes)
	}
}

// TestNoAllocation: in steady state an event allocates nothing, with tenants, crossing
// limits, claims and throttles.
func TestNoAllocation(t *testing.T) {
	e := New()
	rng := rand.New(rand.NewPCG(9, 9))
	root, _ := e.Counter(Key{Option: "server"}, 40, 2)
	var a, b [10]CounterID
	var rates [4]CounterID
	for i := range a {
		a[i], _ = e.Counter(Key{Option: "a", Domain: name("d", i)}, 1+i%8, 0)
		b[i], _ = e.Counter(Key{Option: "b", Binding: name("b", i)}, 1+i%8, 0)
	}
	for i := range rates {
		rates[i], _ = e.Throttle(Key{Option: "rate", Stanza: name("s", i)}, Rate{int64(1 + 3*i), second, 1 + int64(i)})
	}
	type seat struct {
		p Permit
		w WaiterID
	}
	const queues = 3000
	seats := make([]seat, 0, 64)
	paths, tolls := make([][]CounterID, queues+1), make([][]Toll, queues+1)
	held := make([]int, queues+1)
	for w := 1; w <= queues; w++ {
		paths[w] = []CounterID{a[rng.IntN(10)], b[rng.IntN(10)], root}
		tolls[w] = []Toll{{rates[rng.IntN(4)], 1 + int32(rng.IntN(2))}}
	}
	now, claims := int64(0), 0
	ask := func(w WaiterID, from CounterID) {
		n := len(seats)
		seats = append(seats, seat{w: w})
		turn := Turn{Waiter: w, Tenant: int32(w) % 30, From: from, Poor: held[w] == 0}
		if x, ok := e.Acquire(now, &seats[n].p, paths[w], tolls[w], turn); !ok {
			seats = seats[:n]
			e.Park(now, turn, paths[w], x)
			claims = max(claims, e.claims.live())
			return
		}
		held[w]++
	}
	event := func() {
		now += second / 50
		e.Advance(now)
		if n := len(seats); n > 0 && rng.IntN(4) == 0 {
			k := rng.IntN(n)
			w := seats[k].w
			e.Idle(&seats[k].p, uint32(k))
			e.Return(&seats[k].p)
			held[w]--
			seats[k] = seats[n-1]
			seats = seats[:n-1]
			e.Cancel(w)
			ask(w, 0)
		}
		for e.Pending() {
			if w, from, ok := e.Next(); ok {
				ask(w, from)
				if !e.Parked(w) {
					ask(w, 0)
				}
			}
		}
	}
	for w := range WaiterID(queues) {
		ask(w+1, 0)
	}
	for range 100_000 {
		event()
	}
	if n := testing.AllocsPerRun(10_000, event); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
	t.Logf("10,000 events without an allocation; up to %d claims at once", claims)
	if claims == 0 {
		t.Error("nobody has claimed anything")
	}
}

// TestNextGivesUp: very many counters that have nothing to give after all are not looked
// at in one call.
func TestNextGivesUp(t *testing.T) {
	e := New()
	for w := WaiterID(1); w <= 1000; w++ {
		id, _ := e.Counter(Key{Option: "a", Domain: name("d", int(w))}, 0, 0)
		e.Park(0, Turn{Waiter: w}, nil, Blocker{Counter: id})
		e.SetLimit(id, 1, 0)
		e.SetLimit(id, 0, 0)
	}
	calls := 0
	for ; e.Pending(); calls++ {
		before := e.visits
		if w, _, ok := e.Next(); ok {
			t.Fatalf("%d is woken", w)
		}
		if n := e.visits - before; n > slice {
			t.Fatalf("%d counters looked at in one call, at most %d", n, slice)
		}
	}
	if calls != (1000+slice-1)/slice {
		t.Errorf("%d calls", calls)
	}
}
