package sched

import (
	"fmt"
	"math"

	"github.com/sluice-mta/sluice/internal/limit"
)

// WaitAudit recounts how long queues have wanted connections, or tokens for those that they
// have, apart from what the machine books: whether a queue wants one is looked at after each step and holds until
// the next. The zero WaitAudit is ready. For tests and the simulator.
type WaitAudit struct {
	at      int64
	steps   int
	queues  []auditedQueue // by handle
	serving []int32
	waiting []int
}

type auditedQueue struct {
	born   uint32
	wants  bool
	wanted int64 // ns
}

// AuditWaits compares what every queue's time is booked on with the recount, exactly;
// an error names the first queue whose causes do not add up. It must be called after
// each Step, before the next.
func (m *Machine) AuditWaits(a *WaitAudit) error {
	if a.queues == nil {
		a.at = m.now
	}
	a.begin(m)
	idle := m.idle()
	for h := uint32(1); h < m.queues.next; h++ {
		q := m.queues.at(h)
		if q.lane == 0 {
			a.queues[h] = auditedQueue{}
			continue
		}
		if err := m.auditQueue(a, h, q, idle); err != nil {
			b, d := m.laneNames(m.lanes.at(q.lane))
			return fmt.Errorf("queue %s/%s %w", d, b, err)
		}
	}
	a.at = m.now
	for i := range m.tallies {
		if t := &m.tallies[i]; t.waiting != a.waiting[i] {
			return fmt.Errorf("%d queues are counted as waiting for %s; they are %d", t.waiting, t.name, a.waiting[i])
		}
	}
	if a.steps++; a.steps%64 != 0 {
		return nil
	}
	return m.checkCauses()
}

// begin recounts the connections that serve each queue.
func (a *WaitAudit) begin(m *Machine) {
	for len(a.queues) < int(m.queues.next) || len(a.queues) == 0 {
		a.queues, a.serving = append(a.queues, auditedQueue{}), append(a.serving, 0)
	}
	clear(a.serving)
	a.waiting = append(a.waiting[:0], make([]int, len(m.tallies))...)
	for h := uint32(1); h < m.conns.next; h++ {
		if c := m.conns.at(h); c.state != 0 && !c.retiring {
			a.serving[c.queue]++
		}
	}
}

func (m *Machine) auditQueue(a *WaitAudit, h uint32, q *queue, idle bool) error {
	x := &a.queues[h]
	if x.born != q.born {
		*x = auditedQueue{born: q.born}
	}
	if x.wants {
		x.wanted += m.now - a.at
	}
	l := m.lanes.at(q.lane)
	x.wants = q.ready.n > 0 && (m.wanted(q, l) > int(a.serving[h]) || m.lacksTokens(q, l))
	if q.cause != noCause {
		a.waiting[m.causes.at(q.cause).tally]++
	}
	switch booked := m.bookedTime(q); {
	case booked != x.wanted:
		return fmt.Errorf("has wanted connections for %d ns, its causes add up to %d ns: %v", x.wanted, booked, m.waited(m.now, q))
	case idle && x.wants != (q.cause != noCause):
		return fmt.Errorf("wants a connection: %v; its time is booked on %q", x.wants, m.causeName(q.cause))
	case idle && q.cause == causeTurn:
		return fmt.Errorf("waits for its turn, but nothing is going to give it one")
	}
	return nil
}

// idle reports whether no work is left over for the next step.
func (m *Machine) idle() bool {
	return !m.limits.Pending() && m.limits.WakeAt() > m.now && m.dirty.len() == 0 && m.waked.len() == 0 && m.strays.len() == 0 && m.roomy.len() == 0 && m.jobs.len() == 0 && m.urgent.len() == 0
}

func (m *Machine) bookedTime(q *queue) int64 {
	sum := int64(0)
	if q.waits != nil {
		for i := range q.waits.by {
			sum += q.waits.by[i].total
		}
	}
	if q.cause != noCause {
		sum += m.now - q.since
	}
	return sum
}

// checkCauses recounts who refers to each cause, and whether it names its counter.
func (m *Machine) checkCauses() error {
	refs := make([]int32, m.causes.next)
	for h := uint32(1); h < m.queues.next; h++ {
		q := m.queues.at(h)
		if q.lane == 0 {
			continue
		}
		refs[q.cause]++
		if q.waits != nil {
			for i := range q.waits.by {
				refs[q.waits.by[i].cause]++
			}
		}
	}
	for c := firstCounter; c < m.causes.next; c++ {
		if x := m.causes.at(c); x.refs != refs[c] {
			return fmt.Errorf("cause %q counts %d who name it; they are %d", x.label, x.refs, refs[c])
		}
	}
	for id := range m.sources.metas.next {
		if c := m.useOf(limit.CounterID(id)).cause; c != noCause && refs[c] == 0 {
			return fmt.Errorf("counter %d names a cause that is gone", id)
		}
	}
	return nil
}

// Lift takes a limit or rate away until the configuration is next applied, so that a test
// can see whether it was what blocked. False: there is no counter of that name.
func (m *Machine) Lift(now int64, name string) bool {
	id, ok := m.findCounter(name)
	if !ok {
		return false
	}
	if !m.limits.State(id).Throttle {
		m.limits.SetLimit(id, math.MaxInt32, 0)
		return true
	}
	k := m.limits.Key(id)
	for _, k.Sent = range [...]bool{false, true} { // both its buckets
		if id, ok := m.limits.Lookup(k); ok {
			m.limits.SetRate(max(now, m.now), id, limit.Rate{})
		}
	}
	return true
}

// checkFound: every lane and queue is found, and no map names one that is gone.
func (m *Machine) checkFound() error {
	queues := 0
	for h := uint32(1); h < m.lanes.next; h++ {
		l := m.lanes.at(h)
		if l.policy == nil {
			continue
		}
		if found, ok := m.laneTo(l.key); !ok || found != h {
			return fmt.Errorf("lane %d %v is found as %d", h, l.key, found)
		}
		for q := l.queues.head; q != 0; q = m.queues.at(q).next {
			if found, ok := m.queueOn(queueKey{h, m.queues.at(q).tenant}); !ok || found != q {
				return fmt.Errorf("queue %d on lane %d is found as %d", q, h, found)
			}
		}
		if l.queues.n > short {
			queues += int(l.queues.n)
		}
	}
	if queues != len(m.queueOf) {
		return fmt.Errorf("a map names %d queues; it should name %d", len(m.queueOf), queues)
	}
	return nil
}
