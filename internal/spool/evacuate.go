package spool

import (
	"fmt"
	"io"
	"slices"
)

// record looks at a record of the segment and notes what of it is alive.
func (e *evacuation) record(f found) error {
	at := e.s.loc(f.off, f.size)
	switch f.h.kind {
	case kindSegment, kindSeal, kindMark:
		return nil
	case kindPut:
		return e.put(f.h, at)
	case kindChunk:
		m, err := decodeChunkMeta(f.rec[headerSize:])
		if err != nil || !e.chunkAlive(m, at) {
			return err
		}
		rec, err := e.read(at)
		if err != nil {
			return err
		}
		e.note(copyItem{kind: kindChunk, from: at, id: f.h.id, draft: m.draft, index: m.index, rec: rec})
		return nil
	case kindBatch:
		return e.batch(f, at)
	default:
		rec, err := e.read(at)
		if err != nil {
			return err
		}
		e.note(copyItem{kind: f.h.kind, from: at, rec: rec})
		return nil
	}
}

func (e *evacuation) note(it copyItem) {
	e.items = append(e.items, it)
	e.size += it.size()
}

func (e *evacuation) flush() error {
	if len(e.items) == 0 {
		return nil
	}
	o := getOp(opCopy)
	o.items, o.reserve = e.items, e.small
	err := e.d.wait(o)
	e.items, e.size, e.copied = nil, 0, true
	return err
}

func (e *evacuation) read(l loc) ([]byte, error) {
	rec := make([]byte, l.n)
	if _, err := e.s.file.ReadAt(rec, int64(l.off)); err != nil && err != io.EOF {
		return nil, err
	}
	return rec, nil
}

func (e *evacuation) chunkAlive(m chunkMeta, at loc) bool {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	ch := e.d.cat.drafts[m.draft]
	return ch != nil && m.index < len(ch.locs) && ch.locs[m.index] == at
}

// put copies a message that is alive as it stands, with its checksums. A damaged body
// is quarantined and goes along: the message is still known, and opening it says so.
func (e *evacuation) put(h header, at loc) error {
	e.d.mu.Lock()
	entry := e.d.cat.alive(h.id)
	alive := entry != nil && entry.put == at
	e.d.mu.Unlock()
	if !alive {
		return nil
	}
	rec, err := e.read(at)
	if err != nil {
		return err
	}
	h.flags |= flagCopy
	h.flags &^= flagNested
	if checksum(rec[headerSize+h.metaLen:]) != h.bodySum && h.flags&flagDamaged == 0 {
		h.flags |= flagDamaged
		_ = e.d.damage(h.id, at, e.s, rec, fmt.Errorf("content does not match its checksum"))
	}
	h.encode(rec)
	e.note(copyItem{kind: kindPut, from: at, id: h.id, rec: rec})
	return nil
}

// batch notes the states that are current, the finished messages whose puts are still
// on disk, and the reports that are alive.
func (e *evacuation) batch(f found, at loc) error {
	meta := f.rec[headerSize : headerSize+int(f.h.metaLen)]
	base := f.off + headerSize
	err := decodeBatch(meta, func(c *change) {
		e.d.mu.Lock()
		defer e.d.mu.Unlock()
		if c.finish {
			if len(e.d.cat.existing(c.segments, e.s.epoch)) > 0 {
				e.note(copyItem{kind: kindBatch, from: at, id: c.id, finish: true, segments: slices.Clone(c.segments)})
			}
			return
		}
		h, ok := e.d.cat.lookup(c.id)
		if !ok {
			return
		}
		for _, s := range c.states {
			l := e.s.loc(base+int64(s.off), int64(len(s.b)))
			if now := e.d.cat.stateOf(h, s.index); now != nil && *now == l {
				e.note(copyItem{kind: kindBatch, from: l, id: c.id, index: s.index, rec: slices.Clone(s.b)})
			}
		}
	})
	if err != nil {
		return err
	}
	body := base + int64(f.h.metaLen)
	var heads []header
	var locs []loc
	err = walkNested(f.rec[headerSize+int(f.h.metaLen):], func(off int, h header, _ []byte) {
		heads = append(heads, h)
		locs = append(locs, e.s.loc(body+int64(off), h.size()))
	})
	for i := range heads {
		if err == nil {
			err = e.put(heads[i], locs[i])
		}
	}
	return err
}

// retryNow makes the committer look at once whether it can go on.
func (d *Disk) retryNow() {
	d.again.Store(true)
	d.poke()
}
