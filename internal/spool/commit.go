package spool

import (
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

type opKind uint8

const (
	opPut opKind = iota
	opChunk
	opBatch
	opCopy // compaction
	opSync
)

var opNames = [...]string{"store message", "store content", "store outcomes", "copy records", "sync"}

// op is one thing that waits for the committer.
type op struct {
	kind  opKind
	rec   []byte // opPut: header and meta; opChunk: the whole record
	id    mail.ID
	env   *mail.Envelope // opPut, for the cache; nil: not for it
	body  []byte         // opPut
	batch Batch
	items []copyItem // opCopy
	// reserve: opCopy may take the reserved segment.
	reserve bool
	mark    bool // opSync: say in the log that what was synced is
	done    func(error)
	result  chan error

	at, n  int      // octets of the window; n 0: nothing was written
	drafts []uint64 // chunks of reports in the batch
	err    error
}

const (
	// maxWindow bounds what is unsynced, in octets.
	maxWindow = 4 << 20
	// slack is added to what an op needs: encoded anew it may have grown.
	slack = 256
	// keepWindow is the largest buffer kept for the next round.
	keepWindow = 16 << 20
)

// writer is the committer: only its goroutine writes segments.
//
// The window holds the octets of the active segment since base, which is how far the
// segment is synced. They are kept until a sync, so that they can be written again
// elsewhere when it fails.
//
//	win   [ on file and in the catalog | encoded, waits in acks ]
//	      0                         applied                   len
type writer struct {
	d       *Disk
	active  *segment // nil: trouble, or the last one has just been sealed
	base    int64
	win     []byte
	on      int // octets of win on file
	applied int // octets of win that are in the catalog

	acks     []*op
	needSync bool
	reports  bool // a batch with reports waits in acks
	oldest   time.Time
	finished []finishedID

	usual    float64       // ops of a round, on average
	syncTime time.Duration // likewise

	trouble  error // not nil: nothing can be written until retry
	full     error // not nil: messages are refused
	retry    time.Time
	backoff  time.Duration
	lastFree time.Time
}

type finishedID = mail.ID

// run is the committer's goroutine.
func (w *writer) run() {
	defer close(w.d.committed)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var ops []*op
	for {
		select {
		case <-w.d.wake:
			w.gather()
		case <-timer.C:
		}
		w.tick()
		closing := false
		ops, closing = w.d.take(ops)
		w.observeRound(len(ops))
		w.commit(ops)
		if closing {
			w.end()
			return
		}
		clear(ops)
		timer.Reset(w.wait())
	}
}

// take returns what waits, and whether nothing more comes.
func (d *Disk) take(buf []*op) ([]*op, bool) {
	d.qmu.Lock()
	defer d.qmu.Unlock()
	ops := d.queue
	d.queue = buf[:0]
	return ops, d.closing
}

// wait returns how long nothing has to be done.
func (w *writer) wait() time.Duration {
	wait := time.Hour
	if len(w.win) > 0 && w.trouble == nil {
		wait = min(wait, time.Until(w.oldest.Add(w.d.opt.SyncDelay)))
	}
	if w.trouble != nil || w.full != nil {
		wait = min(wait, time.Until(w.retry))
	}
	return max(wait, 0)
}

// tick does what is due by time.
func (w *writer) tick() {
	again := w.d.again.Swap(false)
	if (w.trouble != nil || w.full != nil) && (again || !time.Now().Before(w.retry)) {
		w.heal()
	}
	if len(w.win) > 0 && w.trouble == nil && time.Since(w.oldest) >= w.d.opt.SyncDelay {
		w.needSync = true
		w.flush()
	}
}

// commit writes ops and acknowledges or refuses each, in order.
func (w *writer) commit(ops []*op) {
	for _, o := range ops {
		w.add(o)
		if len(w.win)-w.applied > maxWindow {
			w.flush()
		}
	}
	w.flush()
	if len(w.win) > maxWindow {
		w.needSync = true
		w.flush()
	}
}

// add encodes an op into the window, or notes why it is refused.
func (w *writer) add(o *op) {
	switch {
	case o.kind == opSync && o.mark: // the mark is to cover all before it
		w.needSync = true
		w.flush()
	case o.kind == opCopy || o.kind == opBatch && w.reports:
		w.flush() // the op is judged by a catalog that has all before it
	}
	start := len(w.win)
	if o.err = w.admit(o); o.err == nil {
		o.err = w.place(o)
	}
	if o.err != nil {
		w.win, o.n = w.win[:min(start, len(w.win))], 0
		w.forget(o)
	} else {
		w.needSync = w.needSync || o.kind == opPut || o.kind == opSync || len(o.batch.Reports) > 0
		w.reports = w.reports || len(o.batch.Reports) > 0
	}
	w.acks = append(w.acks, o)
}

// place encodes an op where it has room: in the active segment, else in the next one.
func (w *writer) place(o *op) error {
	for try := 0; ; try++ {
		if err := w.encode(o); err != nil {
			return err
		}
		if o.n == 0 || w.active != nil && w.base+int64(len(w.win)) <= w.active.size-sealSize {
			return nil
		}
		need := int64(o.n) + slack
		if try == 2 || need > maxRecord {
			return fmt.Errorf("%s: %d octets do not fit in a segment", opNames[o.kind], o.n)
		}
		if o.kind == opCopy && w.full != nil && !o.reserve {
			return w.full // the reserve is for outcomes
		}
		w.win = w.win[:o.at]
		w.forget(o)
		w.needSync = true
		w.flush()
		if w.trouble != nil {
			return w.trouble
		}
		if w.active == nil || w.base+need > w.active.size-sealSize {
			if err := w.rotate(need); err != nil {
				return err
			}
		}
	}
}

// encode appends the records of o to the window.
func (w *writer) encode(o *op) error {
	o.at = len(w.win)
	var err error
	switch o.kind {
	case opPut, opChunk:
		w.win = append(w.win, o.rec...)
		w.win = append(w.win, o.body...)
	case opBatch:
		err = w.encodeBatch(o)
	case opCopy:
		w.encodeCopies(o.items)
	case opSync:
		if o.mark && w.active != nil {
			h := header{kind: kindMark}
			w.win = append(w.win, make([]byte, headerSize)...)
			h.encode(w.win[o.at:])
		}
	}
	o.n = len(w.win) - o.at
	return err
}

// flush writes the window, syncs it when something in it asks for that, and
// acknowledges what waits.
func (w *writer) flush() {
	if len(w.acks) == 0 && !w.needSync {
		return
	}
	var err error
	synced := false
	if w.trouble != nil {
		err = w.trouble
	} else if len(w.win) > 0 {
		if err = w.write(); err == nil && w.needSync {
			err = w.sync()
			synced = err == nil
		}
		if err != nil {
			err = w.poison(err)
			synced = err == nil
		}
	}
	if err != nil {
		w.win = w.win[:w.applied]
		w.on = min(w.on, w.applied)
		for _, o := range w.acks {
			if o.err == nil && (o.kind != opSync || o.n > 0 || len(w.win) > 0) {
				o.err = fmt.Errorf("%s: %w", opNames[o.kind], err)
				w.forget(o)
			}
		}
	}
	w.acknowledge()
	if synced {
		w.base += int64(len(w.win))
		w.win, w.on, w.applied = w.win[:0], 0, 0
		if cap(w.win) > keepWindow {
			w.win = nil
		}
	}
	w.needSync, w.reports = false, false
}

// write puts what is not yet on file there.
func (w *writer) write() error {
	if w.on == len(w.win) {
		return nil
	}
	if w.on == 0 {
		w.oldest = time.Now()
	}
	stampAll(w.win[w.on:], w.active.mark, w.base)
	if _, err := w.active.file.WriteAt(w.win[w.on:], w.base+int64(w.on)); err != nil {
		return fmt.Errorf("write %s: %w", w.active.name, err)
	}
	w.on = len(w.win)
	return nil
}

func (w *writer) sync() error {
	if err := w.writeAhead(); err != nil {
		return err
	}
	begin := time.Now()
	if err := w.active.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.active.name, err)
	}
	w.observeSync(time.Since(begin))
	w.d.syncs.Add(1)
	return nil
}

func stampAll(b []byte, mark uint64, synced int64) {
	for len(b) > 0 {
		h, _ := decodeHeader(b) // ours: always whole
		stamp(b, mark, synced)
		b = b[h.size():]
	}
}

// acknowledge enters what was written into the catalog and tells those who wait, in
// the order of their coming.
func (w *writer) acknowledge() {
	d := w.d
	w.finished = w.finished[:0]
	d.mu.Lock()
	for _, o := range w.acks {
		if o.err == nil && o.n > 0 {
			w.enter(o)
		}
	}
	if w.active != nil {
		w.active.end = w.base + int64(len(w.win))
	}
	w.applied = len(w.win)
	kick := d.wantsCompaction()
	d.mu.Unlock()
	d.cache.remove(w.finished)
	for i, o := range w.acks {
		w.acks[i] = nil
		if o.kind == opPut && o.err == nil {
			d.cache.add(o.env, o.body)
		}
		if o.done != nil {
			o.done(o.err)
		} else {
			o.result <- o.err
		}
	}
	w.acks = w.acks[:0]
	if kick {
		d.compact.kick()
	}
}

// enter applies the records of an op to the catalog.
func (w *writer) enter(o *op) {
	for at := o.at; at < o.at+o.n; {
		h, _ := decodeHeader(w.win[at:])
		rec := w.win[at : at+int(h.size())]
		w.finished = w.d.cat.apply(applyNew, w.active.epoch, w.base+int64(at), h, rec, w.finished)
		at += len(rec)
	}
}
