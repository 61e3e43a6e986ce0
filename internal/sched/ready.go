package sched

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// patience is how many parts of higher priorities go before one of a lower priority
// that waits: then one of its own goes.
const patience = 16

// ready is the ready parts of a queue, in the order in which they are to be handed out:
//
//	high    ─> turn(job a) ─> turn(job b) ─> ...      a ring: each turn is one part
//	normal  ─> turn(job c) ─> ...                     a turn: the job's parts, first come first served
//	low     ─> ...
//
// A part of high priority goes before one of normal priority, and that before one of low
// priority; but of those that wait, each priority gets at least one part in patience+2.
// Within a priority the jobs take turns, whatever their size. Choosing, entering and
// leaving cost the same however many parts and jobs there are; a job that has no ready
// part leaves nothing behind.
type ready struct {
	n      uint32
	turns  [mail.Priorities]uint32 // by rank: whose turn is next, 0 if none
	passed [mail.Priorities]uint8  // so many of higher ranks went while this one waited
}

// turn is one job's ready parts of one priority in one queue.
type turn struct {
	parts      list
	next, prev uint32 // in the ring
	queue      uint32
	job        uint32
	rank       uint8
	listed     bool // found by turnOf
}

type turnKey struct {
	queue, job uint32
	rank       uint8
}

// jobName is a job that some message belongs to.
type jobName struct {
	name     string
	messages int32
}

// joinJob counts a message to its job and returns the job's handle; 0: it has none.
func (m *Machine) joinJob(name string) uint32 {
	if name == "" {
		return 0
	}
	h, ok := m.jobOf[name]
	if !ok {
		name = strings.Clone(name)
		h = m.jobNames.alloc()
		*m.jobNames.at(h) = jobName{name: name}
		m.jobOf[name] = h
	}
	m.jobNames.at(h).messages++
	return h
}

// freeMessage forgets a message whose last recipient has an outcome.
func (m *Machine) freeMessage(h uint32) {
	x := m.messages.at(h)
	if x.job != 0 {
		if j := m.jobNames.at(x.job); j.messages == 1 {
			delete(m.jobOf, j.name)
			*j = jobName{}
			m.jobNames.release(x.job)
		} else {
			j.messages--
		}
	}
	if x.termed {
		delete(m.terms, h)
	}
	m.messageList(&m.byAge).remove(h)
	m.messages.release(h)
}

// jobText is the name of a message's job.
func (m *Machine) jobText(x *message) string {
	if x.job == 0 {
		return ""
	}
	return m.jobNames.at(x.job).name
}

// pushReady enters a part. front: before those that are ready, since it was there
// already, and its job has the next turn.
func (m *Machine) pushReady(q *queue, h uint32, front bool) {
	p := m.parts.at(h)
	msg := m.messages.at(p.msg)
	th := m.turnFor(q, p.queue, turnKey{p.queue, msg.job, msg.priority.Rank()})
	t := m.turns.at(th)
	p.turn = th
	if front {
		m.partList(&t.parts).pushFront(h)
		m.turnFirst(q, th)
	} else {
		m.partList(&t.parts).push(h)
	}
	q.ready.n++
}

// turnFor finds or makes a job's turn: a new one comes after all others.
func (m *Machine) turnFor(q *queue, qh uint32, k turnKey) uint32 {
	first := q.ready.turns[k.rank]
	if first != 0 {
		if m.turns.at(first).job == k.job {
			return first
		}
		if h, ok := m.turnOf[k]; ok {
			return h
		}
	}
	h := m.turns.alloc()
	*m.turns.at(h) = turn{next: h, prev: h, queue: qh, job: k.job, rank: k.rank}
	if first == 0 {
		q.ready.turns[k.rank] = h
		return h
	}
	// One alone in its ring is found without the map.
	m.listTurn(first)
	m.listTurn(h)
	t, f := m.turns.at(h), m.turns.at(first)
	t.next, t.prev = first, f.prev
	m.turns.at(f.prev).next = h
	f.prev = h
	return h
}

// turnFirst gives a job the next turn; the others keep their order.
func (m *Machine) turnFirst(q *queue, h uint32) {
	t := m.turns.at(h)
	first := q.ready.turns[t.rank]
	if first == h {
		return
	}
	m.turns.at(t.prev).next, m.turns.at(t.next).prev = t.next, t.prev
	f := m.turns.at(first)
	t.next, t.prev = first, f.prev
	m.turns.at(f.prev).next = h
	f.prev = h
	q.ready.turns[t.rank] = h
}

func (m *Machine) listTurn(h uint32) {
	if t := m.turns.at(h); !t.listed {
		t.listed = true
		m.turnOf[turnKey{t.queue, t.job, t.rank}] = h
	}
}

// removeReady takes a part out, wherever it stands.
func (m *Machine) removeReady(q *queue, h uint32) {
	p := m.parts.at(h)
	th := p.turn
	t := m.turns.at(th)
	m.partList(&t.parts).remove(h)
	p.turn = 0
	q.ready.n--
	if t.parts.n > 0 {
		return
	}
	if t.next == th {
		q.ready.turns[t.rank], q.ready.passed[t.rank] = 0, 0
	} else {
		m.turns.at(t.prev).next, m.turns.at(t.next).prev = t.next, t.prev
		if q.ready.turns[t.rank] == th {
			q.ready.turns[t.rank] = t.next
		}
	}
	if t.listed {
		delete(m.turnOf, turnKey{t.queue, t.job, t.rank})
	}
	*t = turn{}
	m.turns.release(th)
}

// nextReady is the part that is to go next; there must be one.
func (m *Machine) nextReady(q *queue) uint32 {
	r := &q.ready
	best := -1
	for rank, h := range r.turns {
		if h != 0 && (best < 0 || r.passed[rank] >= patience && r.passed[rank] > r.passed[best]) {
			best = rank
		}
	}
	return m.turns.at(r.turns[best]).parts.head
}

// eachReady calls do for each ready part, job by job, until it returns false.
func (m *Machine) eachReady(q *queue, do func(h uint32) bool) {
	for _, first := range q.ready.turns {
		for h := first; h != 0; {
			t := m.turns.at(h)
			for p := t.parts.head; p != 0; p = m.parts.at(p).next {
				if !do(p) {
					return
				}
			}
			if h = t.next; h == first {
				break
			}
		}
	}
}

// takeReady takes out a part because it goes: the next turn is another job's, and those
// of lower priority remember that they were passed over.
func (m *Machine) takeReady(q *queue, h uint32) {
	t := m.turns.at(m.parts.at(h).turn)
	rank := t.rank
	q.ready.turns[rank] = t.next
	m.leave(h)
	q.ready.passed[rank] = 0
	for low := rank + 1; int(low) < len(q.ready.turns); low++ {
		if q.ready.turns[low] != 0 && q.ready.passed[low] < 255 {
			q.ready.passed[low]++
		}
	}
}
