package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// book plays waiters, returns, reloads and moves at random against a count of its own.
type book struct {
	t     rapid.TB
	e     *Engine
	now   int64
	open  []*Permit
	owner []WaiterID
	held  map[WaiterID]int
	used  map[CounterID]int
	most  map[CounterID]int // limits
	more  map[CounterID]int // reserves
	ways  []way             // of waiter i+1
	rates []CounterID
	draw  func(n int) int // in 0..n-1
	acts  int
}

type way struct {
	path  []CounterID
	tolls []Toll
}

func newBook(t rapid.TB, draw func(n int) int) *book {
	b := &book{
		t: t, e: New(), held: map[WaiterID]int{}, used: map[CounterID]int{}, most: map[CounterID]int{},
		more: map[CounterID]int{}, draw: draw,
	}
	b.build()
	return b
}

func (b *book) counter(k Key, limit, reserve int) CounterID {
	id, fresh := b.e.Counter(k, limit, reserve)
	if fresh {
		b.most[id], b.more[id] = limit, reserve
	}
	return id
}

func (b *book) rate() Rate {
	return Rate{int64(b.draw(5)), (1 + int64(b.draw(20))) * second, 1 + int64(b.draw(3))}
}

// build puts 18 waiters on crossing counters, some with throttles.
func (b *book) build() {
	b.ways, b.rates = b.ways[:0], b.rates[:0]
	for i := range 3 {
		rate, _ := b.e.Throttle(key("rate", fmt.Sprint(i), ""), b.rate())
		b.rates = append(b.rates, rate)
		for j := range 3 {
			for k := range 2 { // two queues on each path
				w := way{path: []CounterID{
					b.counter(key("both", fmt.Sprint(i), fmt.Sprint(j)), b.draw(4), 0),
					b.counter(key("domain", "", fmt.Sprint(j)), 1+b.draw(4), 0),
					b.counter(key("binding", fmt.Sprint(i), ""), 1+b.draw(4), 0),
					b.counter(Key{Option: "server"}, 1+b.draw(6), b.draw(3)),
				}}
				if (j+k)%3 == 0 {
					b.e.Throttle(b.e.Key(rate), Rate{})
					w.tolls = append(w.tolls, Toll{rate, int32(1 + k)})
				}
				b.ways = append(b.ways, w)
			}
		}
	}
}

// release lets go of what build has referred to.
func (b *book) release() {
	for _, w := range b.ways {
		for _, id := range w.path {
			b.e.Release(id)
		}
		for _, x := range w.tolls {
			b.e.Release(x.Throttle)
		}
	}
	for _, id := range b.rates {
		b.e.Release(id)
	}
}

func (b *book) turn(w WaiterID, from CounterID) Turn {
	return Turn{Waiter: w, Tenant: int32(w) % 3, Poor: b.held[w] == 0, From: from}
}

func (b *book) ask(w WaiterID, from CounterID) {
	p, way := &Permit{}, b.ways[w-1]
	if x, ok := b.e.Acquire(b.now, p, way.path, way.tolls, b.turn(w, from)); !ok {
		b.e.Park(b.now, b.turn(w, from), way.path, x)
		return
	}
	for _, id := range way.path {
		b.used[id]++
		limit := b.most[id]
		if b.held[w] == 0 {
			limit += b.more[id]
		}
		if b.used[id] > limit {
			b.t.Fatalf("L1: %d permits on %s, which admits %d", b.used[id], b.e.Key(id), limit)
		}
	}
	b.open = append(b.open, p)
	b.owner = append(b.owner, w)
	b.held[w]++
	b.acts++
}

func (b *book) giveBack(i int) {
	w := b.owner[i]
	for _, id := range b.open[i].Path() {
		b.used[id]--
	}
	b.e.Return(b.open[i])
	b.acts++
	n := len(b.open) - 1
	b.open[i], b.owner[i] = b.open[n], b.owner[n]
	b.open, b.owner = b.open[:n], b.owner[:n]
	if b.held[w]--; b.held[w] == 0 && b.e.Parked(w) { // it is poor now: it asks anew
		b.e.Cancel(w)
		b.ask(w, 0)
	}
}

// event does one thing at random.
func (b *book) event() {
	w := WaiterID(1 + b.draw(len(b.ways)))
	some := func() int { return b.draw(len(b.open)) }
	switch b.draw(16) {
	case 0, 1, 2, 3, 4:
		if !b.e.Parked(w) {
			b.ask(w, 0)
		}
	case 5, 6, 7, 8:
		if len(b.open) > 0 {
			b.giveBack(some())
		}
	case 9:
		b.e.Cancel(w)
	case 10:
		id := b.ways[w-1].path[b.draw(4)]
		b.most[id], b.more[id] = b.draw(5), 0
		b.e.SetLimit(id, b.most[id], 0)
	case 11:
		if len(b.open) > 0 {
			p := b.open[some()]
			for _, id := range p.Path() {
				b.used[id]--
			}
			b.e.Move(p, b.ways[w-1].path)
			for _, id := range p.Path() {
				b.used[id]++
			}
		}
	case 12:
		b.e.SetRate(b.now, b.rates[b.draw(3)], b.rate())
	case 13:
		b.idle(w)
	case 14:
		if b.draw(8) == 0 { // a reload: new references first, then the old ones go
			old := *b
			old.ways, old.rates = append([]way{}, b.ways...), append([]CounterID{}, b.rates...)
			b.build()
			old.release()
		}
	default:
		b.now += int64(b.draw(10)) * second
		b.e.Advance(b.now)
	}
	b.settle()
}

func (b *book) idle(w WaiterID) {
	if len(b.open) == 0 {
		return
	}
	p := b.open[b.draw(len(b.open))]
	switch b.draw(3) {
	case 0:
		b.e.Idle(p, uint32(w))
	case 1:
		b.e.Busy(p)
	default:
		b.e.Leave(p)
	}
}

// settle lets everybody go whose turn it is.
func (b *book) settle() {
	for n := 0; ; n++ {
		w, from, ok := b.e.Next()
		if !ok && !b.e.Pending() {
			return
		}
		if !ok {
			continue
		}
		if n > 10000 {
			b.t.Fatalf("the wakes do not end")
		}
		b.ask(w, from)
	}
}

func (b *book) check() {
	used := make([]int, b.e.Bound())
	for _, p := range b.open {
		for _, id := range p.Path() {
			used[id]++
		}
	}
	if err := b.e.Verify(used); err != nil {
		b.t.Fatalf("%v", err)
	}
	for i, way := range b.ways {
		w := WaiterID(i + 1)
		on := b.e.WaitsOn(w)
		if on == 0 || b.e.State(on).Throttle {
			continue // Verify has seen to the throttles
		}
		if _, ok := b.e.Check(b.now, way.path, way.tolls, b.turn(w, way.path[len(way.path)-1])); ok {
			b.t.Fatalf("L5: queue %d waits on %s although its path has room everywhere: %s", w, b.e.Key(on), b.states(way.path))
		}
	}
}

func (b *book) states(path []CounterID) string {
	s := ""
	for _, id := range path {
		s += fmt.Sprintf("%s %+v; ", b.e.Key(id), b.e.State(id))
	}
	return s
}

// empty ends everything and looks for what is left.
func (b *book) empty() {
	for i := range b.ways {
		b.e.Cancel(WaiterID(i + 1))
	}
	for len(b.open) > 0 {
		b.giveBack(len(b.open) - 1)
		for i := range b.ways {
			b.e.Cancel(WaiterID(i + 1))
		}
	}
	b.settle()
	b.release()
	b.now += 1000 * day
	b.e.Advance(b.now)
	if n := b.e.Counters(); n != 0 {
		b.t.Errorf("%d counters are left", n)
	}
	if s := b.e.leaks(); s != "" {
		b.t.Errorf("left over: %s", s)
	}
}

// TestRandomHistories looks at every state of short histories.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") })
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			b.event()
			b.check()
		}
		b.empty()
	})
}

// TestNoLeaks plays many events and looks at what is left: 10^7 of them in a soak.
func TestNoLeaks(t *testing.T) {
	events := 200_000
	if soak() {
		events = 10_000_000
	} else if testing.Short() {
		events = 20_000
	}
	rng := rand.New(rand.NewPCG(7, 8))
	b := newBook(t, rng.IntN)
	for i := range events {
		b.event()
		if i%1000 == 0 {
			b.check()
		}
	}
	b.empty()
	t.Logf("%d random events, %d grants and returns, up to %d claims at once: nothing is left", events, b.acts, b.e.claims.next-1)
	if b.e.claims.next == 1 {
		t.Error("nobody has claimed anything: the events show too little")
	}
}
