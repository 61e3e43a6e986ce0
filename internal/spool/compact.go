package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"time"
)

// compactor gives the room of finished messages back. A segment with nothing alive is
// freed; when all together take too much, the one with the least alive is evacuated:
// its live records are copied to the end of the log, synced, and then it is freed.
type compactor struct {
	d     *Disk
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	retry map[uint32]time.Time // segments that could not be read, by epoch
}

// unreadableRetry is how long a segment that gave a read error is left alone.
const unreadableRetry = 10 * time.Minute

func newCompactor(d *Disk) *compactor {
	c := &compactor{
		d: d, wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
		retry: map[uint32]time.Time{},
	}
	if d.opt.byHand {
		close(c.ended)
	}
	return c
}

func (c *compactor) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *compactor) stop() {
	close(c.quit)
	<-c.ended
}

func (c *compactor) run() {
	defer close(c.ended)
	backoff := time.Duration(0)
	timer := time.NewTimer(0) // leftovers of the process before
	defer timer.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-c.wake:
		case <-timer.C:
		}
		for {
			select {
			case <-c.quit:
				return
			default:
			}
			did, err := c.once()
			if err != nil {
				if errors.Is(err, ErrClosed) {
					return
				}
				backoff = min(max(2*backoff, minBackoff), maxBackoff)
				timer.Reset(backoff)
				break
			}
			backoff = 0
			if !did {
				break
			}
		}
	}
}

// wantsCompaction reports whether there is something to free. Its caller holds Disk.mu.
func (d *Disk) wantsCompaction() bool {
	if d.disk > d.bound() {
		return true
	}
	for _, s := range d.cat.segments { // any will do
		if !s.active && s.live == 0 && s.pins == 0 {
			return true
		}
	}
	return false
}

// bound is the size beyond which segments are evacuated: one segment below what is
// promised (twice the live octets and four segments), for the copies take room first.
func (d *Disk) bound() int64 { return 2*d.cat.live + 3*d.opt.SegmentSize }

// choose returns the segment to free next, nil when there is none to be freed.
func (c *compactor) choose() *segment {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	var best *segment
	now := time.Now()
	over := d.disk > d.bound()
	for _, s := range d.cat.segments { // the least alive, of equals the oldest
		if s.active || s.empty && s.pins > 0 || now.Before(c.retry[s.epoch]) {
			continue
		}
		if s.live > 0 && !s.doomed && (!over || 10*s.live > 9*s.size) {
			continue
		}
		if best == nil || s.less(best) {
			best = s
		}
	}
	if best != nil {
		d.cat.doom(best)
	}
	return best
}

// less orders segments by what is gained by evacuating them.
func (s *segment) less(o *segment) bool {
	if s.doomed != o.doomed {
		return s.doomed // begun already
	}
	a, b := float64(s.live)/float64(s.size), float64(o.live)/float64(o.size)
	return a < b || a == b && s.epoch < o.epoch
}

// once frees one segment, if there is one to be freed.
func (c *compactor) once() (bool, error) {
	s := c.choose()
	if s == nil {
		return false, nil
	}
	if !s.empty {
		if err := c.evacuate(s); err != nil {
			if !errors.Is(err, ErrClosed) {
				c.d.logf(slog.LevelWarn, "spool: compact %s: %v", s.name, err)
			}
			return false, err
		}
	}
	return c.free(s)
}

// evacuate copies what is alive in a segment to the end of the log and makes that
// durable, together with the outcomes that made the rest dead.
func (c *compactor) evacuate(s *segment) error {
	c.d.mu.Lock()
	small := 2*s.live < s.size && s.size == c.d.opt.SegmentSize
	c.d.mu.Unlock()
	e := evacuation{d: c.d, s: s, small: small, limit: int(min(256<<10, c.d.opt.SegmentSize/4))}
	if !c.skip(s) {
		if err := e.run(); err != nil {
			if !errors.Is(err, ErrSick) && !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed) {
				c.retry[s.epoch] = time.Now().Add(unreadableRetry)
			}
			return err
		}
	}
	o := getOp(opSync)
	o.mark = e.copied
	if err := c.d.wait(o); err != nil {
		return err
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if s.live > 0 {
		c.d.lose(s)
	}
	s.empty = true
	return nil
}

// skip reports whether nothing in the segment needs to be looked at: nothing is alive,
// and it is the oldest, so that no finished message it names stands anywhere else.
func (c *compactor) skip(s *segment) bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if s.live > 0 {
		return false
	}
	for e, o := range c.d.cat.segments { // any
		if e < s.epoch || o.doomed && o != s {
			return false
		}
	}
	return true
}

// lose marks the messages that were in the damaged places of an evacuated segment.
func (d *Disk) lose(s *segment) {
	c := d.cat
	c.each(func(h uint32, e *entry) {
		if e.put.seg == s.epoch {
			c.credit(e.put, -int64(e.put.n))
			e.put, e.damaged = loc{}, true
		}
		if e.state.seg == s.epoch {
			c.credit(e.state, -int64(e.state.n)-changeOverhead)
			e.state = loc{}
		}
	})
	for _, l := range c.more { // each on its own
		for i := range l {
			if l[i].seg == s.epoch {
				c.credit(l[i], -int64(l[i].n)-changeOverhead)
				l[i] = loc{}
			}
		}
	}
	for _, ch := range c.drafts { // each on its own
		for i, l := range ch.locs {
			if l.seg == s.epoch {
				c.credit(l, -int64(l.n))
				ch.locs[i] = loc{}
			}
		}
	}
}

// free gives the file of an evacuated segment back, as a spare or to the file system,
// unless a message is open on it: then its last Close brings the compactor here again.
func (c *compactor) free(s *segment) (bool, error) {
	d := c.d
	d.mu.Lock()
	if s.pins > 0 {
		d.mu.Unlock()
		return true, nil
	}
	reuse := !s.spoiled && !s.gone && s.size == d.opt.SegmentSize && len(d.spares) < maxSpares &&
		(len(d.spares) == 0 || d.disk-s.size <= d.bound())
	d.spareSeq++
	name := path.Join(d.dir, fmt.Sprintf("%08x%s", d.spareSeq, spareSuffix))
	d.mu.Unlock()

	if err := c.giveBack(s, reuse, name); err != nil {
		c.retry[s.epoch] = time.Now().Add(maxBackoff)
		return false, fmt.Errorf("free %s: %w", s.name, err)
	}
	d.mu.Lock()
	s.file.Close()
	delete(d.cat.segments, s.epoch)
	delete(c.retry, s.epoch)
	d.cat.doomed--
	if reuse {
		d.spares = append(d.spares, spare{name, max(s.written, s.end)})
	} else {
		d.disk -= s.size
	}
	stuck := d.full
	d.mu.Unlock()
	if stuck {
		d.retryNow()
	}
	return true, nil
}

// giveBack takes the name of a segment away, durably: only then it no longer counts as
// a place where a finished message may stand.
func (c *compactor) giveBack(s *segment, reuse bool, spare string) error {
	var err error
	switch {
	case s.gone: // only the directory was not synced
	case reuse:
		err = c.d.fs.Rename(s.name, spare)
	default:
		err = c.d.fs.Remove(s.name)
	}
	if err != nil {
		return err
	}
	s.gone = true
	return c.d.fs.SyncDir(c.d.dir)
}

// evacuation copies what is alive in one segment.
type evacuation struct {
	d      *Disk
	s      *segment
	limit  int // octets copied at once
	items  []copyItem
	size   int
	copied bool
	small  bool // little is alive: the copies may go to the reserved segment, which this one then becomes
}

func (e *evacuation) run() error {
	size, changes := e.s.end, e.s.changesEnd
	sc := newScanner(e.s.file, e.s.mark, size)
	for {
		f, err := sc.next()
		if err == io.EOF {
			return e.flush()
		}
		if err != nil {
			return err
		}
		if !f.ok {
			e.d.setAsideFrom(e.s, f)
			continue
		}
		if f.h.kind == kindBatch && f.off >= changes {
			continue
		}
		if err := e.record(f); err != nil {
			return err
		}
		if e.size >= e.limit {
			if err := e.flush(); err != nil {
				return err
			}
		}
	}
}
