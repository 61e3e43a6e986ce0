package dns

import "container/list"

type key struct {
	name string
	t    Type
}

// entry is what is known about a key: the newest answer and, after it, a failure to
// get a newer one. Times are ns of CLOCK_BOOTTIME.
type entry struct {
	key        key
	answer     Answer
	expires    int64 // of answer
	staleUntil int64 // answer may be given in an outage until then; 0: there is no answer
	err        error
	errUntil   int64
}

// cache keeps the entries used last. Not safe for concurrent use.
type cache struct {
	max   int
	order *list.List // front: used last
	index map[key]*list.Element
}

func newCache(limit int) *cache {
	return &cache{max: limit, order: list.New(), index: map[key]*list.Element{}}
}

func (c *cache) get(k key) *entry {
	el := c.index[k]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(*entry)
}

// make returns the entry of k, a new one if need be; the one unused for longest makes room.
func (c *cache) make(k key) *entry {
	if e := c.get(k); e != nil {
		return e
	}
	for c.order.Len() >= c.max {
		oldest := c.order.Back()
		delete(c.index, oldest.Value.(*entry).key)
		c.order.Remove(oldest)
	}
	e := &entry{key: k}
	c.index[k] = c.order.PushFront(e)
	return e
}

func (c *cache) len() int { return c.order.Len() }
