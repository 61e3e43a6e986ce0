package handles

// Free is handles that may be given again, the last one first. It grows by blocks, so that no
// push moves those that are there: a million may come back at once.
type Free struct {
	blocks [][]uint32
	n      int
}

const block = 1024

// Len is how many there are.
func (f *Free) Len() int { return f.n }

// Push adds a handle.
func (f *Free) Push(h uint32) {
	if f.n%block == 0 && f.n/block == len(f.blocks) {
		f.blocks = append(f.blocks, make([]uint32, 0, block))
	}
	b := &f.blocks[f.n/block]
	*b = append(*b, h)
	f.n++
}

// Pop takes out the handle that was added last; false: there is none.
func (f *Free) Pop() (uint32, bool) {
	if f.n == 0 {
		return 0, false
	}
	f.n--
	i := f.n / block
	b := &f.blocks[i]
	h := (*b)[len(*b)-1]
	if *b = (*b)[:len(*b)-1]; len(f.blocks) > i+2 { // one empty block is kept
		f.blocks[len(f.blocks)-1] = nil
		f.blocks = f.blocks[:len(f.blocks)-1]
	}
	return h, true
}
