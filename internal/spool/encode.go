package spool

import (
	"encoding/binary"
	"fmt"

	"github.com/sluice-mta/sluice/internal/mail"
)

// encodeBatch appends the records of a batch to the window: the chunks of large
// reports, then the batch. Changes to messages that are not there are left out.
func (w *writer) encodeBatch(o *op) error {
	if err := checkBatch(&o.batch); err != nil {
		return err
	}
	var nested [][]byte
	for i := range o.batch.Reports {
		r := &o.batch.Reports[i]
		m, body := w.spill(o, r)
		nested = append(nested, appendPut(nil, flagNested, m, r.Envelope, body))
	}
	start := len(w.win)
	w.win = append(w.win, make([]byte, headerSize)...)
	w.win = append(w.win, batchVersion)
	empty := len(w.win)
	w.d.mu.Lock()
	for i := range o.batch.Changes {
		w.appendChange(&o.batch.Changes[i])
	}
	w.d.mu.Unlock()
	if len(w.win) == empty && len(nested) == 0 {
		w.win = w.win[:start]
		return nil
	}
	return w.finishBatch(start, 0, nested)
}

// spill appends the chunks of a report too large for one record.
func (w *writer) spill(o *op, r *Report) (putMeta, []byte) {
	size := w.d.opt.ChunkSize
	if len(r.Content) <= size {
		return putMeta{}, r.Content
	}
	m := putMeta{draft: w.d.newDraft(r.Envelope.ID), length: int64(len(r.Content))}
	o.drafts = append(o.drafts, m.draft)
	for rest := r.Content; len(rest) > 0; m.chunks++ {
		n := min(size, len(rest))
		w.win = appendChunk(w.win, r.Envelope.ID, chunkMeta{m.draft, m.chunks}, rest[:n])
		rest = rest[n:]
	}
	return m, nil
}

// appendChange appends a change of a message that is alive. Its caller holds Disk.mu.
func (w *writer) appendChange(c *Change) {
	cat := w.d.cat
	e := cat.alive(c.Message)
	if e == nil {
		return
	}
	if c.Finish { // its states end with it
		w.win = appendChangeHead(w.win, c.Message, true, cat.standsIn(e), 0)
		return
	}
	if len(c.States) == 0 {
		return
	}
	w.win = appendChangeHead(w.win, c.Message, false, nil, len(c.States))
	var buf [256]byte
	for i := range c.States {
		b := appendState(buf[:0], &c.States[i])
		w.win = binary.AppendUvarint(w.win, uint64(len(b)))
		w.win = append(w.win, b...)
	}
}

// standsIn lists the segments in which a put of e may stand: the one it is read from
// and those being evacuated.
func (c *catalog) standsIn(e *entry) []uint32 {
	var out []uint32
	if e.put.seg != 0 {
		out = append(out, e.put.seg)
	}
	if c.doomed > 0 {
		for _, s := range c.segments { // the order does not matter
			if s.doomed && s.epoch != e.put.seg {
				out = append(out, s.epoch)
			}
		}
	}
	return out
}

// finishBatch completes the batch record whose meta stands in the window from start.
func (w *writer) finishBatch(start int, flags uint8, nested [][]byte) error {
	meta := w.win[start+headerSize:]
	h := header{kind: kindBatch, flags: flags, metaLen: uint32(len(meta)), metaSum: checksum(meta), bodySum: checksum(nested...)}
	size := int64(len(meta))
	for _, n := range nested {
		w.win = append(w.win, n...)
		h.bodyLen += uint32(len(n))
		size += int64(len(n))
	}
	if size > maxRecord {
		return fmt.Errorf("%s: %d octets in one batch: at most %d", opNames[opBatch], size, maxRecord)
	}
	h.encode(w.win[start:])
	return nil
}

// checkBatch refuses what could not be read again.
func checkBatch(b *Batch) error {
	for i := range b.Changes {
		for _, s := range b.Changes[i].States {
			if s.Index < 0 || s.Index >= mail.MaxRecipients {
				return fmt.Errorf("%s: message %s: recipient %d: must be 0..%d", opNames[opBatch], b.Changes[i].Message, s.Index, mail.MaxRecipients-1)
			}
		}
	}
	return nil
}

// forget drops the chunks of an op that was not stored.
func (w *writer) forget(o *op) {
	if len(o.drafts) == 0 {
		return
	}
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	for _, d := range o.drafts {
		w.d.cat.dropDraft(d)
	}
	o.drafts = nil
}

// newDraft registers a name for chunks. Names of one process differ by a counter, those
// of different ones by the epoch at which the process began.
func (d *Disk) newDraft(id mail.ID) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draftSeq++
	d.cat.drafts[d.draftSeq] = &chunks{id: id}
	return d.draftSeq
}

// copyItem is something that compaction found alive in the segment it evacuates.
type copyItem struct {
	kind     kind // kindPut, kindChunk, kindBatch (a state or a finished message), others as they are
	from     loc
	rec      []byte // the whole record; for a state its octets
	id       mail.ID
	index    int      // recipient, or place of the chunk
	draft    uint64   // of the chunk
	finish   bool     // the message is finished
	segments []uint32 // where a put of it may stand
}

// size estimates the octets of an item.
func (i *copyItem) size() int { return len(i.rec) + 32 + 5*len(i.segments) }

// encodeCopies appends those of the items that are still alive.
func (w *writer) encodeCopies(items []copyItem) {
	cat := w.d.cat
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	changes := 0
	for i := range items {
		it := &items[i]
		switch it.kind {
		case kindBatch:
			changes++
		case kindPut:
			if e := cat.alive(it.id); e != nil && e.put == it.from {
				w.win = append(w.win, it.rec...)
			}
		case kindChunk:
			if ch := cat.drafts[it.draft]; ch != nil && it.index < len(ch.locs) && ch.locs[it.index] == it.from {
				w.win = append(w.win, it.rec...)
			}
		default:
			w.win = append(w.win, it.rec...)
		}
	}
	if changes > 0 {
		w.encodeChanges(items)
	}
}

func (w *writer) encodeChanges(items []copyItem) {
	start := len(w.win)
	w.win = append(w.win, make([]byte, headerSize)...)
	w.win = append(w.win, batchVersion)
	empty := len(w.win)
	for i := range items {
		switch it := &items[i]; {
		case it.kind != kindBatch:
		case it.finish:
			if left := w.d.cat.existing(it.segments, it.from.seg); len(left) > 0 {
				w.win = appendChangeHead(w.win, it.id, true, left, 0)
			}
		default:
			h, ok := w.d.cat.lookup(it.id)
			if !ok {
				continue
			}
			if at := w.d.cat.stateOf(h, it.index); at != nil && *at == it.from {
				w.win = appendChangeHead(w.win, it.id, false, nil, 1)
				w.win = binary.AppendUvarint(w.win, uint64(len(it.rec)))
				w.win = append(w.win, it.rec...)
			}
		}
	}
	if len(w.win) == empty {
		w.win = w.win[:start]
		return
	}
	_ = w.finishBatch(start, flagCopy, nil) // far below the bound
}

// existing returns those of the segments that are on disk, save the one being evacuated.
func (c *catalog) existing(segments []uint32, but uint32) []uint32 {
	var out []uint32
	for _, s := range segments {
		if s != but && c.segments[s] != nil {
			out = append(out, s)
		}
	}
	return out
}
