package limit

import "slices"

// Ahead tells how many turns at the counter come before the waiter's own, as far as it
// can be told by looking at few tickets: most of the waiter's own tenant, and the weights
// of as many tenants. exact says that it is the number; otherwise it is an estimate, and
// never more than there are others waiting. 0, false if it does not wait there.
func (e *Engine) Ahead(w WaiterID, id CounterID, most int) (n int, exact bool) {
	k := e.ticketAt(w, id)
	if k == 0 {
		return 0, false
	}
	x := e.lineOf(e.at(id))
	l := e.listOf(x)
	others := int(x.waiting) - 1
	own, whole := e.ownBefore(l, k, most)
	if !whole {
		return others, others == 0
	}
	if len(l.heaps[everyone]) == 1 {
		return min(own, others), true
	}
	mine := e.weight(l.shares[e.tickets.at(k).share].tenant)
	sum := 0.0
	for i, s := range l.heaps[everyone] {
		if i == most {
			return others, false
		}
		if sh := &l.shares[s]; s != e.tickets.at(k).share && sh.fifo != [2]fifo{} {
			sum += float64(e.weight(sh.tenant))
		}
	}
	return min(own+int(float64(own+1)*sum/float64(mine)), others), sum == 0
}

// ownBefore counts the tickets of the same tenant that go before k; whole says that there are
// not more than most in either line.
func (e *Engine) ownBefore(l *waitlist, k uint32, most int) (n int, whole bool) {
	t := e.tickets.at(k)
	for p := t.prev; p != 0; p = e.tickets.at(p).prev {
		if n++; n > most {
			return n, false
		}
	}
	other := l.shares[t.share].fifo[1-class(t.poor())].head
	for i := 0; other != 0 && e.tickets.at(other).before(t); i++ {
		if i == most {
			return n, false
		}
		n++
		other = e.tickets.at(other).next
	}
	return n, true
}

// Waiters returns the first n who wait at a counter, in the order in which they get their
// turns if nobody else comes: claimants, then in fair order. Of very many tenants only the
// first are considered.
func (e *Engine) Waiters(id CounterID, n int) []WaiterID {
	c := e.at(id)
	x := e.lineOf(c)
	if x.list == 0 || n <= 0 {
		return nil
	}
	out := e.claimants(id, c, x, n)
	claim := out
	lines := e.fairLines(e.listOf(x))
	for len(out) < n {
		best := -1
		for i := range lines {
			if lines[i].before(lines, best) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		if w := lines[best].turn(e); !slices.Contains(claim, w) {
			out = append(out, w)
			lines[best].tag += lines[best].step
		}
	}
	return out
}

// claimants are those at the counter who go before the fair order, at most n.
func (e *Engine) claimants(id CounterID, c *counter, l *line, n int) []WaiterID {
	most := c.kept(l)
	if l.throttle != 0 {
		most = l.claims
	}
	out := make([]WaiterID, 0, min(n, int(l.waiting)))
	for k, i := l.claim, int32(0); i < most && len(out) < n; i++ {
		x := e.claims.at(k)
		if e.ticketAt(x.waiter, id) != 0 {
			out = append(out, x.waiter)
		}
		k = x.next
	}
	return out
}

// fairLine is a tenant's line as it would move on.
type fairLine struct {
	tag, step  uint64
	seq        uint64
	rich, poor uint32
}

func (e *Engine) fairLines(l *waitlist) []fairLine {
	const tenants = 128
	var lines []fairLine
	for i, s := range l.heaps[everyone] {
		if i == tenants {
			break
		}
		sh := &l.shares[s]
		lines = append(lines, fairLine{sh.tag, one / uint64(e.weight(sh.tenant)), sh.seq, sh.fifo[0].head, sh.fifo[1].head})
	}
	return lines
}

// before reports whether the line has somebody whose turn comes before that of the line at
// best; -1: of nobody.
func (x *fairLine) before(lines []fairLine, best int) bool {
	if x.rich == 0 && x.poor == 0 {
		return false
	}
	return best < 0 || x.tag < lines[best].tag || x.tag == lines[best].tag && x.seq < lines[best].seq
}

// turn takes out who is first.
func (x *fairLine) turn(e *Engine) WaiterID {
	from := &x.rich
	if x.rich == 0 || x.poor != 0 && e.tickets.at(x.poor).before(e.tickets.at(x.rich)) {
		from = &x.poor
	}
	t := e.tickets.at(*from)
	*from = t.next
	return t.waiter
}
