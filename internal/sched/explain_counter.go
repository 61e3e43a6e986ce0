package sched

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// ExplainCounter shows a counter or throttle, named "OPTION KEY" as it is printed, and
// the first n who wait there; Holders tells who holds it.
func (m *Machine) ExplainCounter(now int64, name string, n int) (CounterExplanation, bool) {
	id, ok := m.findCounter(name)
	if !ok {
		return CounterExplanation{}, false
	}
	now = max(now, m.now)
	if m.isThrottle(id) {
		id = m.behind(now, id)
	}
	x := CounterExplanation{CounterView: m.counterView(now, id, 0)}
	for _, w := range m.limits.Waiters(id, min(n, pageRows)) {
		q := m.queues.at(uint32(w))
		y := CounterWaiter{Queue: m.queueName(q), Conns: int(q.conns)}
		if q.cause != noCause {
			y.For = seconds(now - q.since)
		}
		x.First = append(x.First, y)
	}
	x.Blocked = seconds(m.limits.BlockedNs(now, id))
	if rate := x.Grants; rate > 0 && x.Waiters > 0 {
		ns := int64(float64(x.Waiters) / rate * float64(time.Second))
		x.Drain = &Estimate{Seconds: seconds(ns), AtTime: now + ns, Basis: fmt.Sprintf("%d wait, %.2g a second in the last minute", x.Waiters, rate)}
	}
	return x, true
}

// Holders adds the connections on a counter to their queues' sums, some at a time, and
// returns the cursor of the next page, empty at the end.
func (m *Machine) Holders(name, cursor string, sums map[string]int) (next string) {
	id, ok := m.findCounter(name)
	if !ok {
		return ""
	}
	_, at := parseCursor(cursor)
	for left := pageSlots / 2; at < m.conns.next && left > 0; at++ {
		left--
		c := m.conns.at(at)
		if c.state == 0 {
			continue
		}
		for _, on := range c.permit.Path() {
			if on == id {
				sums[m.queueName(m.queues.at(c.queue))]++
				left -= 8
			}
		}
	}
	if at < m.conns.next {
		return cursorAt('c', at)
	}
	return ""
}

// findCounter finds a counter by its name. A key is printed as its parts in a fixed order;
// which parts they are is tried out, since a name alone does not tell.
func (m *Machine) findCounter(name string) (limit.CounterID, bool) {
	option, text, _ := strings.Cut(name, " ")
	k := limit.Key{Option: option}
	if id, ok := m.limits.Lookup(k); ok && text == k.String() {
		return id, true
	}
	return m.findKey(k, 0, text)
}

// keyFields puts a part of a key's name into the i-th of its fields.
var keyFields = [...]func(k *limit.Key, s string){
	func(k *limit.Key, s string) { k.Group = s },
	func(k *limit.Key, s string) { k.Binding = s },
	func(k *limit.Key, s string) { k.Domain = s },
	func(k *limit.Key, s string) { k.Host = s },
	func(k *limit.Key, s string) { k.Address, _ = netip.ParseAddr(s) },
	func(k *limit.Key, s string) { k.Stanza = s },
}

const stanzaField = len(keyFields) - 1

// findKey tries the ways in which the rest of a name can be given to the fields from the
// given one on. Only a stanza, which comes last, may have a slash in it.
func (m *Machine) findKey(k limit.Key, field int, rest string) (limit.CounterID, bool) {
	if rest == "" {
		id, ok := m.limits.Lookup(k)
		return id, ok && field > 0
	}
	part, more, _ := strings.Cut(rest, "/")
	for f := field; f < len(keyFields); f++ {
		try, left := k, more
		if f == stanzaField {
			part, left = rest, ""
		}
		keyFields[f](&try, part)
		if try == k { // not an address
			continue
		}
		if id, ok := m.findKey(try, f+1, left); ok {
			return id, true
		}
	}
	return 0, false
}

// ExplainBinding says what a binding is, and the counters on which all its connections
// are; its queues are added by BindingWaits.
func (m *Machine) ExplainBinding(now int64, name string) (BindingExplanation, bool) {
	h, ok := m.names.bindingOf[name]
	if !ok {
		return BindingExplanation{}, false
	}
	now = max(now, m.now)
	b := &m.names.bindings[h]
	x := BindingExplanation{BindingView: m.bindingView(h), State: "ok"}
	if s, _, closed := m.closedState(now, b.gate); closed {
		x.State = s
	} else if b.gone {
		x.State = x.Trouble
	} else if s := m.suspended(name, ""); s != nil {
		x.State = "suspended by " + s.By
	}
	if b.policy == nil {
		return x, true
	}
	const narrower = byHost | policy.ByDomain | policy.ByStanza
	for i := range b.policy.Limits {
		if l := &b.policy.Limits[i]; l.Max >= 0 && l.By&narrower == 0 {
			if id, ok := m.limits.Lookup(keyOf(l, laneText{binding: name, group: b.group}, "", nil)); ok {
				x.Path = append(x.Path, m.counterView(now, id, 0))
			}
		}
	}
	return x, true
}

// Waits is what the queues of one binding wait for: sums by cause, and the queues that have
// waited longest.
type Waits struct {
	Causes  map[string]CauseTotal
	Longest []Waiter
}

// Waiter is a queue that waits.
type Waiter struct {
	Queue string
	Since int64
}

// BindingWaits adds the waits of some of a binding's queues, and returns the cursor of the
// next page, empty at the end.
func (m *Machine) BindingWaits(now int64, name, cursor string, w *Waits, n int) (next string) {
	h, ok := m.names.bindingOf[name]
	if !ok {
		return ""
	}
	if w.Causes == nil {
		w.Causes = map[string]CauseTotal{}
	}
	now = max(now, m.now)
	_, at := parseCursor(cursor)
	for left := pageSlots / 2; at < m.queues.next && left > 0; at++ {
		left--
		q := m.queues.at(at)
		if q.lane == 0 || q.cause == noCause || m.lanes.at(q.lane).key.binding != h {
			continue
		}
		c := m.causeName(q.cause)
		t := w.Causes[c]
		t.Cause, t.Queues, t.Seconds = c, t.Queues+1, t.Seconds+seconds(now-q.since)
		if len(w.Causes) < pageRows || t.Queues > 1 {
			w.Causes[c] = t
		} else {
			o := w.Causes[causeNames[causeOthers]]
			w.Causes[causeNames[causeOthers]] = CauseTotal{causeNames[causeOthers], o.Queues + 1, o.Seconds + seconds(now-q.since)}
		}
		left -= w.keep(m, q, n)
	}
	if at < m.queues.next {
		return cursorAt('q', at)
	}
	return ""
}

// keep notes the queue if it is one of the n that have waited longest.
func (w *Waits) keep(m *Machine, q *queue, n int) (cost int) {
	i := len(w.Longest)
	for i > 0 && w.Longest[i-1].Since > q.since {
		i--
	}
	if i >= n {
		return 0
	}
	if len(w.Longest) < n {
		w.Longest = append(w.Longest, Waiter{})
	}
	copy(w.Longest[i+1:], w.Longest[i:])
	w.Longest[i] = Waiter{m.queueName(q), q.since}
	return 4
}
