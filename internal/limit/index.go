package limit

// index finds handles by what they stand for: open addressing over handles alone, so that
// a name or key is stored once, beside its record. It is cut into shards, each of which
// grows by itself: no single insertion moves more than its shard. Nothing depends on its order.
type index struct {
	shards [shards]shard
	hash   func(h uint32) uint64 // of what the handle stands for
}

const shards = 256

type shard struct {
	slots []uint32
	n     int
}

// find returns the handle with the hash that is the one looked for; 0 if there is none.
func (x *index) find(hash uint64, same func(h uint32) bool) uint32 {
	s := &x.shards[hash%shards]
	if s.n == 0 {
		return 0
	}
	mask := uint64(len(s.slots) - 1)
	for i := hash / shards & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if same(s.slots[i]) {
			return s.slots[i]
		}
	}
	return 0
}

// insert adds a handle that is not there yet.
func (x *index) insert(hash uint64, h uint32) {
	s := &x.shards[hash%shards]
	if s.n++; s.n*4 > len(s.slots)*3 {
		old := s.slots
		s.slots = make([]uint32, max(2*len(old), 4))
		for _, o := range old {
			if o != 0 {
				s.place(x.hash(o), o)
			}
		}
	}
	s.place(hash, h)
}

func (s *shard) place(hash uint64, h uint32) {
	mask := uint64(len(s.slots) - 1)
	i := hash / shards & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = h
}

// remove deletes a handle that is there and closes the gap behind it.
func (x *index) remove(h uint32) {
	hash := x.hash(h)
	s := &x.shards[hash%shards]
	mask := uint64(len(s.slots) - 1)
	i := hash / shards & mask
	for s.slots[i] != h {
		i = (i + 1) & mask
	}
	s.n--
	for j := i; ; {
		j = (j + 1) & mask
		if s.slots[j] == 0 {
			break
		}
		home := x.hash(s.slots[j]) / shards & mask
		if (j-home)&mask >= (j-i)&mask { // it may move back to i
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
}
