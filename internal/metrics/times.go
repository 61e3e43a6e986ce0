package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper bounds of the buckets of times under the scheduler's lock.
var bounds = [...]time.Duration{
	time.Microsecond, 2 * time.Microsecond, 5 * time.Microsecond, 10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 100 * time.Millisecond, time.Second,
}

// spread counts times by bucket. It is used at every event of the scheduler: two or three
// atomic additions, no allocation.
type spread struct {
	buckets [len(bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // ns
}

func (s *spread) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	s.buckets[i].Add(1)
	if d > 0 {
		s.sum.Add(int64(d))
	}
}

// metric is the spread as a scrape shows it.
func (s *spread) metric(m *metric, use string) prometheus.Metric {
	below, all := make(map[float64]uint64, len(bounds)), uint64(0)
	for i := range s.buckets {
		all += s.buckets[i].Load()
		if i < len(bounds) {
			below[bounds[i].Seconds()] = all
		}
	}
	return prometheus.MustNewConstHistogram(m.desc, all, time.Duration(s.sum.Load()).Seconds(), below, use)
}

// times are the spreads by what the lock is used for.
type times struct {
	mu   sync.Mutex
	uses []*use
}

type use struct {
	name         string
	held, waited spread
}

// Held returns what counts uses of the scheduler's lock of one kind, a word of the
// program's own.
func (m *Metrics) Held(name string) func(waited, held time.Duration) {
	u := &use{name: name}
	m.times.mu.Lock()
	m.times.uses = append(m.times.uses, u)
	m.times.mu.Unlock()
	return func(waited, held time.Duration) {
		u.waited.observe(waited)
		u.held.observe(held)
	}
}

// Describe implements prometheus.Collector.
func (t *times) Describe(to chan<- *prometheus.Desc) { to <- lockHeld.desc; to <- lockWaited.desc }

// Collect implements prometheus.Collector.
func (t *times) Collect(to chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.uses {
		to <- u.held.metric(lockHeld, u.name)
		to <- u.waited.metric(lockWaited, u.name)
	}
}
