package sched

import "fmt"

// WaitAudit recounts how long queues have wanted connections, or tokens for those that they
// have, apart from what the
// machine books: whether a queue wants one is looked at after each step and holds until
// the next. The zero WaitAudit is ready. For tests and the simulator.
type WaitAudit struct {
	at     int64
	queues map[uint32]*auditedQueue
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
		a.queues = map[uint32]*auditedQueue{}
		a.at = m.now
	}
	serving := map[uint32]int32{}
	for h := uint32(1); h < m.conns.next; h++ {
		if c := m.conns.at(h); c.state != 0 && !c.retiring {
			serving[c.queue]++
		}
	}
	idle := m.idle()
	waiting := map[string]int{}
	for h := uint32(1); h < m.queues.next; h++ {
		q := m.queues.at(h)
		x := a.queues[h]
		if q.lane == 0 || x == nil || x.born != q.born {
			delete(a.queues, h)
			if q.lane == 0 {
				continue
			}
			x = &auditedQueue{born: q.born}
			a.queues[h] = x
		}
		if x.wants {
			x.wanted += m.now - a.at
		}
		l := m.lanes.at(q.lane)
		b, d := m.laneNames(l)
		x.wants = q.ready.n > 0 && (m.wanted(q, l) > int(serving[h]) || m.lacksTokens(q, l))
		if booked := m.bookedTime(q); booked != x.wanted {
			return fmt.Errorf("queue %s/%s has wanted connections for %d ns, its causes add up to %d ns: %v", d, b, x.wanted, booked, m.waited(m.now, q))
		}
		if idle && x.wants != (q.cause != noCause) {
			return fmt.Errorf("queue %s/%s wants a connection: %v; its time is booked on %q", d, b, x.wants, m.causeName(q.cause))
		}
		if idle && q.cause == causeTurn {
			return fmt.Errorf("queue %s/%s waits for its turn, but nothing is going to give it one", d, b)
		}
		if q.cause != noCause {
			waiting[m.tallies[m.causes.at(q.cause).tally].name]++
		}
	}
	a.at = m.now
	for i := range m.tallies {
		if t := &m.tallies[i]; t.waiting != waiting[t.name] {
			return fmt.Errorf("%d queues are counted as waiting for %s; they are %d", t.waiting, t.name, waiting[t.name])
		}
	}
	return m.checkCauses()
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
	for id := range m.meta {
		if c := m.meta[id].cause; c != noCause && refs[c] == 0 {
			return fmt.Errorf("counter %d names a cause that is gone", id)
		}
	}
	return nil
}
