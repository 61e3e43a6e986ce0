package forecast

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// Result is what came of a simulation.
type Result struct {
	File            string  `json:"file"`
	Finished        float64 `json:"finished_seconds"` // of virtual time, the last outcome
	Submitted       int     `json:"messages"`
	Delivered       int     `json:"recipients_delivered"`
	Failed          int     `json:"recipients_failed"` // expired
	Left            int     `json:"messages_left"`     // at the end, when that was set
	Transactions    int     `json:"transactions"`
	Connections     int     `json:"connections"`
	PeakConnections int     `json:"peak_connections"`
	Moved           int     `json:"messages_of_unknown_bindings,omitempty"`
	// Rollups is nil when the configuration says nothing of rollups for any of the mail.
	Rollups       *Rollups `json:"rollups,omitempty"`
	PerSecond     float64  `json:"recipients_per_second"`
	BusiestMinute int      `json:"busiest_minute"` // recipients delivered in it
	Median        float64  `json:"delay_median_seconds"`
	P99           float64  `json:"delay_p99_seconds"`
	Longest       float64  `json:"delay_longest_seconds"`
	Waited        float64  `json:"queue_seconds_waited"` // of all queues that wanted a connection
	Limits        []Limit  `json:"limits"`
	Other         []Cause  `json:"other_causes"`
	Events        int      `json:"events"`
}

// Limit is one value of the configuration with all the counters that it made.
type Limit struct {
	Option   string  `json:"option"`
	Stanza   string  `json:"stanza"`
	File     string  `json:"file"`
	Line     int     `json:"line"`
	Limit    int     `json:"limit"`
	Reserve  int     `json:"reserve,omitempty"`
	Counters int     `json:"counters"`
	Reached  int     `json:"counters_full"` // at some time
	Peak     int     `json:"peak"`
	PeakKey  string  `json:"peak_key"`
	Waited   float64 `json:"queue_seconds_waited"`
	Share    float64 `json:"share_of_waiting"`
	Most     string  `json:"most_waited_key,omitempty"` // the counter that was waited on longest
	Alone    float64 `json:"most_waited_seconds,omitempty"`

	waited, alone int64 // ns
}

// Cause is another thing that queues waited for.
type Cause struct {
	For    string  `json:"for"`
	Waited float64 `json:"queue_seconds_waited"`
	Share  float64 `json:"share_of_waiting"`
}

// history is what is remembered of the course.
type history struct {
	waits  map[string]*wait
	delays [64 * 8]int
	n      int
	most   int64
	minute int64
	inIt   int
	best   int
	last   int64
}

type wait struct {
	ns      int64
	counter sched.CounterView
}

func newHistory() *history { return &history{waits: map[string]*wait{}} }

func (s *sim) waited(w sched.Waited) {
	x := s.history.waits[w.For]
	if x == nil {
		x = &wait{counter: w.Counter}
		s.history.waits[w.For] = x
	}
	x.ns += w.Until - w.Since
}

func (h *history) delivered(now, arrived int64, n int) {
	if m := now / int64(time.Minute); m != h.minute {
		h.minute, h.inIt = m, 0
	}
	h.inIt += n
	h.best = max(h.best, h.inIt)
	h.last = now
	delay := max(now/int64(time.Millisecond)-arrived, 0)
	h.most = max(h.most, delay)
	h.delays[bucket(delay)] += n
	h.n += n
}

// bucket sorts milliseconds into eighths of powers of two.
func bucket(ms int64) int {
	if ms < 8 {
		return int(ms)
	}
	e := bits.Len64(uint64(ms)) - 4
	return (e+1)*8 + int(ms>>e)&7
}

// least is the smallest delay of a bucket.
func least(b int) int64 {
	if b < 8 {
		return int64(b)
	}
	return int64(8+b%8) << (b/8 - 1)
}

// percentile is the delay that so many percent do not exceed, to an eighth.
func (h *history) percentile(p float64) float64 {
	want, sum := int(float64(h.n)*p/100), 0
	for b, n := range h.delays {
		if sum += n; sum > want {
			return float64(min(least(b+1)-1, h.most)) / 1000
		}
	}
	return float64(h.most) / 1000
}

// finish sums up.
func (s *sim) finish() *Result {
	r, h := &s.result, s.history
	r.File = s.Snapshot.File
	r.Finished = float64(h.last) / 1e9
	r.Left = s.machine.Totals(s.now).Messages
	for s.more { // those that did not come in time
		r.Left++
		s.more = s.messages.next(&s.coming)
	}
	r.Moved = s.bindings.moved
	if s.asked {
		r.Rollups = &Rollups{Domains: len(s.rolled), Names: len(s.under)}
	}
	if r.Finished > 0 {
		r.PerSecond = float64(r.Delivered) / r.Finished
	}
	r.BusiestMinute, r.Median, r.P99, r.Longest = h.best, h.percentile(50), h.percentile(99), float64(h.most)/1000
	s.limits()
	return r
}

// limits brings counters and waits together, by the place that set them.
func (s *sim) limits() {
	type place struct{ option, file, stanza string }
	r := &s.result
	at := map[place]*Limit{}
	find := func(option, file string, line, most int, stanza string) *Limit {
		k := place{option, file, stanza}
		l := at[k]
		if l == nil {
			l = &Limit{Option: option, File: file, Line: line, Stanza: stanza, Limit: most}
			at[k] = l
		}
		return l
	}
	for i := range s.counts.all {
		c := &s.counts.all[i]
		o := c.limit.Origin
		l := find(c.limit.Option, o.File, o.Line, c.limit.Max, o.Stanza)
		l.Counters++
		l.Reserve = c.limit.Reserve
		if int(c.peak) >= c.limit.Max {
			l.Reached++
		}
		if int(c.peak) > l.Peak || l.PeakKey == "" {
			l.Peak, l.PeakKey = int(c.peak), c.key
		}
	}
	total := int64(0)
	for _, w := range s.history.waits { // a sum: the order does not matter
		total += w.ns
	}
	share := func(ns int64) float64 { return float64(ns) / max(float64(total), 1) }
	for cause, w := range s.history.waits { // sorted below: the order does not matter
		v := &w.counter
		if v.Option == "" {
			r.Other = append(r.Other, Cause{cause, float64(w.ns) / 1e9, share(w.ns)})
			continue
		}
		l := find(v.Option, v.File, v.Line, v.Limit, v.Stanza)
		l.waited += w.ns
		if w.ns > l.alone || w.ns == l.alone && v.Key < l.Most {
			l.Most, l.alone = v.Key, w.ns
		}
	}
	r.Waited = float64(total) / 1e9
	for _, l := range at { // sorted below: the order does not matter
		l.Waited, l.Alone, l.Share = float64(l.waited)/1e9, float64(l.alone)/1e9, share(l.waited)
		r.Limits = append(r.Limits, *l)
	}
	slices.SortFunc(r.Limits, func(a, b Limit) int {
		return cmp.Or(cmp.Compare(b.Waited, a.Waited), cmp.Compare(b.Peak, a.Peak), strings.Compare(a.Option, b.Option), strings.Compare(a.Stanza, b.Stanza))
	})
	slices.SortFunc(r.Other, func(a, b Cause) int { return cmp.Or(cmp.Compare(b.Waited, a.Waited), strings.Compare(a.For, b.For)) })
}
