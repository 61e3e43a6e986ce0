package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// freeInterval is how often the free space is looked at.
	freeInterval = 250 * time.Millisecond
)

// noRoom reports whether err says that the disk, a quota or a limit is exhausted.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// refusal gives the error for those who wait when nothing could be written.
func refusal(err error) error {
	if noRoom(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrSick, err)
}

// begin starts a writer on a new segment: what another process left is never written to.
func (w *writer) begin() error {
	err := w.rotate(0)
	if err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	return nil
}

// rotate seals the active segment, all of which is synced, and goes on in a new one
// with room for need octets.
func (w *writer) rotate(need int64) error {
	w.seal()
	if err := w.next(need); err != nil {
		err = refusal(err)
		w.setTrouble(err)
		return err
	}
	return nil
}

// next activates a segment and reserves another.
func (w *writer) next(need int64) error {
	s, err := w.d.activate(need)
	if err != nil {
		return err
	}
	w.active, w.base = s, s.end
	w.reserve()
	return nil
}

// seal ends the active segment, which has no unsynced octets, with a record that says so.
func (w *writer) seal() {
	s := w.active
	if s == nil {
		return
	}
	rec := make([]byte, headerSize)
	h := header{mark: s.mark, kind: kindSeal, synced: uint32(w.base)}
	h.encode(rec)
	_, err := s.file.WriteAt(rec, w.base)
	if err == nil {
		err = s.file.Sync()
	}
	w.d.mu.Lock()
	w.active, s.active = nil, false
	s.end, s.changesEnd = w.base, w.base
	if err != nil { // all that matters is synced; the next segment says where this one ends
		s.limited, s.spoiled = true, true
	} else {
		s.end += headerSize
	}
	w.d.mu.Unlock()
	if err != nil {
		w.d.logf(slog.LevelWarn, "spool: seal %s: %v", s.name, err)
	}
}

// poison gives up the active segment after a failed write or sync: it is never written
// or synced again, and counts only as far as it was synced. What was unsynced is written
// to a new segment at once. When that fails too the error is returned, and what was
// acknowledged waits in the window.
func (w *writer) poison(cause error) error {
	w.abandon()
	w.d.logf(slog.LevelError, "spool: %v: going on in a new segment", cause)
	if err := w.restart(); err != nil {
		err = refusal(fmt.Errorf("%w (after %w)", err, cause))
		w.win = w.win[:w.applied]
		w.setTrouble(err)
		return err
	}
	return nil
}

func (w *writer) abandon() {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	s := w.active
	w.active = nil
	w.on = 0
	s.active, s.limited, s.spoiled = false, true, true
	s.end, s.changesEnd = w.base, w.base
}

// restart writes the window to a new segment and syncs it.
func (w *writer) restart() error {
	if err := w.next(int64(len(w.win))); err != nil {
		return err
	}
	if len(w.win) == 0 {
		return nil
	}
	err := w.write()
	if err == nil {
		err = w.sync()
	}
	if err != nil {
		w.abandon()
		return err
	}
	w.relocate()
	return nil
}

// relocate tells the catalog where the acknowledged part of the window stands now.
func (w *writer) relocate() {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	for at := 0; at < w.applied; {
		h, _ := decodeHeader(w.win[at:])
		rec := w.win[at : at+int(h.size())]
		w.d.cat.apply(applyMove, w.active.epoch, w.base+int64(at), h, rec, nil)
		at += len(rec)
	}
}

// heal tries again what failed.
func (w *writer) heal() {
	if w.trouble != nil {
		err := w.restart()
		if err != nil {
			w.setTrouble(refusal(err))
			return
		}
		w.base += int64(len(w.win))
		w.win, w.on, w.applied = w.win[:0], 0, 0
		w.clearTrouble()
		return
	}
	w.reserve()
}

func (w *writer) later() {
	w.backoff = min(max(2*w.backoff, minBackoff), maxBackoff)
	w.retry = time.Now().Add(w.backoff)
}

func (w *writer) setTrouble(err error) {
	first := w.trouble == nil
	w.trouble = err
	w.later()
	w.publish()
	if first {
		w.d.logf(slog.LevelError, "%v", err)
	}
}

func (w *writer) clearTrouble() {
	w.trouble, w.backoff = nil, 0
	w.publish()
	w.d.logf(slog.LevelInfo, "spool: writes again")
}

// reserve keeps a reserved segment; without one messages are refused.
func (w *writer) reserve() {
	if err := w.d.restock(); err != nil {
		w.setFull(refusal(err))
		return
	}
	w.checkFree(true)
}

// checkFree compares the free space with the least asked for.
func (w *writer) checkFree(now bool) {
	if w.d.opt.MinFree <= 0 {
		w.setFull(nil)
		return
	}
	if !now && time.Since(w.lastFree) < freeInterval {
		return
	}
	w.lastFree = time.Now()
	free, err := w.d.fs.Free(w.d.dir)
	if err != nil || free < 0 || free >= w.d.opt.MinFree {
		if w.d.reserved() { // else the want of a reserve stands
			w.setFull(nil)
		}
		return
	}
	w.setFull(fmt.Errorf("%w: %d octets free in %s, at least %d are asked for", ErrFull, free, w.d.dir, w.d.opt.MinFree))
}

func (d *Disk) reserved() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.spares) > 0
}

func (w *writer) setFull(err error) {
	was := w.full
	w.full = err
	switch {
	case err != nil:
		w.later()
		if was == nil {
			w.d.logf(slog.LevelWarn, "spool: refuses messages: %v", err)
		}
	case was != nil:
		w.backoff = 0
		w.d.logf(slog.LevelInfo, "spool: accepts messages again")
	}
	w.publish()
}

// publish shows the state in Stats.
func (w *writer) publish() {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sick = w.trouble != nil && !errors.Is(w.trouble, ErrFull)
	d.full = w.full != nil || w.trouble != nil && !d.sick
	d.reason = ""
	if d.sick {
		d.reason = w.trouble.Error()
	}
}

// admit refuses what cannot be stored now.
func (w *writer) admit(o *op) error {
	if w.trouble != nil && (o.kind != opSync || o.mark) {
		return fmt.Errorf("%s: %w", opNames[o.kind], w.trouble)
	}
	if o.kind != opPut && o.kind != opChunk {
		return nil
	}
	if w.full == nil && w.d.opt.MinFree > 0 {
		w.checkFree(false)
	}
	if w.full != nil {
		return fmt.Errorf("%s: %w", opNames[o.kind], w.full)
	}
	if o.kind == opPut && w.d.inStore(o.id) {
		return fmt.Errorf("%s %s: %w", opNames[o.kind], o.id, errTwice)
	}
	return nil
}

// end flushes and seals when the spool is closed.
func (w *writer) end() {
	w.needSync = len(w.win) > 0
	w.flush()
	if w.trouble == nil && w.active != nil {
		w.seal()
	}
	if len(w.win) > 0 {
		w.d.lost = fmt.Errorf("close spool %s: %d octets of outcomes could not be stored: their messages will be delivered again: %w", w.d.dir, len(w.win), w.trouble)
	}
}
