package limit

import "hash/maphash"

// index finds counters by key: open addressing over CounterIDs alone, so that a key is
// stored once, beside its counter. Nothing depends on its order.
type index struct {
	seed  maphash.Seed
	slots []CounterID
	n     int
}

func (x *index) hash(k Key) uint64 {
	if x.slots == nil {
		x.seed = maphash.MakeSeed()
		x.slots = make([]CounterID, 64)
	}
	return maphash.Comparable(x.seed, k)
}

func (x *index) find(h uint64, k Key, keys []Key) (CounterID, bool) {
	mask := uint64(len(x.slots) - 1)
	for i := h & mask; x.slots[i] != 0; i = (i + 1) & mask {
		if keys[x.slots[i]] == k {
			return x.slots[i], true
		}
	}
	return 0, false
}

// insert adds a counter whose key is not there yet.
func (x *index) insert(h uint64, id CounterID, keys []Key) {
	if x.n++; x.n*4 > len(x.slots)*3 {
		old := x.slots
		x.slots = make([]CounterID, 2*len(old))
		for _, o := range old {
			if o != 0 {
				x.place(x.hash(keys[o]), o)
			}
		}
	}
	x.place(h, id)
}

func (x *index) place(h uint64, id CounterID) {
	mask := uint64(len(x.slots) - 1)
	i := h & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = id
}

// remove deletes a key that is there and closes the gap behind it.
func (x *index) remove(k Key, keys []Key) {
	mask := uint64(len(x.slots) - 1)
	i := x.hash(k) & mask
	for keys[x.slots[i]] != k {
		i = (i + 1) & mask
	}
	x.n--
	for j := i; ; {
		j = (j + 1) & mask
		if x.slots[j] == 0 {
			break
		}
		home := x.hash(keys[x.slots[j]]) & mask
		if (j-home)&mask >= (j-i)&mask { // it may move back to i
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
