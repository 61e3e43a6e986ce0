package sched

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/sluice-mta/sluice/internal/limit"
)

// surveySlots is how many records one look of a survey visits: well below a millisecond.
const surveySlots = 1024

// Survey sums up what Totals does not keep: every counter, every connection, every
// binding. Machine.Survey fills it page by page; a counter that comes or goes meanwhile may
// be left out.
type Survey struct {
	Options  []OptionUse
	Wide     []CounterUse // counters and throttles of the server, bindings, groups and stanzas
	Fullest  []CounterUse // those with the greatest share of their limit in use; throttles with waiters are full
	Bindings []BindingView
	Conns    ConnStates

	most   int
	fuller fullHeap
}

// OptionUse is the sums over all counters and throttles of one option.
type OptionUse struct {
	Option   string  `json:"option"`
	Counters int     `json:"counters"`
	Use      int     `json:"use"`   // connections; 0 for throttles
	Limit    int     `json:"limit"` // likewise
	Waiters  int     `json:"waiters"`
	Full     int     `json:"full"`   // counters without room; throttles with waiters
	Grants   uint64  `json:"grants"` // since the start: connections, or tokens
	Blocked  float64 `json:"blocked_seconds"`
}

// CounterUse is one counter or throttle.
type CounterUse struct {
	Option   string  `json:"option"`
	Key      string  `json:"key"`
	Use      int     `json:"use"`
	Limit    int     `json:"limit"`
	Waiters  int     `json:"waiters"`
	Grants   uint64  `json:"grants"` // since it is there
	Blocked  float64 `json:"blocked_seconds"`
	Throttle bool    `json:"throttle"`
}

// ConnStates counts connections by what they are doing.
type ConnStates struct {
	Opening    int `json:"opening"`
	Idle       int `json:"idle"`
	Delivering int `json:"delivering"`
	Closing    int `json:"closing"`
}

// NewSurvey begins a survey that keeps the fullest counters, so many of them.
func NewSurvey(fullest int) *Survey { return &Survey{most: fullest} }

// Survey looks at some of the records and returns the cursor of the next page, empty at
// the end: then the survey is complete.
func (m *Machine) Survey(now int64, cursor string, s *Survey) (next string) {
	now = max(now, m.now)
	kind, at := parseCursor(cursor)
	left := surveySlots
	switch kind {
	case 0, 'c':
		for ; int(at) < m.limits.Bound() && left > 0; at, left = at+1, left-1 {
			m.surveyCounter(now, limit.CounterID(at), s)
		}
		if int(at) < m.limits.Bound() {
			return cursorAt('c', at)
		}
		s.bury(m.limits.Spent())
		return cursorAt('o', 1)
	case 'o':
		for ; at < m.conns.next && left > 0; at, left = at+1, left-1 {
			s.Conns.add(m.conns.at(at))
		}
		if at < m.conns.next {
			return cursorAt('o', at)
		}
		return cursorAt('b', 1)
	}
	for ; int(at) < len(m.names.bindings) && left > 0; at, left = at+1, left-4 {
		s.Bindings = append(s.Bindings, m.bindingView(at))
	}
	if int(at) < len(m.names.bindings) {
		return cursorAt('b', at)
	}
	return ""
}

// Sort puts a complete survey in order. It needs no lock.
func (s *Survey) Sort() {
	slices.SortFunc(s.fuller, func(a, b fullEntry) int { return b.compare(a) })
	s.Fullest = make([]CounterUse, len(s.fuller))
	for i := range s.fuller {
		s.Fullest[i] = s.fuller[i].use
	}
	slices.SortFunc(s.Options, func(a, b OptionUse) int { return cmp.Compare(a.Option, b.Option) })
	slices.SortFunc(s.Bindings, func(a, b BindingView) int { return cmp.Compare(a.Binding, b.Binding) })
	slices.SortFunc(s.Wide, func(a, b CounterUse) int {
		return cmp.Or(cmp.Compare(b.Use, a.Use), cmp.Compare(a.Option, b.Option), cmp.Compare(a.Key, b.Key))
	})
}

func (c *ConnStates) add(x *conn) {
	switch {
	case x.state == connDialing || x.state == connOpen && !x.opened:
		c.Opening++
	case x.state == connClosing:
		c.Closing++
	case x.state == connOpen && x.held == 0:
		c.Idle++
	case x.state == connOpen:
		c.Delivering++
	}
}

func (m *Machine) surveyCounter(now int64, id limit.CounterID, s *Survey) {
	u, ok := m.limits.Usage(now, id)
	if !ok {
		return
	}
	o := s.option(u.Option)
	o.Counters++
	o.Waiters += u.Waiters
	o.Grants += u.Grants
	o.Blocked += seconds(u.Blocked)
	share := int64(u.Used) * fullShare / int64(max(u.Limit, 1))
	if u.Throttle {
		u.Used, u.Limit, share = 0, 0, 0
		if u.Waiters > 0 {
			share = fullShare
		}
	}
	o.Use += u.Used
	o.Limit += u.Limit
	if share >= fullShare {
		o.Full++
	}
	var row *CounterUse
	if u.Wide {
		s.Wide = append(s.Wide, m.counterUse(id, &u))
		row = &s.Wide[len(s.Wide)-1]
	}
	s.full(fullEntry{share: share, waiters: u.Waiters, used: u.Used}, func() CounterUse {
		if row != nil {
			return *row
		}
		return m.counterUse(id, &u)
	})
}

func (m *Machine) counterUse(id limit.CounterID, u *limit.Usage) CounterUse {
	return CounterUse{
		Option: u.Option, Key: m.limits.Key(id).String(), Use: u.Used, Limit: u.Limit, Waiters: u.Waiters,
		Grants: u.Grants, Blocked: seconds(u.Blocked), Throttle: u.Throttle,
	}
}

// option finds or adds the sums of an option: there are a dozen.
func (s *Survey) option(name string) *OptionUse {
	for i := range s.Options {
		if s.Options[i].Option == name {
			return &s.Options[i]
		}
	}
	s.Options = append(s.Options, OptionUse{Option: name})
	return &s.Options[len(s.Options)-1]
}

// bury adds what counters granted that are not there any more.
func (s *Survey) bury(spent []limit.Spent) {
	for _, x := range spent {
		s.option(x.Option).Grants += x.Grants
	}
}

const (
	fullShare = 1000
	nearShare = 800 // from here on a counter is nearly full
)

type fullEntry struct {
	share         int64 // of its limit in use, in thousandths
	waiters, used int
	use           CounterUse
}

func (a fullEntry) compare(b fullEntry) int {
	return cmp.Or(cmp.Compare(min(a.share, fullShare), min(b.share, fullShare)), cmp.Compare(a.waiters, b.waiters),
		cmp.Compare(a.used, b.used), cmp.Compare(a.share, b.share))
}

// fullHeap has the one with least of it first.
type fullHeap []fullEntry

func (t fullHeap) Len() int           { return len(t) }
func (t fullHeap) Less(i, j int) bool { return t[i].compare(t[j]) < 0 }
func (t fullHeap) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *fullHeap) Push(x any)        { *t = append(*t, x.(fullEntry)) }
func (t *fullHeap) Pop() any          { panic("sched: a list of the fullest only grows") }

// full keeps a counter if it is nearly full and among the fullest.
func (s *Survey) full(e fullEntry, use func() CounterUse) {
	if e.share < nearShare || s.most == 0 {
		return
	}
	switch {
	case len(s.fuller) < s.most:
		e.use = use()
		heap.Push(&s.fuller, e)
	case s.fuller[0].compare(e) < 0:
		e.use = use()
		s.fuller[0] = e
		heap.Fix(&s.fuller, 0)
	}
}
