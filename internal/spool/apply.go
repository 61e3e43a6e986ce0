package spool

// applyMode says why a record is applied to the catalog.
type applyMode int

const (
	applyNew  applyMode = iota // just written
	applyMove                  // written again elsewhere: only places change
	applyScan                  // read at start: a state may stand before its put
)

// apply enters a record at (seg, off) into the catalog; rec is the whole record, for a
// put and a chunk without its body. The record has been checked before. It returns the
// IDs of messages that it finished. Its caller holds Disk.mu.
func (c *catalog) apply(mode applyMode, seg uint32, off int64, h header, rec []byte, finished []finishedID) []finishedID {
	meta := rec[headerSize : headerSize+int(h.metaLen)]
	switch h.kind {
	case kindPut:
		c.applyPut(mode, loc{seg, uint32(off), uint32(h.size())}, h, meta)
	case kindChunk:
		m, err := decodeChunkMeta(meta)
		if err != nil {
			return finished
		}
		if mode == applyScan && c.drafts[m.draft] == nil {
			c.drafts[m.draft] = &chunks{id: h.id}
		}
		c.setChunk(m.draft, m.index, loc{seg, uint32(off), uint32(h.size())})
	case kindBatch:
		_ = decodeBatch(meta, func(ch *change) { // checked before
			if c.applyChange(mode, seg, off+headerSize, ch) {
				finished = append(finished, ch.id)
			}
		})
		body := off + headerSize + int64(h.metaLen)
		_ = walkNested(rec[headerSize+int(h.metaLen):], func(at int, nh header, nested []byte) {
			c.applyPut(mode, loc{seg, uint32(body + int64(at)), uint32(nh.size())}, nh, nested[headerSize:headerSize+int(nh.metaLen)])
		})
	default:
		// Segment headers, seals and marks change nothing. A kind of a later version is
		// kept for it.
		if h.kind > kindMark && mode != applyMove {
			c.credit(loc{seg: seg}, h.size())
		}
	}
	return finished
}

func (c *catalog) applyPut(mode applyMode, l loc, h header, meta []byte) {
	m, _, err := decodePutMeta(meta)
	if err != nil {
		return
	}
	handle, ok := c.lookup(h.id)
	if !ok {
		if mode == applyMove {
			return // finished since
		}
		handle = c.add(h.id)
	}
	if e := c.at(handle); mode == applyScan && e.put.seg != 0 && e.put.seg != l.seg {
		if s := c.segments[e.put.seg]; s != nil {
			c.doom(s) // it was being evacuated when the process ended
		}
	}
	c.setPut(handle, l, h.metaLen, m.draft)
	if m.draft != 0 {
		if mode == applyScan && c.drafts[m.draft] == nil {
			c.drafts[m.draft] = &chunks{id: h.id}
		}
		if ch := c.drafts[m.draft]; ch != nil {
			ch.want = m.chunks
		}
	}
	if h.flags&flagDamaged != 0 {
		c.at(handle).damaged = true
	}
}

// applyChange reports whether it finished the message. base is the offset of the meta.
func (c *catalog) applyChange(mode applyMode, seg uint32, base int64, ch *change) bool {
	h, ok := c.lookup(ch.id)
	if !ok {
		if mode != applyScan || ch.finish || len(ch.states) == 0 {
			return false
		}
		h = c.add(ch.id) // its put was copied to a later place
	}
	if ch.finish {
		c.remove(h)
		return true
	}
	for _, s := range ch.states {
		c.setState(h, s.index, loc{seg, uint32(base + int64(s.off)), uint32(len(s.b))})
	}
	return false
}
