package spool

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
)

// load reads what is in the directory into the catalog. Nothing is changed but the
// quarantine and leftovers without use.
func (d *Disk) load() error {
	names, err := d.fs.List(d.dir)
	if err != nil {
		return err
	}
	aside, err := d.fs.List(path.Join(d.dir, quarantine))
	if err != nil {
		return err
	}
	d.quarantined = len(aside)
	var segs []*segment
	for _, n := range names {
		if s, ok := strings.CutSuffix(n, spareSuffix); ok {
			d.adopt(path.Join(d.dir, n), s)
		}
		if epoch, mark, ok := parseSegmentName(n); ok {
			s, err := d.openSegment(path.Join(d.dir, n), epoch, mark)
			if err != nil {
				return err
			}
			segs = append(segs, s)
		}
	}
	slices.SortFunc(segs, func(a, b *segment) int { return cmp.Compare(a.epoch, b.epoch) })
	for i := range segs {
		if i > 0 && segs[i].epoch == segs[i-1].epoch {
			return fmt.Errorf("%s and %s have the same number: one of them is a copy, move it away", segs[i-1].name, segs[i].name)
		}
		d.cat.segments[segs[i].epoch] = segs[i]
		d.epoch = segs[i].epoch
		d.disk += segs[i].size
	}
	d.replay(segs)
	d.settle()
	return nil
}

// adopt takes over a spare of the right size and removes others.
func (d *Disk) adopt(name, number string) {
	if n, err := strconv.ParseUint(number, 16, 32); err == nil {
		d.spareSeq = max(d.spareSeq, uint32(n))
	}
	size, err := d.fs.Size(name)
	if err == nil && size == d.opt.SegmentSize && len(d.spares) < maxSpares {
		d.spares = append(d.spares, spare{name: name})
		d.disk += size
		return
	}
	if err := d.fs.Remove(name); err != nil {
		d.logf(slog.LevelWarn, "spool: remove %s: %v", name, err)
	}
}

func (d *Disk) openSegment(name string, epoch uint32, mark uint64) (*segment, error) {
	f, err := d.fs.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := d.fs.Size(name)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &segment{epoch: epoch, mark: mark, name: name, file: f, size: size}, nil
}

// replay enters all segments into the catalog, in the order of the log. The newest one
// that has anything is read first: it knows the limits of the others.
func (d *Disk) replay(segs []*segment) {
	newest := len(segs) - 1
	var limits []limit
	var last []kept
	for ; newest >= 0; newest-- {
		s := segs[newest]
		s.limited, s.spoiled = true, true
		if last, limits = d.readNewest(s); s.end > 0 {
			break
		}
	}
	for _, l := range limits {
		if s := d.cat.segments[l.epoch]; s != nil && newest >= 0 && s != segs[newest] {
			s.limited, s.spoiled, s.end, s.changesEnd = true, true, l.end, l.changesEnd
		}
	}
	for i := 0; i < newest; i++ {
		d.readSegment(segs[i])
	}
	if newest >= 0 {
		for i := range last {
			k := &last[i]
			d.cat.apply(applyScan, segs[newest].epoch, k.off, k.h, k.rec, nil)
		}
	}
}

// readSegment enters a segment whose end is known: all in it was synced, what does not
// read is damaged.
func (d *Disk) readSegment(s *segment) {
	size, changes := s.size, s.size
	if s.limited {
		size, changes = min(s.end, s.size), s.changesEnd
	}
	sc := newScanner(s.file, s.mark, size)
	sc.check = s.limited // beyond changes a body may be torn
	for {
		f, err := sc.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			d.unreadable(s, sc.off, err)
			break
		}
		switch {
		case !f.ok:
			d.setAsideFrom(s, f)
			if f.body && f.off < changes {
				d.enter(s, f.off, f.damaged(), f.rec)
			}
		case f.h.kind == kindSeal:
			s.end, s.changesEnd = f.off+f.size, f.off+f.size
			return
		case f.h.kind == kindBatch && f.off >= changes:
		default:
			d.enter(s, f.off, f.h, f.rec)
		}
	}
	if !s.limited {
		s.end, s.changesEnd = sc.off, sc.off
	}
}

// damaged returns the header of a record whose body is damaged: the message is known, and
// opening it says what it is.
func (f *found) damaged() header {
	h := f.h
	h.flags |= flagDamaged
	return h
}

func (d *Disk) enter(s *segment, off int64, h header, rec []byte) {
	if h.kind > kindMark {
		d.unknown++
	}
	d.cat.apply(applyScan, s.epoch, off, h, rec, nil)
}

// unreadable notes that the disk gives an error: what stands there is out of reach.
func (d *Disk) unreadable(s *segment, off int64, err error) {
	d.setAside(s.epoch, off, nil, err.Error())
}

// setAsideFrom quarantines what a scan found damaged.
func (d *Disk) setAsideFrom(s *segment, f found) {
	b := make([]byte, f.size)
	if n, err := s.file.ReadAt(b, f.off); err != nil && err != io.EOF {
		b = b[:n]
	}
	why := f.why
	if !f.h.id.IsZero() {
		why = fmt.Sprintf("%s %s: %s", kindName(f.h.kind), f.h.id, why)
	}
	d.setAside(s.epoch, f.off, b, why)
}

func kindName(k kind) string {
	if k == kindPut || k == kindChunk {
		return "message"
	}
	return "record of"
}

// kept is a record of the newest segment, to be entered when the others have been.
type kept struct {
	off int64
	h   header
	rec []byte
}

// readNewest reads the segment that was written last. Every body is checked. Up to the
// highest synced offset that its records tell all was durable. Beyond it, at the first
// record that does not read some write was lost, and no batch counts from there on: it
// may stand on the lost one. Messages count, for they may have been acknowledged. What
// does not read before the last record that does is quarantined, the rest is a torn tail.
func (d *Disk) readNewest(s *segment) ([]kept, []limit) {
	sc := newScanner(s.file, s.mark, s.size)
	sc.check = true
	var records []kept
	var bad []found
	var limits []limit
	durable, known := int64(0), false
	for {
		f, err := sc.next()
		if err != nil {
			if err != io.EOF {
				d.unreadable(s, sc.off, err)
			}
			break
		}
		if !f.ok {
			bad = append(bad, f)
			if !f.body {
				continue
			}
			f.h = f.damaged()
		}
		durable = max(durable, int64(f.h.synced))
		if f.h.kind == kindSegment && !known {
			limits, _ = decodeSegmentHeader(f.rec[headerSize : headerSize+f.h.metaLen])
			known = true
		}
		if f.h.kind == kindSeal {
			s.end, s.changesEnd, s.limited, s.spoiled = f.off+f.size, f.off+f.size, false, false
			d.asideBefore(s, bad, s.end)
			return records, limits
		}
		rec := slices.Clone(f.rec)
		if f.h.kind != kindBatch {
			rec = rec[:headerSize+int(f.h.metaLen)] // the body is not needed
		}
		records = append(records, kept{f.off, f.h, slices.Clip(rec)})
	}
	return d.cutTail(s, records, bad, durable, sc.off), limits
}

// cutTail decides what of a segment without a seal counts.
func (d *Disk) cutTail(s *segment, records []kept, bad []found, durable, end int64) []kept {
	changes := end
	for _, f := range bad {
		if f.off+f.size > durable {
			changes = f.off
			break
		}
	}
	out := records[:0]
	s.end, s.changesEnd = 0, 0
	last := min(durable, end)
	for _, k := range records {
		if k.h.flags&flagDamaged == 0 {
			last = max(last, k.off)
		}
		if (k.h.kind == kindBatch || k.h.flags&flagDamaged != 0) && k.off >= changes {
			continue
		}
		out = append(out, k)
		s.end = k.off + k.h.size()
	}
	s.changesEnd = min(changes, s.end)
	d.asideBefore(s, bad, last)
	return out
}

func (d *Disk) asideBefore(s *segment, bad []found, end int64) {
	for _, f := range bad {
		if f.off < end {
			d.setAsideFrom(s, f)
		}
	}
}

// settle forgets what has no message, when all is read.
func (d *Disk) settle() {
	c := d.cat
	var orphans []uint32
	c.each(func(h uint32, e *entry) {
		s := c.segments[e.put.seg]
		switch {
		case s == nil: // only states: the message is finished
			orphans = append(orphans, h)
		case s.limited && int64(e.put.off) >= s.changesEnd && c.missing(h):
			// A torn tail took its content: it was not acknowledged.
			d.logf(slog.LevelWarn, "spool: message %s was not written to its end", e.id)
			orphans = append(orphans, h)
		}
	})
	for _, h := range orphans {
		c.remove(h)
	}
	for _, draft := range c.draftOf { // marks each: the order does not matter
		if ch := c.drafts[draft]; ch != nil {
			ch.used = true
		}
	}
	for draft, ch := range c.drafts { // drops each: the order does not matter
		if !ch.used {
			c.dropDraft(draft)
		}
	}
}
