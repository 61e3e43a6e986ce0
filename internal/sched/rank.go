package sched

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// Top is the queues with most of something: found by Rank, page by page, then shown by
// Ranked.
type Top struct {
	value  func(m *Machine, q *queue, now int64) int64
	n      int
	queues topHeap
	sorted bool
	shown  int
}

var orders = map[string]func(m *Machine, q *queue, now int64) int64{
	"mail": func(_ *Machine, q *queue, _ int64) int64 {
		return int64(q.waiting.n) + int64(q.ready.n) + int64(q.flying)
	},
	"ready":       func(_ *Machine, q *queue, _ int64) int64 { return int64(q.ready.n) },
	"queued":      func(_ *Machine, q *queue, _ int64) int64 { return int64(q.waiting.n) },
	"connections": func(_ *Machine, q *queue, _ int64) int64 { return int64(q.conns) },
	"oldest":      func(m *Machine, q *queue, now int64) int64 { return now - m.oldestOf(q, now) },
	"waiting": func(_ *Machine, q *queue, now int64) int64 {
		if q.cause == noCause {
			return -1
		}
		return now - q.since
	},
}

// NewTop asks for the n queues with most mail, ready, queued, connections, oldest (the
// oldest message) or waiting (the longest wait for one cause).
func NewTop(order string, n int) (*Top, error) {
	v, ok := orders[order]
	if !ok {
		var names []string
		for name := range orders { // the order does not matter: sorted below
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("queues cannot be sorted by %q; by %s", order, strings.Join(names, ", "))
	}
	return &Top{value: v, n: n}, nil
}

type topEntry struct {
	value       int64
	queue, born uint32
}

// topHeap has the one with least of it first; of equals, that with the highest handle.
type topHeap []topEntry

func (t topHeap) Len() int           { return len(t) }
func (t topHeap) Less(i, j int) bool { return t[i].compare(t[j]) < 0 }
func (t topHeap) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *topHeap) Push(x any)        { *t = append(*t, x.(topEntry)) }
func (t *topHeap) Pop() any          { panic("sched: a top list only grows") }

func (a topEntry) compare(b topEntry) int {
	return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(b.queue, a.queue))
}

// Rank looks at some of the queues and returns the cursor of the next page, empty at the
// end.
func (m *Machine) Rank(now int64, cursor string, t *Top) (next string) {
	now = max(now, m.now)
	_, at := parseCursor(cursor)
	for left := pageSlots; at < m.queues.next && left > 0; at++ {
		left--
		q := m.queues.at(at)
		if q.lane == 0 {
			continue
		}
		switch e := (topEntry{t.value(m, q, now), at, q.born}); {
		case len(t.queues) < t.n:
			heap.Push(&t.queues, e)
		case len(t.queues) > 0 && t.queues[0].compare(e) < 0:
			t.queues[0] = e
			heap.Fix(&t.queues, 0)
			left--
		}
	}
	if at < m.queues.next {
		return cursorAt('q', at)
	}
	return ""
}

// Ranked adds the next of the ranked queues that are still there to rows, the greatest
// first; done says that these were the last.
func (m *Machine) Ranked(now int64, t *Top, rows []QueueView) (more []QueueView, done bool) {
	if !t.sorted {
		slices.SortFunc(t.queues, func(a, b topEntry) int { return b.compare(a) })
		t.sorted = true
	}
	to := min(t.shown+pageRows, len(t.queues))
	for _, e := range t.queues[t.shown:to] {
		if q := m.queues.at(e.queue); q.lane != 0 && q.born == e.born {
			rows = append(rows, m.queueView(max(now, m.now), e.queue))
		}
	}
	t.shown = to
	return rows, t.shown == len(t.queues)
}
