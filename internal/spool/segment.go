package spool

import (
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/vfs"
)

// segment is one file of the log. Guarded by Disk.mu, save what never changes.
type segment struct {
	epoch uint32 // place in the order of the log; not used twice while it matters
	mark  uint64 // in every record
	name  string
	file  vfs.File
	size  int64 // octets of the file
	end   int64 // octets of log in it
	// written is how far the file's blocks were written to at some time; only the
	// committer looks, and later the compactor.
	written int64

	live    int64
	pins    int  // messages open on it
	active  bool // the one being written
	doomed  bool // being evacuated, or to be: finished messages name it
	gone    bool // its name has been taken away; only the compactor looks
	empty   bool // evacuated: removed as soon as nothing pins it
	limited bool // its end is not told by a seal: limits are kept in newer segments
	// changesEnd is where batches end to count (limited only): beyond it some write was
	// lost, and a later batch must not hold without it.
	changesEnd int64
	spoiled    bool // a write or sync failed: never written again, not even as a spare
}

func (s *segment) loc(off int64, n int64) loc { return loc{s.epoch, uint32(off), uint32(n)} }

const segmentSuffix = ".seg"

func segmentName(epoch uint32, mark uint64) string {
	return fmt.Sprintf("%08x-%016x%s", epoch, mark, segmentSuffix)
}

func parseSegmentName(name string) (epoch uint32, mark uint64, ok bool) {
	s, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(s) != 25 || s[8] != '-' {
		return 0, 0, false
	}
	e, err1 := strconv.ParseUint(s[:8], 16, 32)
	m, err2 := strconv.ParseUint(s[9:], 16, 64)
	return uint32(e), m, err1 == nil && err2 == nil && e > 0 && m != 0
}

// limit says how much of a segment counts.
type limit struct {
	epoch      uint32
	end        int64
	changesEnd int64
}

const segmentVersion = 1

// appendSegmentHeader appends the record that begins a segment, twice: its loss would
// make the limits forgotten.
func appendSegmentHeader(b []byte, s *segment, limits []limit) []byte {
	meta := []byte{segmentVersion}
	meta = binary.AppendUvarint(meta, uint64(s.epoch))
	meta = binary.AppendUvarint(meta, uint64(len(limits)))
	for _, l := range limits {
		meta = binary.AppendUvarint(meta, uint64(l.epoch))
		meta = binary.AppendUvarint(meta, uint64(l.end))
		meta = binary.AppendUvarint(meta, uint64(l.changesEnd))
	}
	h := header{mark: s.mark, kind: kindSegment, metaLen: uint32(len(meta)), metaSum: checksum(meta)}
	for range 2 {
		start := len(b)
		b = append(b, make([]byte, headerSize)...)
		b = append(b, meta...)
		h.encode(b[start:])
	}
	return b
}

func decodeSegmentHeader(meta []byte) ([]limit, error) {
	r := &reader{b: meta}
	if v := r.byte(); v != segmentVersion {
		return nil, fmt.Errorf("segment version %d: %w", v, errDecode)
	}
	r.uvarint()
	limits := make([]limit, r.count(3))
	for i := range limits {
		limits[i] = limit{epoch: uint32(r.small(1<<32 - 1)), end: int64(r.small(1 << 32)), changesEnd: int64(r.small(1 << 32))}
	}
	return limits, r.err()
}

// activate makes a new segment of at least need octets beside its header, durable with
// its name, ready to be written. A spare file is used when there is one.
func (d *Disk) activate(need int64) (*segment, error) {
	d.mu.Lock()
	d.epoch++
	s := &segment{epoch: d.epoch, mark: newMark(), active: true}
	limits := d.limits()
	var from spare
	size := max(d.opt.SegmentSize, need+sealSize+int64(len(limits)+8)*40)
	if size == d.opt.SegmentSize && len(d.spares) > 0 {
		from = d.spares[len(d.spares)-1]
		d.spares = d.spares[:len(d.spares)-1]
	}
	d.mu.Unlock()

	s.name = path.Join(d.dir, segmentName(s.epoch, s.mark))
	s.size, s.written = size, from.written
	if err := d.openNew(s, from.name); err != nil {
		return nil, fmt.Errorf("new segment %s: %w", s.name, err)
	}
	head := appendSegmentHeader(nil, s, limits)
	_, err := s.file.WriteAt(head, 0)
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = d.fs.SyncDir(d.dir)
	}
	if err != nil {
		s.file.Close()
		if from.name != "" {
			d.dropSpare(s.name)
		} else {
			_ = d.fs.Remove(s.name) // an empty segment: the next start removes it if this cannot
		}
		return nil, fmt.Errorf("new segment %s: %w", s.name, err)
	}
	s.end = int64(len(head))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cat.segments[s.epoch] = s
	d.disk += s.size
	if from.name != "" {
		d.disk -= s.size // it was counted as a spare
	}
	return s, nil
}

// openNew opens the file of a new segment: the spare under its new name, or a new one.
func (d *Disk) openNew(s *segment, spare string) (err error) {
	if spare != "" {
		if err = d.fs.Rename(spare, s.name); err != nil {
			d.dropSpare(spare)
			return err
		}
		if s.file, err = d.fs.OpenWrite(s.name); err != nil {
			d.dropSpare(s.name)
		}
		return err
	}
	s.file, err = d.allocate(s.name, s.size)
	return err
}

// allocate makes a file of the given size whose room is reserved.
func (d *Disk) allocate(name string, size int64) (vfs.File, error) {
	f, err := d.fs.Create(name)
	if err != nil {
		return nil, err
	}
	if err = f.Preallocate(size); err != nil {
		f.Close()
		_ = d.fs.Remove(name) // what stays is swept at the next start
		return nil, err
	}
	return f, nil
}

// dropSpare forgets a spare that could not be used; the next start sweeps the file.
func (d *Disk) dropSpare(name string) {
	_ = d.fs.Remove(name)
	d.mu.Lock()
	d.disk -= d.opt.SegmentSize
	d.mu.Unlock()
}

// limits lists the segments whose end no seal tells.
func (d *Disk) limits() []limit {
	var out []limit
	for _, s := range d.cat.segments { // the order in the header does not matter
		if s.limited {
			out = append(out, limit{s.epoch, s.end, s.changesEnd})
		}
	}
	return out
}

// spare is a file of SegmentSize, ready to become a segment.
type spare struct {
	name    string
	written int64 // as in segment; 0 when it is not known
}

const (
	spareSuffix = ".spare"
	maxSpares   = 2
)

// restock sees that there is a reserved segment: what outcomes are written to when the
// disk is full.
func (d *Disk) restock() error {
	d.mu.Lock()
	have := len(d.spares)
	d.spareSeq++
	name := path.Join(d.dir, fmt.Sprintf("%08x%s", d.spareSeq, spareSuffix))
	d.mu.Unlock()
	if have > 0 {
		return nil
	}
	f, err := d.allocate(name, d.opt.SegmentSize)
	if err != nil {
		return fmt.Errorf("reserve a segment: %w", err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = d.fs.Remove(name)
		return fmt.Errorf("reserve a segment: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spares = append(d.spares, spare{name: name})
	d.disk += d.opt.SegmentSize
	return nil
}
