package sched

import (
	"math/bits"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
)

// From the moment a queue wants a connection (it has ready parts and wants more
// connections than serve it) until it has it or wants it no more, its time is booked on
// exactly one cause at a time. What is booked follows from the queue's state alone, and
// is looked at again whenever the queue is (kick); so the times add up to the nanosecond,
// which AuditWaits recounts.

// cause is what queues wait for, by number. Those below firstCounter are always there.
const (
	noCause         uint32 = iota
	causeTurn              // it is about to be looked at
	causeOpening           // enough connections to its hosts are being opened
	causeBusy              // a host says that there are too many connections
	causeRoute             // no route, or no port, to a host
	causeBinding           // the binding's address is in trouble
	causeServer            // no files are left
	causeGone              // the binding has been removed
	causeSuspended         // by an operator
	causeConfigured        // suspended by the configuration
	causeResolving         // the domain's hosts are being looked up
	causeResolver          // no resolver answers
	causeDomain            // the domain has no hosts; connections that are open still serve it
	causeHosts             // all hosts have failed; likewise
	causeWriting           // outcomes cannot be written, or writing does not keep up
	causeStopping          // the server is stopping
	causeOthers            // what is too little to be told apart any more
	firstCounter
)

var causeNames = [firstCounter]string{
	causeTurn: "its turn", causeOpening: "connections being opened", causeBusy: "busy host",
	causeRoute: "no route to host", causeBinding: "binding in trouble", causeServer: "server out of files",
	causeGone: "binding removed", causeSuspended: "suspended", causeConfigured: "suspended by the configuration", causeResolving: "resolving",
	causeResolver: "no resolver answers", causeDomain: "domain without hosts", causeHosts: "all hosts failed",
	causeWriting: "outcomes being written", causeStopping: "server stopping", causeOthers: "others",
}

// cause is one of them: a counter that somebody waits on or has waited on, or one of the
// fixed ones.
type cause struct {
	label   string // "OPTION KEY" of a counter
	counter limit.CounterID
	refs    int32 // histories that name it, and queues that wait for it
	tally   uint16
}

// tally sums up all queues that wait or have waited for causes of one name: that of the
// option for counters. Times are in ticks of 2^20 ns, so that a million queues' do not
// overflow.
type tally struct {
	name    string
	ticks   int64 // of waits that are over
	since   int64 // sum of the beginnings of those that are not
	waiting int
}

func (m *Machine) initCauses() {
	m.tallyOf = map[string]uint16{}
	for i := uint32(1); i < firstCounter; i++ {
		*m.causes.at(m.causes.alloc()) = cause{label: causeNames[i], refs: 1, tally: m.tallyFor(causeNames[i])}
	}
}

func (m *Machine) tallyFor(name string) uint16 {
	t, ok := m.tallyOf[name]
	if !ok {
		t = uint16(len(m.tallies))
		m.tallies = append(m.tallies, tally{name: name})
		m.tallyOf[name] = t
	}
	return t
}

// counterCause is the cause "that counter blocks". The two buckets of a throttle are one.
func (m *Machine) counterCause(id limit.CounterID) uint32 {
	if k := m.limits.Key(id); k.Sent {
		k.Sent = false
		if twin, ok := m.limits.Lookup(k); ok {
			id = twin
		}
	}
	x := m.needUse(id)
	if x.cause == noCause {
		x.cause = m.causes.alloc()
		*m.causes.at(x.cause) = cause{label: m.label(id), counter: id, tally: m.tallyFor(m.limits.Key(id).Option)}
	}
	return x.cause
}

func (m *Machine) holdCause(c uint32) { m.causes.at(c).refs++ }

func (m *Machine) releaseCause(c uint32) {
	x := m.causes.at(c)
	if x.refs--; x.refs > 0 {
		return
	}
	if m.useOf(x.counter).cause == c {
		m.needUse(x.counter).cause = noCause
	}
	*x = cause{}
	m.causes.release(c)
}

// causeOf is what the queue waits for, noCause when it wants no connection.
func (m *Machine) causeOf(q *queue) uint32 {
	if q.ready.n == 0 {
		return noCause
	}
	l := m.lanes.at(q.lane)
	if q.waitOn == 0 && !q.gated && !m.wantsMore(q, l) {
		return noCause
	}
	switch {
	case m.names.bindings[l.key.binding].gone:
		return causeGone
	case q.halted(l) && m.suspension(q, l) != nil:
		return causeSuspended
	case l.route.closed:
		return causeConfigured
	case m.stopping:
		return causeStopping
	case m.held:
		return causeWriting
	case q.waitOn != 0:
		return m.counterCause(q.waitOn)
	case q.gated:
		return uint32(q.before)
	case l.timer != noTimer:
		return causeResolver
	case l.route.asking:
		return causeResolving
	case q.is(leaning) && l.route.begun && l.route.class != mail.ClassDelivered:
		return causeDomain
	case q.is(leaning):
		return causeHosts
	}
	return causeTurn
}

// wantsMore reports whether the queue wants a connection more than it has.
func (m *Machine) wantsMore(q *queue, l *lane) bool {
	return q.ready.n > 0 && m.wanted(q, l) > int(q.serving)
}

// book has the queue's time run on what it waits for now.
func (m *Machine) book(h uint32) {
	q := m.queues.at(h)
	if q.lane == 0 {
		return
	}
	c := m.causeOf(q)
	if c == q.cause {
		return
	}
	m.endWait(h, q)
	if c == noCause {
		return
	}
	q.cause, q.since = c, m.now
	m.holdCause(c)
	t := &m.tallies[m.causes.at(c).tally]
	t.waiting++
	t.since += m.now >> tickBits
}

// endWait books the time since the queue began to wait for what it waits for.
func (m *Machine) endWait(h uint32, q *queue) {
	c := q.cause
	if c == noCause {
		return
	}
	t := &m.tallies[m.causes.at(c).tally]
	t.waiting--
	t.since -= q.since >> tickBits
	t.ticks += m.now>>tickBits - q.since>>tickBits
	m.tell(c, q.since)
	if m.now > q.since {
		m.addWait(q.history(), c, q.since, m.now)
		m.age(h, q)
	}
	q.cause, q.since = noCause, 0
	m.releaseCause(c)
}

// forgetWaits drops the history of a queue that ends.
func (m *Machine) forgetWaits(h uint32, q *queue) {
	m.endWait(h, q)
	if q.waits == nil {
		return
	}
	for i := range q.waits.by {
		m.releaseCause(q.waits.by[i].cause)
	}
	q.waits = nil
}

const (
	minute      = int64(60e9)
	historyLen  = 10 // minutes
	mostCauses  = 12 // in one history
	minuteNever = -historyLen
)

// waits is the history of a queue: its waiting time by cause, and what a receiver said last.
type waits struct {
	by    []waited
	last  *mail.Reply
	aging bool // its buckets are going to be dropped ten minutes after the last wait
}

// history is the queue's, to be written.
func (q *queue) history() *waits {
	if q.waits == nil {
		q.waits = &waits{}
	}
	return q.waits
}

// waited is one cause in it. The buckets of the last ten minutes are there while there
// is something in them.
type waited struct {
	total   int64 // ns
	newest  int64 // the minute of the newest bucket
	buckets *[historyLen]int64
	cause   uint32
}

// addWait books the time from a to b.
func (m *Machine) addWait(w *waits, c uint32, a, b int64) {
	x := m.waitedFor(w, c)
	x.total += b - a
	if x.buckets == nil {
		x.buckets, x.newest = new([historyLen]int64), minuteNever
	}
	last := (b - 1) / minute
	for t := max(x.newest+1, last-historyLen+1); t <= last; t++ {
		x.buckets[t%historyLen] = 0
	}
	x.newest = max(x.newest, last)
	for t := max(a/minute, last-historyLen+1); t <= last; t++ {
		x.buckets[t%historyLen] += min(b, (t+1)*minute) - max(a, t*minute)
	}
}

// waitedFor finds the cause in the history or adds it. Of too many the least one is
// added to the others.
func (m *Machine) waitedFor(w *waits, c uint32) *waited {
	least := -1
	for i := range w.by {
		switch x := &w.by[i]; {
		case x.cause == c:
			return x
		case x.cause != causeOthers && (least < 0 || x.total < w.by[least].total):
			least = i
		}
	}
	m.holdCause(c)
	if len(w.by) < mostCauses || c == causeOthers {
		w.by = append(w.by, waited{cause: c, newest: minuteNever})
		return &w.by[len(w.by)-1]
	}
	old := w.by[least]
	w.by[least] = waited{cause: c, newest: minuteNever}
	o := m.waitedFor(w, causeOthers)
	o.total += old.total
	o.merge(&old)
	m.releaseCause(old.cause)
	return &w.by[least]
}

// merge adds the other's buckets.
func (x *waited) merge(y *waited) {
	switch {
	case y.buckets == nil:
		return
	case x.buckets == nil:
		x.buckets, x.newest = y.buckets, y.newest
		return
	}
	for t := x.newest + 1; t <= y.newest; t++ {
		x.buckets[t%historyLen] = 0
	}
	x.newest = max(x.newest, y.newest)
	for t := max(y.newest, x.newest) - historyLen + 1; t <= y.newest; t++ {
		if t >= 0 {
			x.buckets[t%historyLen] += y.buckets[t%historyLen]
		}
	}
}

// recent is what the buckets hold of the ten minutes up to now, the running one included.
func (x *waited) recent(now int64) int64 {
	if x.buckets == nil {
		return 0
	}
	sum := int64(0)
	for t := max(now/minute-historyLen+1, x.newest-historyLen+1, 0); t <= x.newest; t++ {
		sum += x.buckets[t%historyLen]
	}
	return sum
}

// aged is a history whose buckets are to be dropped when nothing was added to them for ten
// minutes.
type aged struct {
	minute      int64
	queue, born uint32
}

func (m *Machine) age(h uint32, q *queue) {
	if !q.waits.aging {
		q.waits.aging = true
		m.aging.push(aged{m.now / minute, h, q.born})
	}
}

// nextAged drops the buckets of one queue that has not waited for ten minutes. No timer
// is set for it: memory that nobody asks for can wait for the next event.
func (m *Machine) nextAged() bool {
	if m.aging.len() == 0 || m.now/minute-m.aging.front().minute < historyLen {
		return false
	}
	a, _ := m.aging.pop()
	q := m.queues.at(a.queue)
	if q.lane == 0 || q.born != a.born || q.waits == nil {
		return true
	}
	newest := int64(minuteNever)
	for i := range q.waits.by {
		x := &q.waits.by[i]
		if m.now/minute-x.newest >= historyLen {
			x.buckets, x.newest = nil, minuteNever
		}
		newest = max(newest, x.newest)
	}
	if newest == minuteNever {
		q.waits.aging = false
		return true
	}
	m.aging.push(aged{newest, a.queue, a.born})
	return true
}

// meter counts how often something happened in the running minute and in the one before.
type meter struct{ minute, now, before uint32 }

func (x *meter) roll(now int64) {
	switch at := uint32(now / minute); at {
	case x.minute:
		return
	case x.minute + 1:
		x.before, x.now, x.minute = x.now, 0, at
	default:
		x.before, x.now, x.minute = 0, 0, at
	}
}

func (x *meter) add(now int64, n uint32) {
	x.roll(now)
	if sum, carry := bits.Add32(x.now, n, 0); carry == 0 {
		x.now = sum
	}
}

// perMinute is how often it happened in the sixty seconds up to now, as if what happened
// in the minute before had been spread evenly.
func (x meter) perMinute(now int64) float64 {
	x.roll(now)
	return float64(x.before)*(1-float64(now%minute)/float64(minute)) + float64(x.now)
}
