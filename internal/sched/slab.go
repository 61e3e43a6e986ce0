package sched

import "github.com/sluice-mta/sluice/internal/handles"

const chunk = 1024

// slab keeps records of one kind by handle, in chunks that never move: a pointer from
// at stays good until the record is released. Handle 0 is none.
type slab[T any] struct {
	chunks []*[chunk]T
	free   handles.Free
	next   uint32 // lowest handle never given
	live   int
}

// alloc returns the handle of a record as the last owner left it; the caller sets it.
func (s *slab[T]) alloc() uint32 {
	s.live++
	if h, ok := s.free.Pop(); ok {
		return h
	}
	if s.next == 0 {
		s.next = 1
	}
	h := s.next
	s.next++
	if int(h/chunk) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([chunk]T))
	}
	return h
}

func (s *slab[T]) at(h uint32) *T { return &s.chunks[h/chunk][h%chunk] }

func (s *slab[T]) release(h uint32) {
	s.live--
	s.free.Push(h)
}

// reach makes the slab hold handle h and all below: the caller gives the handles.
func (s *slab[T]) reach(h uint32) {
	for int(h/chunk) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([chunk]T))
	}
	s.next = max(s.next, h+1)
}

// has reports whether h was ever given.
func (s *slab[T]) has(h uint32) bool { return h != 0 && h < s.next }
