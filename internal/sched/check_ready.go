package sched

import (
	"cmp"
	"fmt"
)

// checkReady: the ready parts stand in the turns of their jobs, by priority, and no turn
// is empty.
func (m *Machine) checkReady(qh uint32, q *queue, own func(p, q uint32, s partState) error) error {
	if q.ready.rings == 0 {
		return m.checkList(qh, q, own)
	}
	n, r := uint32(0), m.rings.at(q.ready.rings)
	if q.ready.head != 0 || q.ready.tail != 0 || q.ready.n == 0 {
		return fmt.Errorf("queue %d has rings, and a list from %d to %d of %d", qh, q.ready.head, q.ready.tail, q.ready.n)
	}
	for rank, first := range r.turns {
		for h := first; h != 0; {
			t := m.turns.at(h)
			if t.queue != qh || int(t.rank) != rank || t.parts.n == 0 || m.turns.at(t.next).prev != h {
				return fmt.Errorf("queue %d: the turn of job %d at rank %d is %+v", qh, t.job, rank, *t)
			}
			if found := m.turnOf[turnKey{qh, t.job, t.rank}]; t.listed != (found == h) || !t.listed && t.next != h {
				return fmt.Errorf("queue %d: job %d has the turn %d, found is %d", qh, t.job, h, found)
			}
			for p := t.parts.head; p != 0; p = m.parts.at(p).next {
				if x := m.messages.at(m.parts.at(p).msg); x.job != t.job || int(x.priority.Rank()) != rank || cmp.Or(m.parts.at(p).turn, r.base) != h {
					return fmt.Errorf("part %d of job %d, priority %v, stands in the turn of job %d, rank %d", p, x.job, x.priority, t.job, t.rank)
				}
				if err := own(p, qh, partReady); err != nil {
					return err
				}
				n++
			}
			if h = t.next; h == first {
				break
			}
		}
	}
	if n != q.ready.n {
		return fmt.Errorf("queue %d counts %d ready parts; they are %d", qh, q.ready.n, n)
	}
	return nil
}

// checkList: the ready parts of a queue without rings are of one job and priority.
func (m *Machine) checkList(qh uint32, q *queue, own func(p, q uint32, s partState) error) error {
	n := uint32(0)
	for p := q.ready.head; p != 0; p = m.parts.at(p).next {
		x, k := m.parts.at(p), m.turnOfPart(m.parts.at(q.ready.head))
		if x.turn != 0 || m.turnOfPart(x) != k {
			return fmt.Errorf("part %d of %+v stands in queue %d among %+v, in the turn %d", p, m.turnOfPart(x), qh, k, x.turn)
		}
		if err := own(p, qh, partReady); err != nil {
			return err
		}
		n++
	}
	if n != q.ready.n {
		return fmt.Errorf("queue %d counts %d ready parts; they are %d", qh, q.ready.n, n)
	}
	return nil
}
