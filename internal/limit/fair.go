package limit

// Fair order at one counter: among tenants by start tags (start-time fair queueing:
// each grant moves a tenant's tag on by 1/weight, the smallest tag goes first), so a
// heavy tenant's turns are spread between the light ones' instead of coming in a row;
// among the queues of a tenant first come, first served. The state exists only while
// somebody waits.

const (
	one       = 1 << 32 // a tag's step at weight 1
	maxWeight = 1 << 16
	fewShares = 8 // up to so many tenants are looked for one by one
)

// share is one tenant's line at a counter. A tenant that has nobody waiting keeps its
// tag until the others have caught up, else leaving and coming back would gain turns.
type share struct {
	tag    uint64 // of its next turn
	seq    uint64 // who was here first: breaks ties
	tenant int32
	fifo   [2]fifo // rich and poor
	pos    [2]int32
}

type fifo struct{ head, tail uint32 }

const (
	everyone = 0 // heap over all shares
	poorOnly = 1 // heap over those with a poor waiter
)

type waitlist struct {
	now    uint64 // tag of the last grant
	seq    uint64
	shares []share
	unused []int32
	byName map[int32]int32 // tenant -> share, once there are many; looked up, never ranged over
	many   bool            // byName holds them
	heaps  [2][]int32
}

func (e *Engine) listOf(l *line) *waitlist { return *e.lists.at(l.list) }

// needList returns the list of a line, one of the spare ones if it had none.
func (e *Engine) needList(l *line) *waitlist {
	if l.list == 0 {
		l.list = e.lists.alloc()
		x := e.lists.at(l.list)
		if n := len(e.spare); n > 0 {
			*x, e.spare = e.spare[n-1], e.spare[:n-1]
		} else {
			*x = &waitlist{}
		}
	}
	return e.listOf(l)
}

// dropList takes an empty list from a line; it is kept for the next one unless it has
// grown very large.
func (e *Engine) dropList(l *line) {
	const large, most = 1024, 256
	if x := e.listOf(l); cap(x.shares) <= large && len(e.spare) < most {
		clear(x.byName)
		*x = waitlist{shares: x.shares[:0], unused: x.unused[:0], byName: x.byName, heaps: [2][]int32{x.heaps[0][:0], x.heaps[1][:0]}}
		e.spare = append(e.spare, x)
	}
	e.lists.release(l.list)
	l.list = 0
}

// share finds the tenant's share, -1 if it has none.
func (l *waitlist) share(tenant int32) int32 {
	if l.many {
		if s, ok := l.byName[tenant]; ok {
			return s
		}
		return -1
	}
	for _, s := range l.heaps[everyone] {
		if l.shares[s].tenant == tenant {
			return s
		}
	}
	return -1
}

func (l *waitlist) addShare(tenant int32) int32 {
	l.seq++
	sh := share{tag: l.now, seq: l.seq, tenant: tenant, pos: [2]int32{-1, -1}}
	var s int32
	if n := len(l.unused); n > 0 {
		s = l.unused[n-1]
		l.unused = l.unused[:n-1]
		l.shares[s] = sh
	} else {
		s = int32(len(l.shares))
		l.shares = append(l.shares, sh)
	}
	l.push(everyone, s)
	if l.many {
		l.byName[tenant] = s
	} else if len(l.heaps[everyone]) > fewShares {
		l.many = true
		if l.byName == nil {
			l.byName = make(map[int32]int32, 4*fewShares)
		}
		for _, s := range l.heaps[everyone] {
			l.byName[l.shares[s].tenant] = s
		}
	}
	return s
}

func (l *waitlist) dropShare(s int32) {
	l.remove(everyone, s)
	if l.many {
		delete(l.byName, l.shares[s].tenant)
	}
	l.unused = append(l.unused, s)
}

// enqueue puts a ticket at the end of its tenant's line.
func (e *Engine) enqueue(l *waitlist, k uint32, tenant int32) {
	t := e.tickets.at(k)
	s := l.share(tenant)
	if s < 0 {
		s = l.addShare(tenant)
	}
	t.share = s
	sh := &l.shares[s]
	if sh.fifo[0].head == 0 && sh.fifo[1].head == 0 && sh.tag < l.now {
		sh.tag = l.now // it was away: what it did not use is gone
		l.fix(s)
	}
	f := &sh.fifo[class(t.poor())]
	if f.tail == 0 {
		f.head = k
		if t.poor() {
			l.push(poorOnly, s)
		}
	} else {
		e.tickets.at(f.tail).next = k
		t.prev = f.tail
	}
	f.tail = k
}

func class(poor bool) int {
	if poor {
		return poorOnly
	}
	return everyone
}

// dequeue takes a ticket out of its line; its tenant's share stays.
func (e *Engine) dequeue(l *waitlist, k uint32) {
	t := e.tickets.at(k)
	sh := &l.shares[t.share]
	f := &sh.fifo[class(t.poor())]
	if t.prev != 0 {
		e.tickets.at(t.prev).next = t.next
	} else {
		f.head = t.next
	}
	if t.next != 0 {
		e.tickets.at(t.next).prev = t.prev
	} else {
		f.tail = t.prev
	}
	if t.poor() && f.head == 0 {
		l.remove(poorOnly, t.share)
	}
}

// front returns the ticket whose turn it is. poor: among those who hold nothing.
func (e *Engine) front(l *waitlist, poor bool) uint32 {
	if poor {
		return l.shares[l.heaps[poorOnly][0]].fifo[1].head
	}
	for {
		s := l.heaps[everyone][0]
		rich, needy := l.shares[s].fifo[0].head, l.shares[s].fifo[1].head
		switch {
		case rich == 0 && needy == 0:
			l.now = max(l.now, l.shares[s].tag)
			l.dropShare(s) // the others have caught up with it
		case rich == 0 || needy != 0 && e.tickets.at(needy).before(e.tickets.at(rich)):
			return needy
		default:
			return rich
		}
	}
}

// charge counts one turn of the tenant at the counter, while it is contended.
func (e *Engine) charge(id CounterID, tenant int32) {
	x := e.lineOf(e.at(id))
	if x.list == 0 {
		return
	}
	l := e.listOf(x)
	s := l.share(tenant)
	if s < 0 {
		return
	}
	sh := &l.shares[s]
	l.now = max(l.now, sh.tag)
	sh.tag += one / uint64(e.weight(tenant))
	l.fix(s)
}

// The two heaps hold shares by tag; each share knows its place in both.

func (l *waitlist) less(a, b int32) bool {
	x, y := &l.shares[a], &l.shares[b]
	return x.tag < y.tag || x.tag == y.tag && x.seq < y.seq
}

func (l *waitlist) push(h int, s int32) {
	l.heaps[h] = append(l.heaps[h], s)
	l.shares[s].pos[h] = int32(len(l.heaps[h]) - 1)
	l.up(h, len(l.heaps[h])-1)
}

func (l *waitlist) remove(h int, s int32) {
	i := int(l.shares[s].pos[h])
	last := len(l.heaps[h]) - 1
	l.swap(h, i, last)
	l.heaps[h] = l.heaps[h][:last]
	l.shares[s].pos[h] = -1
	if i < last {
		l.down(h, i)
		l.up(h, i)
	}
}

// fix restores both heaps after the share's tag has changed.
func (l *waitlist) fix(s int32) {
	for h := range l.heaps {
		if i := l.shares[s].pos[h]; i >= 0 {
			l.down(h, int(i))
			l.up(h, int(l.shares[s].pos[h]))
		}
	}
}

func (l *waitlist) swap(h, i, j int) {
	q := l.heaps[h]
	q[i], q[j] = q[j], q[i]
	l.shares[q[i]].pos[h], l.shares[q[j]].pos[h] = int32(i), int32(j)
}

func (l *waitlist) up(h, i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !l.less(l.heaps[h][i], l.heaps[h][p]) {
			return
		}
		l.swap(h, i, p)
		i = p
	}
}

func (l *waitlist) down(h, i int) {
	for {
		c := 2*i + 1
		if c >= len(l.heaps[h]) {
			return
		}
		if c+1 < len(l.heaps[h]) && l.less(l.heaps[h][c+1], l.heaps[h][c]) {
			c++
		}
		if !l.less(l.heaps[h][c], l.heaps[h][i]) {
			return
		}
		l.swap(h, i, c)
		i = c
	}
}
