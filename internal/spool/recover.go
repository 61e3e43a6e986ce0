package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/sluice-mta/sluice/internal/mail"
)

const (
	// recoverPage is how many messages are read at once: those, in the order of the log,
	// and then yielded in the order of their IDs.
	recoverPage = 8 << 10
	// recoverUnit is read at once when the next one is near, in octets.
	recoverUnit = 256 << 10
	recoverGap  = 32 << 10
)

// Recover implements Spool. Order is that of the IDs, whose time comes first. One page is
// read while the one before is yielded.
func (d *Disk) Recover(yield func(Recovered) error) error {
	pages, stop := make(chan []Recovered), make(chan struct{})
	go func() {
		defer close(pages)
		p := recoverer{d: d}
		for ids := range slices.Chunk(d.ids(), recoverPage) {
			p.read(ids)
			select {
			case pages <- p.out:
			case <-stop:
				return
			}
		}
	}()
	defer func() { // the reader has ended when Recover returns
		close(stop)
		for range pages {
		}
	}()
	for page := range pages {
		for i := range page {
			if page[i].Envelope == nil {
				continue
			}
			if err := yield(page[i]); err != nil {
				return err
			}
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

// recoverer reads pages of messages.
type recoverer struct {
	d     *Disk
	w     window
	items []recoverItem
	out   []Recovered
}

// recoverItem is a put or a state to be read.
type recoverItem struct {
	n       int // in the page
	id      mail.ID
	at      loc
	seg     *segment // pinned
	end     int64    // of the log in it: what is read ahead beyond may change
	metaLen int      // of a put; 0: a state
}

// read reads a page. A message that cannot be read is named, counted and left out.
func (r *recoverer) read(ids []mail.ID) {
	r.out = make([]Recovered, len(ids))
	r.pin(ids)
	slices.SortFunc(r.items, func(a, b recoverItem) int {
		return cmp.Or(cmp.Compare(a.at.seg, b.at.seg), cmp.Compare(a.at.off, b.at.off))
	})
	states := make([][]mail.RecipientState, len(ids))
	for i := range r.items {
		it := &r.items[i]
		if it.metaLen == 0 {
			st, err := r.state(it)
			if err != nil {
				r.d.logf(slog.LevelWarn, "spool: a state of message %s: %v", it.id, err)
				continue
			}
			states[it.n] = append(states[it.n], st)
			continue
		}
		env, err := r.envelope(it)
		if err != nil {
			rec := make([]byte, it.at.n)
			got, _ := it.seg.file.ReadAt(rec, int64(it.at.off)) // what can be had of it
			_ = r.d.damage(it.id, it.at, it.seg, rec[:got], err)
			continue
		}
		r.out[it.n].Envelope = env
	}
	for i, st := range states {
		slices.SortFunc(st, func(a, b mail.RecipientState) int { return cmp.Compare(a.Index, b.Index) })
		if env := r.out[i].Envelope; env != nil {
			r.out[i].States = slices.DeleteFunc(st, func(s mail.RecipientState) bool { return s.Index >= len(env.Recipients) })
		}
	}
	for i := range r.items {
		r.d.unpin(r.items[i].seg)
	}
}

// pin notes where messages and their states stand, and keeps those segments.
func (r *recoverer) pin(ids []mail.ID) {
	r.items = r.items[:0]
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, id := range ids {
		h, ok := d.cat.lookup(id)
		if !ok || d.cat.at(h).put.seg == 0 {
			continue
		}
		e := d.cat.at(h)
		r.note(recoverItem{n: n, id: id, at: e.put, metaLen: int(e.metaLen)})
		r.note(recoverItem{n: n, id: id, at: e.state})
		for _, l := range d.cat.more[h] {
			r.note(recoverItem{n: n, id: id, at: l})
		}
	}
}

func (r *recoverer) note(it recoverItem) {
	if it.at.seg == 0 {
		return
	}
	it.seg = r.d.cat.segments[it.at.seg]
	it.seg.pins++
	it.end = it.seg.end
	r.items = append(r.items, it)
}

func (r *recoverer) envelope(it *recoverItem) (*mail.Envelope, error) {
	b, err := r.get(it, headerSize+it.metaLen)
	if err != nil {
		return nil, err
	}
	h, ok := decodeHeader(b)
	if !ok || h.id != it.id || int(h.metaLen) != it.metaLen || checksum(b[headerSize:]) != h.metaSum {
		return nil, errors.New("envelope does not match its checksum")
	}
	_, rest, err := decodePutMeta(b[headerSize:])
	if err != nil {
		return nil, err
	}
	return decodeEnvelope(it.id, rest)
}

// state reads a state, whose record was checked when it was entered.
func (r *recoverer) state(it *recoverItem) (mail.RecipientState, error) {
	b, err := r.get(it, int(it.at.n))
	if err != nil {
		return mail.RecipientState{}, err
	}
	return decodeState(b)
}

// get reads n octets of an item. It reads ahead when items stand close together.
func (r *recoverer) get(it *recoverItem, n int) ([]byte, error) {
	w, off := &r.w, int64(it.at.off)
	if w.f != it.seg.file {
		*w = window{f: it.seg.file, buf: w.buf[:0]}
	}
	w.size, w.unit = it.end, 0
	if end := w.off + int64(len(w.buf)); off-end < recoverGap {
		w.unit = recoverUnit
	}
	b, err := w.get(off, n)
	if err == nil && len(b) < n {
		err = fmt.Errorf("%d octets at %d of %s: %w", n, off, it.seg.name, io.ErrUnexpectedEOF)
	}
	return b, err
}
