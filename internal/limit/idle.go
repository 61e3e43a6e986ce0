package limit

// Idle connections hold their permits. So that one can be found at once when somebody
// waits on a counter, each counter links the idle permits on it, oldest first.

type idleNode struct {
	conn       uint32
	counter    CounterID
	prev, next uint32 // circular; the counter points at the newest
	more       uint32 // the permit's next node
}

// Idle says that the permit's connection has nothing to do. conn is the scheduler's
// name for it.
func (e *Engine) Idle(p *Permit, conn uint32) {
	if p.idle != 0 {
		return
	}
	for _, id := range p.Path() {
		n := e.allocIdle()
		c := &e.counters[id]
		node := idleNode{conn: conn, counter: id, prev: n, next: n, more: p.idle}
		if c.idle != 0 {
			node.prev, node.next = c.idle, e.idle[c.idle].next
		}
		e.idle[n] = node
		e.idle[node.prev].next = n
		e.idle[node.next].prev = n
		c.idle, p.idle = n, n
	}
}

// Busy ends Idle; it does nothing to a permit that is not idle.
func (e *Engine) Busy(p *Permit) {
	for n := p.idle; n != 0; {
		x := e.idle[n]
		c := &e.counters[x.counter]
		if c.idle == n {
			c.idle = x.prev
		}
		if c.idle == n {
			c.idle = 0
		}
		e.idle[x.prev].next = x.next
		e.idle[x.next].prev = x.prev
		e.idle[n] = idleNode{more: e.freeIdle}
		e.freeIdle = n
		n = x.more
	}
	p.idle = 0
}

// Yield returns the connection that has been idle longest on the counter, if more wait
// there than connections are already on their way out.
func (e *Engine) Yield(id CounterID) (conn uint32, ok bool) {
	c := &e.counters[id]
	if c.idle == 0 || c.closing >= c.waiting {
		return 0, false
	}
	return e.idle[e.idle[c.idle].next].conn, true
}

func (e *Engine) allocIdle() uint32 {
	if n := e.freeIdle; n != 0 {
		e.freeIdle = e.idle[n].more
		return n
	}
	e.idle = append(e.idle, idleNode{})
	return uint32(len(e.idle) - 1)
}
