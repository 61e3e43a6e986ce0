package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Recover implements Spool. Order is that of the IDs, whose time comes first.
func (d *Disk) Recover(yield func(Recovered) error) error {
	r := recoverer{d: d}
	for _, id := range d.ids() {
		rec, ok := r.message(id)
		if !ok {
			continue
		}
		if err := yield(rec); err != nil {
			return err
		}
	}
	return nil
}

// ids lists the messages alive, oldest first.
func (d *Disk) ids() []mail.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]mail.ID, 0, d.cat.messages)
	d.cat.each(func(_ uint32, e *entry) {
		if e.put.seg != 0 {
			ids = append(ids, e.id)
		}
	})
	slices.SortFunc(ids, mail.ID.Compare)
	return ids
}

// recoverer reads messages in the order of their IDs, which is nearly that of the log:
// a piece read for one mostly holds the next one too.
type recoverer struct {
	d      *Disk
	w      window
	states window     // another place: where the states of these messages stand
	locs   []loc      // of the states of one message
	segs   []*segment // of its put, then of the states; pinned
	ends   []int64    // of the log in each of them: what is read ahead beyond may change
}

const recoverUnit = 128 << 10

func (r *recoverer) message(id mail.ID) (Recovered, bool) {
	put, metaLen, ok := r.pin(id)
	if !ok {
		return Recovered{}, false
	}
	defer r.unpin()
	env, err := r.envelope(id, put, metaLen)
	if err != nil {
		_ = r.d.damage(id, put, r.segs[0], nil, err) // named and counted there
		return Recovered{}, false
	}
	out := Recovered{Envelope: env}
	for i, l := range r.locs {
		st, err := r.state(i+1, l)
		if err != nil {
			r.d.logf(slog.LevelWarn, "spool: a state of message %s: %v", id, err)
			continue
		}
		if st.Index < len(env.Recipients) {
			out.States = append(out.States, st)
		}
	}
	return out, true
}

// pin notes where a message and its states stand, and keeps those segments.
func (r *recoverer) pin(id mail.ID) (put loc, metaLen int, ok bool) {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	h, ok := d.cat.lookup(id)
	if !ok || d.cat.at(h).put.seg == 0 {
		return put, 0, false
	}
	e := d.cat.at(h)
	r.locs, r.segs = r.locs[:0], append(r.segs[:0], d.cat.segments[e.put.seg])
	if e.state.seg != 0 {
		r.locs = append(r.locs, e.state)
	}
	for _, l := range d.cat.more[h] {
		if l.seg != 0 {
			r.locs = append(r.locs, l)
		}
	}
	for _, l := range r.locs {
		r.segs = append(r.segs, d.cat.segments[l.seg])
	}
	r.ends = r.ends[:0]
	for _, s := range r.segs {
		s.pins++
		r.ends = append(r.ends, s.end)
	}
	return e.put, int(e.metaLen), true
}

func (r *recoverer) unpin() {
	for _, s := range r.segs {
		r.d.unpin(s)
	}
}

func (r *recoverer) envelope(id mail.ID, put loc, metaLen int) (*mail.Envelope, error) {
	b, err := r.read(&r.w, 0, int64(put.off), headerSize+metaLen)
	if err != nil {
		return nil, err
	}
	h, ok := decodeHeader(b)
	if !ok || h.id != id || int(h.metaLen) != metaLen || checksum(b[headerSize:]) != h.metaSum {
		return nil, errors.New("envelope does not match its checksum")
	}
	_, rest, err := decodePutMeta(b[headerSize:])
	if err != nil {
		return nil, err
	}
	return decodeEnvelope(id, rest)
}

// state reads a state, whose record was checked when it was entered.
func (r *recoverer) state(i int, l loc) (mail.RecipientState, error) {
	b, err := r.read(&r.states, i, int64(l.off), int(l.n))
	if err != nil {
		return mail.RecipientState{}, err
	}
	return decodeState(b)
}

// read reads from the i-th of the pinned segments.
func (r *recoverer) read(w *window, i int, off int64, n int) ([]byte, error) {
	seg := r.segs[i]
	if w.f != seg.file {
		*w = window{f: seg.file, buf: w.buf[:0]}
	}
	w.size = r.ends[i]
	// Read ahead only when going forward: a jump is likely to be followed by another.
	w.unit = 0
	if end := w.off + int64(len(w.buf)); off >= end && off-end < recoverUnit {
		w.unit = recoverUnit
	}
	b, err := w.get(off, n)
	if err == nil && len(b) < n {
		err = fmt.Errorf("%d octets at %d of %s: %w", n, off, seg.name, io.ErrUnexpectedEOF)
	}
	return b, err
}
