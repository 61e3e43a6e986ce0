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
		n := e.idle.alloc()
		l := e.needLine(e.at(id))
		x := e.idle.at(n)
		*x = idleNode{conn: conn, counter: id, prev: n, next: n, more: p.idle}
		if l.idle != 0 {
			x.prev, x.next = l.idle, e.idle.at(l.idle).next
		}
		e.idle.at(x.prev).next = n
		e.idle.at(x.next).prev = n
		l.idle, p.idle = n, n
	}
}

// Busy ends Idle; it does nothing to a permit that is not idle.
func (e *Engine) Busy(p *Permit) {
	for n := p.idle; n != 0; {
		x := *e.idle.at(n)
		l := e.lineOf(e.at(x.counter))
		if l.idle == n {
			l.idle = x.prev
		}
		if l.idle == n {
			l.idle = 0
		}
		e.idle.at(x.prev).next = x.next
		e.idle.at(x.next).prev = x.prev
		e.idle.release(n)
		n = x.more
	}
	p.idle = 0
}

// Yield returns the connection that has been idle longest on the counter, if more wait
// there than connections are already on their way out.
func (e *Engine) Yield(id CounterID) (conn uint32, ok bool) {
	l := e.lineOf(e.at(id))
	if l.idle == 0 || l.closing >= l.waiting {
		return 0, false
	}
	return e.idle.at(e.idle.at(l.idle).next).conn, true
}
