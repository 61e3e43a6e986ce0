package spool

import "github.com/sluice-mta/sluice/internal/mail"

// catalog knows where everything that is alive stands. It holds no pointer per message
// and nothing of its envelope: about 48 octets and a map slot each. Its caller holds
// Disk.mu.
type catalog struct {
	byID     map[mail.ID]uint32
	slabs    [][]entry
	unused   []uint32
	more     map[uint32][]loc // states of recipients 1.., by handle
	draftOf  map[uint32]uint64
	drafts   map[uint64]*chunks
	segments map[uint32]*segment
	doomed   int   // segments being evacuated
	live     int64 // octets of live records
	messages int
}

// loc is a place in the log. The zero loc is nowhere: epochs begin at 1.
type loc struct{ seg, off, n uint32 }

type entry struct {
	id      mail.ID
	put     loc
	metaLen uint32
	state   loc // of recipient 0
	damaged bool
}

// chunks are the places of the content of a large message or of an open draft.
type chunks struct {
	id   mail.ID
	locs []loc
	want int  // how many the put names
	used bool // recovery: a put names it
}

const (
	slabSize = 1 << 12
	// changeOverhead is what a state costs beside its own octets when it is copied.
	changeOverhead = 20
)

func newCatalog() *catalog {
	return &catalog{
		byID: map[mail.ID]uint32{}, more: map[uint32][]loc{}, draftOf: map[uint32]uint64{},
		drafts: map[uint64]*chunks{}, segments: map[uint32]*segment{},
	}
}

func (c *catalog) at(h uint32) *entry { return &c.slabs[h/slabSize][h%slabSize] }

func (c *catalog) lookup(id mail.ID) (uint32, bool) {
	h, ok := c.byID[id]
	return h, ok
}

// alive returns the entry of a message that has its put.
func (c *catalog) alive(id mail.ID) *entry {
	if h, ok := c.byID[id]; ok {
		if e := c.at(h); e.put.seg != 0 || e.damaged {
			return e
		}
	}
	return nil
}

func (c *catalog) add(id mail.ID) uint32 {
	if len(c.unused) == 0 {
		base := uint32(len(c.slabs)) * slabSize
		c.slabs = append(c.slabs, make([]entry, slabSize))
		for i := uint32(slabSize); i > 0; i-- {
			c.unused = append(c.unused, base+i-1)
		}
	}
	h := c.unused[len(c.unused)-1]
	c.unused = c.unused[:len(c.unused)-1]
	*c.at(h) = entry{id: id}
	c.byID[id] = h
	return h
}

// credit counts n octets at l as live, or with a negative n no longer.
func (c *catalog) credit(l loc, n int64) {
	if s := c.segments[l.seg]; s != nil {
		s.live += n
		c.live += n
	}
}

// setPut says where the put of h stands.
func (c *catalog) setPut(h uint32, l loc, metaLen uint32, draft uint64) {
	e := c.at(h)
	if e.put.seg == 0 && !e.damaged {
		c.messages++
	}
	c.credit(e.put, -int64(e.put.n))
	e.put, e.metaLen = l, metaLen
	c.credit(l, int64(l.n))
	if draft != 0 {
		c.draftOf[h] = draft
	}
}

func (c *catalog) stateOf(h uint32, recipient int) *loc {
	if recipient == 0 {
		return &c.at(h).state
	}
	if l := c.more[h]; recipient <= len(l) {
		return &l[recipient-1]
	}
	return nil
}

func (c *catalog) setState(h uint32, recipient int, l loc) {
	at := c.stateOf(h, recipient)
	if at == nil {
		s := c.more[h]
		s = append(s, make([]loc, recipient-len(s))...)
		c.more[h] = s
		at = &s[recipient-1]
	}
	if at.seg != 0 {
		c.credit(*at, -int64(at.n)-changeOverhead)
	}
	*at = l
	c.credit(l, int64(l.n)+changeOverhead)
}

func (c *catalog) setChunk(draft uint64, index int, l loc) {
	ch := c.drafts[draft]
	if ch == nil {
		return // the draft was aborted
	}
	for len(ch.locs) <= index {
		ch.locs = append(ch.locs, loc{})
	}
	c.credit(ch.locs[index], -int64(ch.locs[index].n))
	ch.locs[index] = l
	c.credit(l, int64(l.n))
}

// dropDraft forgets chunks.
func (c *catalog) dropDraft(draft uint64) {
	ch := c.drafts[draft]
	if ch == nil {
		return
	}
	for _, l := range ch.locs {
		c.credit(l, -int64(l.n))
	}
	delete(c.drafts, draft)
}

// remove forgets a message with everything about it.
func (c *catalog) remove(h uint32) {
	e := c.at(h)
	if e.put.seg != 0 || e.damaged {
		c.messages--
	}
	c.credit(e.put, -int64(e.put.n))
	if e.state.seg != 0 {
		c.credit(e.state, -int64(e.state.n)-changeOverhead)
	}
	for _, l := range c.more[h] {
		if l.seg != 0 {
			c.credit(l, -int64(l.n)-changeOverhead)
		}
	}
	delete(c.more, h)
	if d, ok := c.draftOf[h]; ok {
		c.dropDraft(d)
		delete(c.draftOf, h)
	}
	delete(c.byID, e.id)
	*e = entry{}
	c.unused = append(c.unused, h)
}

// each calls fn with every handle in use.
func (c *catalog) each(fn func(h uint32, e *entry)) {
	for i := range c.slabs {
		for j := range c.slabs[i] {
			if e := &c.slabs[i][j]; !e.id.IsZero() || e.put.seg != 0 {
				fn(uint32(i*slabSize+j), e)
			}
		}
	}
}

// doom notes that a segment is being evacuated: whoever finishes a message names it.
func (c *catalog) doom(s *segment) {
	if !s.doomed {
		s.doomed = true
		c.doomed++
	}
}

// missing reports whether pieces of the content of a message are not there.
func (c *catalog) missing(h uint32) bool {
	draft, ok := c.draftOf[h]
	if !ok {
		return false
	}
	ch := c.drafts[draft]
	if ch == nil || len(ch.locs) < ch.want {
		return true
	}
	for _, l := range ch.locs {
		if l.seg == 0 {
			return true
		}
	}
	return false
}
