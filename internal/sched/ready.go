package sched

import (
	"cmp"
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
//
// Most queues have mail of one job and one priority: it stands in the list itself, and
// its parts name no turn. The first part of another kind makes rings of it, until no part
// is left.
type ready struct {
	list         // of all, or (rings) their number alone
	rings uint32 // 0: of one kind
}

// rings is the turns of a queue by rank.
type rings struct {
	turns  [mail.Priorities]uint32 // whose turn is next, 0 if none
	passed [mail.Priorities]uint8  // so many of higher ranks went while this one waited
	base   uint32                  // the turn of the parts that name none
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
	k := m.turnOfPart(p)
	if q.ready.rings == 0 {
		if q.ready.n == 0 || m.turnOfPart(m.parts.at(q.ready.head)) == k {
			m.pushPart(&q.ready.list, h, front)
			return
		}
		m.makeRings(q)
	}
	r := m.rings.at(q.ready.rings)
	th := m.turnFor(r, k)
	if th != r.base {
		p.turn = th
	}
	if m.pushPart(&m.turns.at(th).parts, h, front); front {
		m.turnFirst(r, th)
	}
	q.ready.n++
}

func (m *Machine) pushPart(l *list, h uint32, front bool) {
	if front {
		m.partList(l).pushFront(h)
	} else {
		m.partList(l).push(h)
	}
}

// turnOfPart is the turn in which a part stands when it is ready.
func (m *Machine) turnOfPart(p *part) turnKey {
	msg := m.messages.at(p.msg)
	return turnKey{p.queue, msg.job, msg.priority.Rank()}
}

// makeRings: the ready parts, all of one kind, get a turn of their own.
func (m *Machine) makeRings(q *queue) {
	k := m.turnOfPart(m.parts.at(q.ready.head))
	q.ready.rings = m.rings.alloc()
	r := m.rings.at(q.ready.rings)
	*r = rings{}
	r.base = m.turnFor(r, k)
	m.turns.at(r.base).parts = q.ready.list
	q.ready.head, q.ready.tail = 0, 0
}

// turnFor finds or makes a job's turn: a new one comes after all others.
func (m *Machine) turnFor(r *rings, k turnKey) uint32 {
	first := r.turns[k.rank]
	if first != 0 {
		if m.turns.at(first).job == k.job {
			return first
		}
		if h, ok := m.turnOf[k]; ok {
			return h
		}
	}
	h := m.turns.alloc()
	*m.turns.at(h) = turn{next: h, prev: h, queue: k.queue, job: k.job, rank: k.rank}
	if first == 0 {
		r.turns[k.rank] = h
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
func (m *Machine) turnFirst(r *rings, h uint32) {
	t := m.turns.at(h)
	first := r.turns[t.rank]
	if first == h {
		return
	}
	m.turns.at(t.prev).next, m.turns.at(t.next).prev = t.next, t.prev
	f := m.turns.at(first)
	t.next, t.prev = first, f.prev
	m.turns.at(f.prev).next = h
	f.prev = h
	r.turns[t.rank] = h
}

func (m *Machine) listTurn(h uint32) {
	if t := m.turns.at(h); !t.listed {
		t.listed = true
		m.turnOf[turnKey{t.queue, t.job, t.rank}] = h
	}
}

// removeReady takes a part out, wherever it stands.
func (m *Machine) removeReady(q *queue, h uint32) {
	if q.ready.rings == 0 {
		m.partList(&q.ready.list).remove(h)
		return
	}
	r, p := m.rings.at(q.ready.rings), m.parts.at(h)
	th := cmp.Or(p.turn, r.base)
	t := m.turns.at(th)
	m.partList(&t.parts).remove(h)
	p.turn = 0
	q.ready.n--
	if t.parts.n > 0 {
		return
	}
	m.dropTurn(r, th)
	if q.ready.n == 0 {
		m.rings.release(q.ready.rings)
		q.ready.rings = 0
	}
}

// dropTurn forgets a turn without parts.
func (m *Machine) dropTurn(r *rings, th uint32) {
	t := m.turns.at(th)
	if t.next == th {
		r.turns[t.rank], r.passed[t.rank] = 0, 0
	} else {
		m.turns.at(t.prev).next, m.turns.at(t.next).prev = t.next, t.prev
		if r.turns[t.rank] == th {
			r.turns[t.rank] = t.next
		}
	}
	if t.listed {
		delete(m.turnOf, turnKey{t.queue, t.job, t.rank})
	}
	if r.base == th {
		r.base = 0
	}
	*t = turn{}
	m.turns.release(th)
}

// nextReady is the part that is to go next; there must be one.
func (m *Machine) nextReady(q *queue) uint32 {
	if q.ready.rings == 0 {
		return q.ready.head
	}
	r := m.rings.at(q.ready.rings)
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
	if q.ready.rings == 0 {
		m.eachIn(&q.ready.list, do)
		return
	}
	for _, first := range m.rings.at(q.ready.rings).turns {
		for h := first; h != 0; {
			t := m.turns.at(h)
			if !m.eachIn(&t.parts, do) {
				return
			}
			if h = t.next; h == first {
				break
			}
		}
	}
}

func (m *Machine) eachIn(l *list, do func(h uint32) bool) bool {
	for p := l.head; p != 0; p = m.parts.at(p).next {
		if !do(p) {
			return false
		}
	}
	return true
}

// takeReady takes out a part because it goes: the next turn is another job's, and those
// of lower priority remember that they were passed over.
func (m *Machine) takeReady(q *queue, h uint32) {
	if q.ready.rings == 0 {
		m.leave(h)
		return
	}
	r := m.rings.at(q.ready.rings)
	t := m.turns.at(cmp.Or(m.parts.at(h).turn, r.base))
	rank := t.rank
	r.turns[rank] = t.next
	if m.leave(h); q.ready.rings == 0 {
		return
	}
	r.passed[rank] = 0
	for low := rank + 1; int(low) < len(r.turns); low++ {
		if r.turns[low] != 0 && r.passed[low] < 255 {
			r.passed[low]++
		}
	}
}
