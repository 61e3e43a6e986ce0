// Package handles finds the records that the core keeps by handle: small numbers, of which 0
// is none.
package handles

import "math/bits"

// Index finds handles by what they stand for: open addressing over handles alone, so that
// a name or key is stored once, beside its record. It is cut into shards, each of which
// grows by itself: no single insertion moves more than its shard. Nothing depends on its
// order. An Index without a Hash is not ready.
type Index struct {
	Hash   func(h uint32) uint64 // of what the handle stands for
	shards [shards]shard
}

const shards = 256

type shard struct {
	slots []uint32
	n     int
}

// home is where a hash belongs among n slots: its upper part, spread evenly.
func home(hash uint64, n int) int {
	hi, _ := bits.Mul64((hash/shards)<<8, uint64(n))
	return int(hi)
}

// Find returns the handle with the hash that is the one looked for; 0 if there is none.
func (x *Index) Find(hash uint64, same func(h uint32) bool) uint32 {
	s := &x.shards[hash%shards]
	if s.n == 0 {
		return 0
	}
	for i := home(hash, len(s.slots)); s.slots[i] != 0; i = s.after(i) {
		if same(s.slots[i]) {
			return s.slots[i]
		}
	}
	return 0
}

// Insert adds a handle that is not there yet.
func (x *Index) Insert(hash uint64, h uint32) {
	s := &x.shards[hash%shards]
	if s.n++; s.n*4 > len(s.slots)*3 {
		old := s.slots
		s.slots = make([]uint32, max(len(old)+len(old)/4+1, 4))
		for _, o := range old {
			if o != 0 {
				s.place(x.Hash(o), o)
			}
		}
	}
	s.place(hash, h)
}

// Remove deletes a handle that is there and closes the gap behind it.
func (x *Index) Remove(h uint32) {
	hash := x.Hash(h)
	s := &x.shards[hash%shards]
	i := home(hash, len(s.slots))
	for s.slots[i] != h {
		i = s.after(i)
	}
	s.n--
	for j := s.after(i); s.slots[j] != 0; j = s.after(j) {
		if at := home(x.Hash(s.slots[j]), len(s.slots)); s.way(at, j) >= s.way(i, j) { // it may move back to i
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
}

func (s *shard) place(hash uint64, h uint32) {
	i := home(hash, len(s.slots))
	for s.slots[i] != 0 {
		i = s.after(i)
	}
	s.slots[i] = h
}

// after is the slot behind one, in a circle.
func (s *shard) after(i int) int {
	if i++; i == len(s.slots) {
		return 0
	}
	return i
}

// way is how far it is from one slot on to another.
func (s *shard) way(from, to int) int {
	if to < from {
		to += len(s.slots)
	}
	return to - from
}
