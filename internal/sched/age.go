package sched

// Each queue knows its oldest part and the one that is due first, and the machine its
// oldest message, so that nobody has to look for them. When such a part goes, its successor
// is looked for among the first few of each list only: an older one that stands farther
// behind shows when it is first there, or enters again.
const few = 4

// entered notes a part that has come into its queue, or has come into another state.
func (m *Machine) entered(h uint32, q *queue, p *part) {
	if q.eldest == 0 || m.receivedAt(h) < m.receivedAt(q.eldest) {
		q.eldest = h
	}
	if p.state == partWaiting && (q.first == 0 || p.due < m.parts.at(q.first).due) {
		q.first = h
	}
}

func (m *Machine) receivedAt(part uint32) int64 { return m.messages.at(m.parts.at(part).msg).received }

// dueLeft: the part waits no more.
func (m *Machine) dueLeft(h uint32, q *queue) {
	if q.first != h {
		return
	}
	q.first = q.waiting.head
	p := q.first
	for i := 0; i < few && p != 0; i++ {
		if m.parts.at(p).due < m.parts.at(q.first).due {
			q.first = p
		}
		p = m.parts.at(p).next
	}
}

// gone: the part, which is in no list, leaves its queue for good.
func (m *Machine) gone(h uint32) {
	q := m.queues.at(m.parts.at(h).queue)
	if q.eldest != h {
		return
	}
	q.eldest = 0
	n := 0
	look := func(p uint32) bool {
		if q.eldest == 0 || m.receivedAt(p) < m.receivedAt(q.eldest) {
			q.eldest = p
		}
		n++
		return n%few != 0
	}
	if q.ready.n > 0 {
		m.eachReady(q, look)
	}
	n = 0
	for p := q.waiting.head; p != 0 && look(p); {
		p = m.parts.at(p).next
	}
}

// oldestOf is when the oldest message of the queue was received; now if it has none.
func (m *Machine) oldestOf(q *queue, now int64) int64 {
	if q.eldest == 0 {
		return now
	}
	return m.receivedAt(q.eldest)
}

// lineUp puts a message into the order of age. Messages come in that order but for those
// recovered, which are in nearly that order.
func (m *Machine) lineUp(h uint32) {
	const back = 64
	x := m.messages.at(h)
	at := m.byAge.tail
	if o := m.byAge.head; o != 0 && x.received < m.messages.at(o).received {
		at = 0
	}
	for i := 0; i < back && at != 0 && m.messages.at(at).received > x.received; i++ {
		at = m.messages.at(at).prev
	}
	x.prev = at
	if at == 0 {
		x.next = m.byAge.head
		m.byAge.head = h
	} else {
		o := m.messages.at(at)
		x.next, o.next = o.next, h
	}
	if x.next == 0 {
		m.byAge.tail = h
	} else {
		m.messages.at(x.next).prev = h
	}
	m.byAge.n++
}
