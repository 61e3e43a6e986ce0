package sched

import (
	"github.com/sluice-mta/sluice/internal/mail"
)

type partState uint8

const (
	partWaiting partState = iota // for a time, in its queue
	partReady                    // for a connection, in its queue's ready parts
	partFlying                   // on a connection
)

// message is what the machine keeps of a message: no address, header or body.
type message struct {
	id       mail.ID
	received int64
	prev     uint32 // in the order of age
	next     uint32
	open     int32 // recipients without a last outcome
	job      uint32
	priority mail.Priority
	delayed  bool // its delay has been reported, or may have been before a restart
	termed   bool // it has terms
}

// part is some recipients of one message for one lane (S8: it has one owner).
type part struct {
	due        int64
	msg, queue uint32
	prev, next uint32 // in the queue's list, or its job's
	turn       uint32 // while it is ready
	timer      uint32
	conn       uint32 // while it flies
	gen        uint32 // of the handle; with it the PartID
	more       uint32 // further runs of recipients
	first, n   uint16 // the first run
	attempts   uint16
	state      partState
	owed       bool  // recovered: it does not expire before one attempt, if that can be had (S5)
	grouped    bool  // its binding was chosen from a group: others of that may take over
	rebound    bool  // its binding is not the one it was accepted with, or may not be
	moves      uint8 // from binding to binding since it was on a connection
	late       bool  // that its deadline has passed is reported, or is not to be
}

// run is consecutive recipients of a part that is not contiguous.
type run struct {
	first, n uint16
	next     uint32
}

func partID(h, gen uint32) PartID { return PartID(uint64(gen)<<32 | uint64(h)) }

// partOf finds a live part by its ID.
func (m *Machine) partOf(id PartID) (uint32, *part, bool) {
	h := uint32(id)
	if !m.parts.has(h) {
		return 0, nil, false
	}
	p := m.parts.at(h)
	return h, p, p.gen == uint32(id>>32) && p.msg != 0
}

func (m *Machine) newPart(p part) uint32 {
	h := m.parts.alloc()
	p.gen = m.parts.at(h).gen + 1
	*m.parts.at(h) = p
	return h
}

// freePart forgets a part that is in no list.
func (m *Machine) freePart(h uint32) {
	p := m.parts.at(h)
	m.wheel.cancel(&p.timer)
	m.freeRuns(p)
	m.gone(h)
	*p = part{gen: p.gen}
	m.parts.release(h)
}

func (m *Machine) freeRuns(p *part) {
	for r := p.more; r != 0; {
		next := m.runs.at(r).next
		m.runs.release(r)
		r = next
	}
	p.more = 0
}

func (m *Machine) bindingOf(q *queue) *binding {
	return &m.names.bindings[m.lanes.at(q.lane).key.binding]
}

// setRecipients gives the part its recipients, ascending indices, at least one.
func (m *Machine) setRecipients(p *part, idx []int) {
	m.freeRuns(p)
	n := runLength(idx)
	p.first, p.n = uint16(idx[0]), uint16(n)
	tail := &p.more
	for idx = idx[n:]; len(idx) > 0; idx = idx[n:] {
		n = runLength(idx)
		r := m.runs.alloc()
		*m.runs.at(r) = run{first: uint16(idx[0]), n: uint16(n)}
		*tail = r
		tail = &m.runs.at(r).next
	}
}

func runLength(idx []int) int {
	n := 1
	for n < len(idx) && idx[n] == idx[0]+n {
		n++
	}
	return n
}

// recipients lists the part's recipients; the result is not to be changed.
func (m *Machine) recipients(p *part) []int {
	for len(m.identity) < int(p.first)+int(p.n) {
		grown := make([]int, max(1024, 2*len(m.identity)))
		for i := range grown {
			grown[i] = i
		}
		m.identity = grown
	}
	all := m.identity[p.first : int(p.first)+int(p.n) : int(p.first)+int(p.n)]
	for r := p.more; r != 0; r = m.runs.at(r).next {
		x := m.runs.at(r)
		for i := range int(x.n) {
			all = append(all, int(x.first)+i)
		}
	}
	return all
}

func (m *Machine) size(p *part) int {
	n := int(p.n)
	for r := p.more; r != 0; r = m.runs.at(r).next {
		n += int(m.runs.at(r).n)
	}
	return n
}

// expiry is when the part's message expires for it.
func (m *Machine) expiry(p *part) int64 {
	e := m.lanes.at(m.queues.at(p.queue).lane).policy.Expiration
	msg := m.messages.at(p.msg)
	from, last := msg.received, neverTime
	if msg.termed {
		t := m.terms[p.msg]
		from = max(from, t.release)
		if t.deadline != 0 && !t.notify {
			last = t.deadline
		}
	}
	if p.owed { // an attempt, unless none comes about for as long again
		from = max(from, m.recovered)
	}
	return min(from+int64(e), last)
}

// enter puts a part that is in no list into its queue: to wait until it is due, or to
// be ready now. front: before those that are ready, since it was there already.
func (m *Machine) enter(h uint32, front bool) {
	p := m.parts.at(h)
	q := m.queues.at(p.queue)
	b := m.bindingOf(q)
	p.conn = 0
	at := m.expiry(p)
	if p.due > m.now {
		p.state = partWaiting
		b.queued++
		m.partList(&q.waiting).push(h)
		at = min(at, p.due)
	} else {
		p.state = partReady
		b.ready++
		m.pushReady(q, h, front)
		m.touch(p.queue)
	}
	m.entered(h, q, p)
	m.lanes.at(q.lane).listed[p.kind()]++
	m.stray(h, p)
	at = min(at, m.lateAt(p))
	m.wheel.cancel(&p.timer) // set when it was here before
	if at < neverTime {
		p.timer = m.wheel.set(at, timerPart, h)
	}
}

// kind is the index into a lane's listed.
func (p *part) kind() int {
	if p.grouped {
		return 1
	}
	return 0
}

// leave takes a part out of its queue's list. Its timer goes on.
func (m *Machine) leave(h uint32) {
	p := m.parts.at(h)
	q := m.queues.at(p.queue)
	switch p.state {
	case partWaiting:
		m.bindingOf(q).queued--
		m.partList(&q.waiting).remove(h)
		m.dueLeft(h, q)
	case partReady:
		m.bindingOf(q).ready--
		m.removeReady(q, h)
	}
	m.lanes.at(q.lane).listed[p.kind()]--
}

// partDue: the part's time has come, to be ready or to expire.
func (m *Machine) partDue(h uint32) {
	p := m.parts.at(h)
	p.timer = noTimer
	switch at := m.expiry(p); {
	case p.state == partFlying:
		m.overdue(h, p, at)
	case m.now >= at:
		m.leave(h)
		m.expire(h)
	case m.now >= m.lateAt(p):
		m.reportLate(h, p)
		m.retime(h, p)
	case p.state == partReady: // its expiry has moved; its place stays
		p.timer = m.wheel.set(at, timerPart, h)
	default:
		m.leave(h)
		m.enter(h, false)
	}
}

// retime sets the timer of a part whose lane has another message_expiration now.
func (m *Machine) retime(h uint32, p *part) {
	at := m.expiry(p)
	if p.state == partWaiting {
		at = min(at, p.due)
	}
	at = min(at, m.lateAt(p))
	m.wheel.cancel(&p.timer)
	if at < neverTime {
		p.timer = m.wheel.set(at, timerPart, h)
	}
}
