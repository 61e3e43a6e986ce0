package sched

// fifo is a queue in a ring that grows up to a block; what does not fit stands behind it in
// blocks of its own. So no push moves more than a block, however many there are.
type fifo[T any] struct {
	ring    []T
	head, n int   // in the ring
	rest    [][]T // blocks, the last one is being filled
	behind  int   // in rest
}

const fifoBlock = 1024

func (f *fifo[T]) len() int { return f.n + f.behind }

func (f *fifo[T]) push(v T) {
	if f.behind == 0 && (f.n < len(f.ring) || f.n < fifoBlock) {
		f.pushRing(v)
		return
	}
	if k := len(f.rest); k == 0 || len(f.rest[k-1]) == fifoBlock {
		f.rest = append(f.rest, make([]T, 0, fifoBlock))
	}
	last := &f.rest[len(f.rest)-1]
	*last = append(*last, v)
	f.behind++
}

func (f *fifo[T]) pushRing(v T) {
	if f.n == len(f.ring) {
		ring := make([]T, max(16, 2*len(f.ring)))
		k := copy(ring, f.ring[f.head:])
		copy(ring[k:], f.ring[:f.head])
		f.ring, f.head = ring, 0
	}
	f.ring[(f.head+f.n)%len(f.ring)] = v
	f.n++
}

// front returns the oldest entry; there must be one.
func (f *fifo[T]) front() *T { return &f.ring[f.head] }

// nth returns the entry with i older ones; there must be one.
func (f *fifo[T]) nth(i int) *T {
	if i < f.n {
		return &f.ring[(f.head+i)%len(f.ring)]
	}
	i -= f.n
	return &f.rest[i/fifoBlock][i%fifoBlock]
}

func (f *fifo[T]) pop() (v T, ok bool) {
	if f.n == 0 {
		return v, false
	}
	var zero T
	v, f.ring[f.head] = f.ring[f.head], zero
	f.head = (f.head + 1) % len(f.ring)
	if f.n--; f.n > 0 {
		return v, true
	}
	f.head = 0
	if f.behind > 0 {
		next := f.rest[0]
		f.rest[0] = nil
		f.rest = f.rest[1:]
		f.ring, f.n = next[:fifoBlock], len(next)
		f.behind -= len(next)
	}
	if f.behind == 0 {
		f.rest = nil
	}
	return v, true
}

// back returns the newest entry; there must be one.
func (f *fifo[T]) back() *T { return f.nth(f.len() - 1) }
