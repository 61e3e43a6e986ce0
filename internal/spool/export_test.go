package spool

// ByHand makes compaction run only when the test calls CompactOnce.
func ByHand(o Options) Options {
	o.byHand = true
	return o
}

// CompactOnce frees one segment, if there is one to be freed.
func (d *Disk) CompactOnce() (bool, error) { return d.compact.once() }

// Bound is the promised bound of the disk use.
func (d *Disk) Bound() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return 2*d.cat.live + 4*d.opt.SegmentSize
}

// Doom has every sealed segment evacuated, however much of it is alive.
func (d *Disk) Doom() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.cat.segments {
		if !s.active {
			d.cat.doom(s)
		}
	}
}
