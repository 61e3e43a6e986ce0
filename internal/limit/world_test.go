package limit

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world plays queues against an engine in virtual time. What it reports comes from its
// own list of permits: who held what, from when to when; never from the engine.
type world struct {
	t       testing.TB
	e       *Engine
	now     int64
	seq     int
	ends    ends
	queues  []*player
	used    map[CounterID]int // own count
	most    map[CounterID]int // limits, as the world was told
	rng     *rand.Rand
	permits int
	units   int  // of all counters, taken
	unfair  bool // nobody claims: the engine is not told whose turn it was
}

// player is a queue: it wants so many connections at once, for ever or whenever mail
// has come.
type player struct {
	id      WaiterID
	tenant  int32
	path    []CounterID
	tolls   []Toll
	want    int           // at once
	hold    time.Duration // mean; exponential
	fixed   bool          // hold is always the same
	every   time.Duration // mean time between messages; 0: backlogged
	mail    int           // waiting; a backlogged one has always some
	conns   int
	parked  bool
	since   int64 // when it began to want the next one
	waits   []int64
	granted []int64 // times
	turns   []int   // the same, counted in permits of all
}

type end struct {
	at  int64
	seq int
	q   *player
	p   *Permit // nil: mail has come
}

type ends []end

func (h ends) Len() int { return len(h) }
func (h ends) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h ends) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *ends) Push(x any)   { *h = append(*h, x.(end)) }
func (h *ends) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

func newWorld(t testing.TB) *world {
	return &world{t: t, e: New(), used: map[CounterID]int{}, most: map[CounterID]int{}, rng: rand.New(rand.NewPCG(1, 2))}
}

func (w *world) counter(k Key, limit int) CounterID {
	id, _ := w.e.Counter(k, limit, 0)
	w.most[id] = limit
	return id
}

// join adds a queue.
func (w *world) join(p *player) *player {
	p.id = WaiterID(len(w.queues) + 1)
	w.queues = append(w.queues, p)
	if p.want == 0 {
		p.want = 1
	}
	if p.every > 0 {
		w.at(w.now+w.exp(p.every), p, nil)
	} else {
		p.since = w.now
		w.ask(p, 0)
	}
	return p
}

func (w *world) exp(mean time.Duration) int64 {
	return int64(w.rng.ExpFloat64() * float64(mean))
}

func (w *world) at(t int64, q *player, p *Permit) {
	w.seq++
	heap.Push(&w.ends, end{t, w.seq, q, p})
}

func (w *world) ask(p *player, from CounterID) {
	p.parked = false
	for p.conns < p.want && (p.every == 0 || p.mail > 0) {
		t := Turn{Waiter: p.id, Tenant: p.tenant, Poor: p.conns == 0, From: from}
		permit := &Permit{}
		b, ok := w.e.Acquire(w.now, permit, p.path, p.tolls, t)
		if !ok {
			if w.unfair {
				t.From = 0
			}
			w.e.Park(w.now, t, p.path, b)
			p.parked = true
			return
		}
		w.book(p, permit)
		from = 0
	}
	w.e.Cancel(p.id)
}

func (w *world) book(p *player, permit *Permit) {
	for _, id := range permit.Path() {
		w.units++
		if w.used[id]++; w.used[id] > w.most[id] {
			w.t.Fatalf("L1: %d permits on %s, which admits %d", w.used[id], w.e.Key(id), w.most[id])
		}
	}
	for _, x := range p.tolls {
		w.units += int(x.N)
	}
	p.conns++
	p.mail = max(p.mail-1, 0)
	p.waits = append(p.waits, w.now-p.since)
	p.granted = append(p.granted, w.now)
	p.turns = append(p.turns, w.permits)
	w.permits++
	p.since = w.now
	hold := int64(p.hold)
	if !p.fixed {
		hold = w.exp(p.hold)
	}
	w.at(w.now+hold, p, permit)
}

// run plays until the given time.
func (w *world) run(until time.Duration) {
	for {
		w.turns()
		at := w.e.WakeAt()
		if len(w.ends) > 0 {
			at = min(at, w.ends[0].at)
		}
		if at > int64(until) {
			w.now = int64(until)
			return
		}
		w.now = at
		w.e.Advance(w.now)
		for len(w.ends) > 0 && w.ends[0].at <= w.now {
			w.happens(heap.Pop(&w.ends).(end))
		}
	}
}

func (w *world) happens(x end) {
	p := x.q
	if x.p == nil {
		if p.mail++; p.mail == 1 && !p.parked {
			p.since = w.now
		}
		w.at(w.now+w.exp(p.every), p, nil)
	} else {
		for _, id := range x.p.Path() {
			w.used[id]--
		}
		w.e.Return(x.p)
		p.conns--
	}
	if !p.parked {
		w.ask(p, 0)
	}
	w.turns()
}

func (w *world) turns() {
	for n := 0; ; n++ {
		id, from, ok := w.e.Next()
		if !ok && !w.e.Pending() {
			return
		}
		if !ok {
			continue
		}
		if n > 100_000 {
			w.t.Fatal("the wakes do not end")
		}
		w.ask(w.queues[id-1], from)
	}
}

// gap is the longest time between two grants, the beginning and the end included.
func (p *player) gap(end time.Duration) time.Duration {
	last, longest := int64(0), int64(0)
	for _, t := range append(slices.Clone(p.granted), int64(end)) {
		longest = max(longest, t-last)
		last = t
	}
	return time.Duration(longest)
}

// quantile of waiting times.
func quantile(waits []int64, q float64) time.Duration {
	s := slices.Clone(waits)
	slices.Sort(s)
	if len(s) == 0 {
		return 0
	}
	return time.Duration(s[min(int(q*float64(len(s))), len(s)-1)])
}

// jain is Jain's index of fairness: 1 if all are equal.
func jain(x []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

func (w *world) verify() {
	used := make([]int, w.e.Bound())
	for id, n := range w.used {
		used[id] = n
	}
	if err := w.e.Verify(used); err != nil {
		w.t.Error(err)
	}
}

func name(kind string, i int) string { return fmt.Sprint(kind, i) }
