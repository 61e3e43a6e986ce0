package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// Disk is the form of a Spool that keeps messages in a segment log on disk. The format
// is in docs/spool-format.md.
//
//	Draft.Commit ─┐                      ┌─ pwrite ─ fdatasync ─> acknowledge ─> catalog
//	Spool.Commit ─┼─> queue ─> committer ┤
//	compactor ────┘   (all that waits)   └─ trouble: poison, new segment, or refuse
//
// One goroutine, the committer, writes: whatever waits when it comes round is one
// write and one sync. A second one, the compactor, copies what is alive out of old
// segments through the same queue and gives their files back.
type Disk struct {
	opt Options
	fs  vfs.FS
	dir string

	lock io.Closer

	qmu     sync.Mutex
	queue   []*op
	closing bool
	wake    chan struct{}

	mu          sync.Mutex // after qmu, never before it
	cat         *catalog
	epoch       uint32 // the highest in use
	spares      []spare
	spareSeq    uint32
	disk        int64 // octets of all segments and spares
	quarantined int
	unknown     int // records of unknown kinds seen
	syncs       atomic.Int64
	full        bool
	sick        bool
	reason      string
	draftSeq    uint64
	again       atomic.Bool // room has been made: the committer need not wait
	closed      bool

	cache     *cache
	committed chan struct{} // closed when the committer has ended
	lost      error         // then: what it could not store
	compact   *compactor
}

const (
	formatFile = "FORMAT"
	formatText = "sluice spool 1\n"
	lockFile   = "LOCK"
	quarantine = "quarantine"
)

// OpenDisk opens the spool in a directory, or makes one, and reads what is there. It
// fails when the directory cannot be used: held by another process (the error names it),
// not readable or writable, of another format. Damage never makes it fail, nor does a
// full disk.
func OpenDisk(opt Options) (*Disk, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Disk{
		opt: opt, fs: opt.FS, dir: path.Clean(opt.Dir), cat: newCatalog(), wake: make(chan struct{}, 1),
		committed: make(chan struct{}), cache: newCache(opt.CacheSize),
	}
	if err := d.open(); err != nil {
		if d.lock != nil {
			d.lock.Close()
		}
		for _, s := range d.cat.segments {
			s.file.Close()
		}
		return nil, fmt.Errorf("open spool %s: %w", opt.Dir, err)
	}
	return d, nil
}

func (d *Disk) open() error {
	if err := vfs.MkdirAll(d.fs, path.Join(d.dir, quarantine)); err != nil {
		return err
	}
	var err error
	if d.lock, err = d.fs.Lock(path.Join(d.dir, lockFile)); err != nil {
		var held *vfs.LockedError
		if errors.As(err, &held) {
			return fmt.Errorf("%w: stop that server, or give this one another directory", err)
		}
		return err
	}
	if err := d.checkFormat(); err != nil {
		return err
	}
	if err := d.load(); err != nil {
		return err
	}
	w := &writer{d: d}
	if err := w.begin(); err != nil {
		return err
	}
	d.draftSeq = uint64(d.epoch) << 32
	d.compact = newCompactor(d)
	go w.run()
	if !d.opt.byHand {
		go d.compact.run()
	}
	return nil
}

// checkFormat reads the format file, or makes it in a new spool. A torn one, as a
// crash during the first start leaves it, is made again.
func (d *Disk) checkFormat() error {
	name := path.Join(d.dir, formatFile)
	f, err := d.fs.OpenWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.fs.Create(name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return err
	}
	switch text := strings.TrimRight(string(b[:n]), "\x00"); {
	case text == formatText:
		return nil
	case !strings.HasPrefix(formatText, text):
		return fmt.Errorf("%s: format %q is not %q: made by another version", name, text, formatText)
	}
	if _, err := f.WriteAt([]byte(formatText), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return d.fs.SyncDir(d.dir)
}

func newMark() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if m := binary.LittleEndian.Uint64(b[:]); m != 0 {
			return m
		}
	}
}

func (d *Disk) logf(level slog.Level, format string, args ...any) {
	d.opt.Log(level, fmt.Sprintf(format, args...))
}

// enqueue hands an op to the committer; false: the spool is closed.
func (d *Disk) enqueue(o *op) bool {
	d.qmu.Lock()
	if d.closing {
		d.qmu.Unlock()
		return false
	}
	d.queue = append(d.queue, o)
	d.qmu.Unlock()
	d.poke()
	return true
}

func (d *Disk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Commit implements Spool.
func (d *Disk) Commit(b Batch, done func(error)) {
	if !d.enqueue(&op{kind: opBatch, batch: b, done: done}) {
		go func() { // not from the caller's goroutine, and after all that came before
			<-d.committed
			done(fmt.Errorf("store outcomes: %w", ErrClosed))
		}()
	}
}

// Stats implements Spool.
func (d *Disk) Stats() Stats {
	free, err := d.fs.Free(d.dir)
	if err != nil {
		free = -1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{
		Messages: d.cat.messages, LiveBytes: d.cat.live, DiskBytes: d.disk, FreeBytes: free,
		Segments: len(d.cat.segments), Quarantined: d.quarantined, Syncs: d.syncs.Load(),
		Full: d.full, Sick: d.sick, SickReason: d.reason,
	}
}

// Close implements Spool.
func (d *Disk) Close() error {
	d.qmu.Lock()
	again := d.closing
	d.closing = true
	d.qmu.Unlock()
	if again {
		<-d.committed
		return nil
	}
	d.poke()
	d.compact.stop()
	<-d.committed
	d.mu.Lock()
	d.closed = true
	for _, s := range d.cat.segments {
		if s.pins == 0 {
			s.file.Close()
		}
	}
	d.mu.Unlock()
	return errors.Join(d.lost, d.lock.Close())
}

// unpin says that a message no longer reads from a segment.
func (d *Disk) unpin(s *segment) {
	d.mu.Lock()
	s.pins--
	last := s.pins == 0
	if last && d.closed {
		s.file.Close()
	}
	kick := last && s.empty
	d.mu.Unlock()
	if kick {
		d.compact.kick()
	}
}

var _ Spool = (*Disk)(nil)

// inStore reports whether a message is alive.
func (d *Disk) inStore(id mail.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cat.alive(id) != nil
}
