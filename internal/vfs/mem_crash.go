package vfs

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
)

// tornBlock is the unit that a disk writes as a whole, in octets.
const tornBlock = 512

// Crash returns the file system as it may be after a power loss now. Synced content
// and names are certain. Of the changes not synced, by the coin: all are there, none,
// some, or (writes) some blocks of 512 octets of some. Names and contents fall
// independently. m itself is not changed.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	names := maps.Clone(m.durable)
	keep := coin(rng)
	for _, c := range m.pending {
		if keep() {
			apply(names, c)
		}
	}
	seen := map[*node]*node{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if n == nil || names[parentOf(name)] == nil {
			continue // its directory was lost
		}
		c := seen[n]
		if c == nil {
			c = n.crash(rng)
			seen[n] = c
			after.used += int64(len(c.data))
		}
		after.names[name], after.durable[name] = c, c
	}
	after.capacity = m.capacity
	return after
}

// coin returns a sequence of decisions: always yes, always no, or mixed.
func coin(rng *rand.Rand) func() bool {
	switch rng.IntN(3) {
	case 0:
		return func() bool { return false }
	case 1:
		return func() bool { return true }
	default:
		return func() bool { return rng.IntN(2) == 0 }
	}
}

func (n *node) crash(rng *rand.Rand) *node {
	if n.dir {
		return &node{dir: true}
	}
	data := slices.Clone(n.durable)
	keep := coin(rng)
	torn := rng.IntN(2) == 0
	for _, c := range n.pending {
		switch {
		case c.data != nil && torn:
			for _, b := range blocks(c) {
				if keep() {
					data = b.apply(data)
				}
			}
		case keep():
			data = c.apply(data)
		}
	}
	return &node{data: data, durable: slices.Clone(data)}
}

// blocks cuts a write where the blocks of the disk end.
func blocks(c change) []change {
	var out []change
	for len(c.data) > 0 {
		n := min(int64(len(c.data)), tornBlock-c.off%tornBlock)
		out = append(out, change{off: c.off, data: c.data[:n]})
		c.off, c.data = c.off+n, c.data[n:]
	}
	return out
}

// Corrupt changes the octet at off of a file, now and durably, by an exclusive or.
func (m *Mem) Corrupt(name string, off int64, mask byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	n.data[off] ^= mask
	if off < int64(len(n.durable)) {
		n.durable[off] ^= mask
	}
}

func parentOf(name string) string {
	if d := path.Dir(name); d != name {
		return d
	}
	return name
}
