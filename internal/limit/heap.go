package limit

// Two heaps order throttles by the time at which they are to be looked at.
const (
	coming = 0 // tokens for those who wait
	fading = 1 // nobody refers to it; to be forgotten
)

func (e *Engine) soonest(h uint8) *throttle {
	if len(e.heaps[h]) == 0 {
		return nil
	}
	return e.throttles.at(e.heaps[h][0])
}

func (e *Engine) inHeap(x *throttle, h uint8, due int64) {
	if x.pos != 0 && x.heap != h {
		e.unheap(x)
	}
	x.heap, x.due = h, due
	if x.pos == 0 {
		e.heaps[h] = append(e.heaps[h], e.lineOf(e.at(x.id)).throttle)
		x.pos = int32(len(e.heaps[h]))
	}
	e.fixHeap(h, int(x.pos)-1)
}

func (e *Engine) unheap(x *throttle) {
	if x.pos == 0 {
		return
	}
	q := e.heaps[x.heap]
	i, last := int(x.pos)-1, len(q)-1
	q[i] = q[last]
	e.throttles.at(q[i]).pos = int32(i + 1)
	e.heaps[x.heap] = q[:last]
	x.pos = 0
	if i < last {
		e.fixHeap(x.heap, i)
	}
}

func (e *Engine) before(a, b uint32) bool {
	x, y := e.throttles.at(a), e.throttles.at(b)
	return x.due < y.due || x.due == y.due && x.id < y.id
}

// fixHeap moves the entry at i to where it belongs.
func (e *Engine) fixHeap(h uint8, i int) {
	q := e.heaps[h]
	swap := func(i, j int) {
		q[i], q[j] = q[j], q[i]
		e.throttles.at(q[i]).pos, e.throttles.at(q[j]).pos = int32(i+1), int32(j+1)
	}
	for i > 0 && e.before(q[i], q[(i-1)/2]) {
		swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		c := 2*i + 1
		if c >= len(q) {
			return
		}
		if c+1 < len(q) && e.before(q[c+1], q[c]) {
			c++
		}
		if !e.before(q[c], q[i]) {
			return
		}
		swap(i, c)
		i = c
	}
}
