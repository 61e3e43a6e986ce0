package limit

import (
	"hash/maphash"
	"net/netip"
)

// Keys are kept in two parts, each stored once: there are few heads; and of tails, as many
// as domains and hosts, each shared by all its counters.
type head struct {
	option, binding, group, stanza string
	sent                           bool
}

type tail struct {
	domain, host string
	address      netip.Addr
}

// tailName is a tail in short: most are a domain or a host alone. Others lie in rare.
type tailName struct {
	name string
	rare uint32
	refs int32
	host bool
}

type headName struct {
	head
	refs int32
}

type names struct {
	seed   maphash.Seed
	heads  slab[headName]
	tails  slab[tailName]
	rare   slab[tail]
	byHead index
	byTail index
}

func (n *names) init() {
	n.seed = maphash.MakeSeed()
	n.heads, n.tails, n.rare = lazySlab[headName](), newSlab[tailName](), lazySlab[tail]()
	n.byHead.hash = func(h uint32) uint64 { return maphash.Comparable(n.seed, n.heads.at(h).head) }
	n.byTail.hash = func(h uint32) uint64 { return n.hashTail(n.tail(h)) }
}

func (n *names) hashTail(t tail) uint64 {
	if !t.address.IsValid() && t.host == "" {
		return maphash.String(n.seed, t.domain)
	}
	return maphash.Comparable(n.seed, t)
}

func (n *names) tail(h uint32) tail {
	x := n.tails.at(h)
	switch {
	case x.rare != 0:
		return *n.rare.at(x.rare)
	case x.host:
		return tail{host: x.name}
	}
	return tail{domain: x.name}
}

func (k *Key) split() (head, tail) {
	return head{k.Option, k.Binding, k.Group, k.Stanza, k.Sent}, tail{k.Domain, k.Host, k.Address}
}

// findHead returns the handle of a head, and its hash; 0 if it is not known.
func (n *names) findHead(x head) (uint32, uint64) {
	hash := maphash.Comparable(n.seed, x)
	return n.byHead.find(hash, func(h uint32) bool { return n.heads.at(h).head == x }), hash
}

// findTail does the same for a tail. The empty one is 0 and always known.
func (n *names) findTail(x tail) (h uint32, hash uint64, known bool) {
	if x == (tail{}) {
		return 0, 0, true
	}
	hash = n.hashTail(x)
	h = n.byTail.find(hash, func(h uint32) bool { return n.tail(h) == x })
	return h, hash, h != 0
}

// takeHead finds or adds a head and refers to it once more.
func (n *names) takeHead(x head) uint32 {
	h, hash := n.findHead(x)
	if h == 0 {
		h = n.heads.alloc()
		n.heads.at(h).head = x
		n.byHead.insert(hash, h)
	}
	n.heads.at(h).refs++
	return h
}

func (n *names) takeTail(x tail) uint32 {
	h, hash, known := n.findTail(x)
	if !known {
		h = n.tails.alloc()
		t := n.tails.at(h)
		switch {
		case x.host == "" && !x.address.IsValid():
			t.name = x.domain
		case x.domain == "" && !x.address.IsValid():
			t.name, t.host = x.host, true
		default:
			t.rare = n.rare.alloc()
			*n.rare.at(t.rare) = x
		}
		n.byTail.insert(hash, h)
	}
	if h != 0 {
		n.tails.at(h).refs++
	}
	return h
}

func (n *names) drop(head, tail uint32) {
	if x := n.heads.at(head); x.refs == 1 {
		n.byHead.remove(head)
		n.heads.release(head)
	} else {
		x.refs--
	}
	if tail == 0 {
		return
	}
	if x := n.tails.at(tail); x.refs == 1 {
		n.byTail.remove(tail)
		if x.rare != 0 {
			n.rare.release(x.rare)
		}
		n.tails.release(tail)
	} else {
		x.refs--
	}
}
