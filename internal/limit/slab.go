package limit

import "github.com/sluice-mta/sluice/internal/handles"

const chunk = 1024

// slab keeps records of one kind by handle, in chunks that never move: it grows without
// copying, and a pointer from at stays good until the record is released. Handle 0 is none;
// its record is always zero.
type slab[T any] struct {
	chunks []*[chunk]T
	free   handles.Free
	next   uint32 // lowest handle never given
}

// newSlab returns a slab whose zero record can be read; lazySlab one that takes no memory
// until the first record is given out.
func newSlab[T any]() slab[T] { return slab[T]{chunks: []*[chunk]T{new([chunk]T)}, next: 1} }

func lazySlab[T any]() slab[T] { return slab[T]{next: 1} }

// alloc returns the handle of a zero record.
func (s *slab[T]) alloc() uint32 {
	if h, ok := s.free.Pop(); ok {
		return h
	}
	h := s.next
	s.reach(h)
	return h
}

// reach makes the slab hold handle h and all below.
func (s *slab[T]) reach(h uint32) {
	for int(h/chunk) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([chunk]T))
	}
	s.next = max(s.next, h+1)
}

func (s *slab[T]) at(h uint32) *T { return &s.chunks[h/chunk][h%chunk] }

func (s *slab[T]) has(h uint32) bool { return h < s.next }

func (s *slab[T]) release(h uint32) {
	var zero T
	*s.at(h) = zero
	s.free.Push(h)
}

// live is how many records are given out.
func (s *slab[T]) live() int { return int(s.next) - 1 - s.free.Len() }
