package spool

import (
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
)

// cache keeps the envelope and content of recent messages, so that a message delivered
// at once is not read from disk. The oldest goes first: what has waited longest is
// likely to wait on.
type cache struct {
	mu    sync.Mutex
	limit int64
	used  int64
	byID  map[mail.ID]*cached
	order []mail.ID // from head on, some of them removed meanwhile
	head  int
}

// cached is a Message in memory.
type cached struct {
	env  *mail.Envelope
	body []byte
}

// cachedOverhead is counted beside the content: envelope, map, order.
const cachedOverhead = 1 << 10

func newCache(limit int64) *cache { return &cache{limit: limit, byID: map[mail.ID]*cached{}} }

func (c *cache) add(env *mail.Envelope, body []byte) {
	size := int64(cap(body)) + cachedOverhead
	if env == nil || size > c.limit/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[env.ID] = &cached{env: env, body: body}
	c.order = append(c.order, env.ID)
	c.used += size
	for c.used > c.limit && c.head < len(c.order) {
		c.drop(c.order[c.head])
		c.head++
	}
	c.tidy()
}

// tidy takes the removed ones off the order when they are the greater part.
func (c *cache) tidy() {
	if len(c.order) < 1024 || len(c.order) < 2*len(c.byID) {
		return
	}
	kept := c.order[:0]
	for _, id := range c.order[c.head:] {
		if c.byID[id] != nil {
			kept = append(kept, id)
		}
	}
	c.order, c.head = kept, 0
}

func (c *cache) drop(id mail.ID) {
	if m := c.byID[id]; m != nil {
		c.used -= int64(cap(m.body)) + cachedOverhead
		delete(c.byID, id)
	}
}

func (c *cache) remove(ids []mail.ID) {
	if len(ids) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.drop(id)
	}
}

func (c *cache) get(id mail.ID) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// Envelope implements Message.
func (m *cached) Envelope() *mail.Envelope { return m.env }

// Size implements Message.
func (m *cached) Size() int64 { return int64(len(m.body)) }

// Bytes implements Message.
func (m *cached) Bytes() []byte { return m.body }

// ReadAt implements Message.
func (m *cached) ReadAt(p []byte, off int64) (int, error) { return readBytes(m.body, p, off) }

// Close implements Message.
func (m *cached) Close() {}
