package sched

// fifo is a queue in a ring that grows and, when empty again, gives up a large ring.
type fifo[T any] struct {
	ring    []T
	head, n int
}

func (f *fifo[T]) len() int { return f.n }

func (f *fifo[T]) push(v T) {
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
func (f *fifo[T]) nth(i int) *T { return &f.ring[(f.head+i)%len(f.ring)] }

func (f *fifo[T]) pop() (v T, ok bool) {
	if f.n == 0 {
		return v, false
	}
	var zero T
	v, f.ring[f.head] = f.ring[f.head], zero
	f.head = (f.head + 1) % len(f.ring)
	if f.n--; f.n == 0 {
		f.head = 0
		if len(f.ring) > 4096 {
			f.ring = nil
		}
	}
	return v, true
}

// back returns the newest entry; there must be one.
func (f *fifo[T]) back() *T { return &f.ring[(f.head+f.n-1)%len(f.ring)] }
