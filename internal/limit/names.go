package limit

import (
	"hash/maphash"
	"net/netip"

	"github.com/sluice-mta/sluice/internal/handles"
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
	refs uint32 // and hostTail
}

// hostTail marks the name of a host.
const hostTail = 1 << 31

type headName struct {
	head
	refs int32
}

type names struct {
	seed   maphash.Seed
	heads  slab[headName]
	tails  slab[tailName]
	rare   slab[tail]
	byHead handles.Index
	byTail handles.Index
}

func (n *names) init() {
	n.seed = maphash.MakeSeed()
	n.heads, n.tails, n.rare = lazySlab[headName](), newSlab[tailName](), lazySlab[tail]()
	n.byHead.Hash = func(h uint32) uint64 { return maphash.Comparable(n.seed, n.heads.at(h).head) }
	n.byTail.Hash = func(h uint32) uint64 { return n.hashTail(n.tail(h)) }
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
	case x.refs&hostTail != 0:
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
	return n.byHead.Find(hash, func(h uint32) bool { return n.heads.at(h).head == x }), hash
}

// findTail does the same for a tail. The empty one is 0 and always known.
func (n *names) findTail(x tail) (h uint32, hash uint64, known bool) {
	if x == (tail{}) {
		return 0, 0, true
	}
	hash = n.hashTail(x)
	h = n.byTail.Find(hash, func(h uint32) bool { return n.tail(h) == x })
	return h, hash, h != 0
}

// takeHead finds or adds a head and refers to it once more.
func (n *names) takeHead(x head) uint32 {
	h, hash := n.findHead(x)
	if h == 0 {
		h = n.heads.alloc()
		n.heads.at(h).head = x
		n.byHead.Insert(hash, h)
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
			t.name, t.refs = x.host, hostTail
		default:
			t.rare = n.rare.alloc()
			*n.rare.at(t.rare) = x
		}
		n.byTail.Insert(hash, h)
	}
	if h != 0 {
		n.tails.at(h).refs++
	}
	return h
}

// NameID names a domain as long as somebody refers to it, in a key or by Name.
type NameID uint32

// Name finds or adds the name of a domain, not empty, and refers to it once more. It is
// kept once, whoever else names it.
func (e *Engine) Name(domain string) NameID { return NameID(e.names.takeTail(tail{domain: domain})) }

// FindName finds the name of a domain, 0 if nobody refers to it.
func (e *Engine) FindName(domain string) NameID {
	h, _, _ := e.names.findTail(tail{domain: domain})
	return NameID(h)
}

// Names is one above the highest NameID given so far.
func (e *Engine) Names() int { return int(e.names.tails.next) }

// NameText is the name.
func (e *Engine) NameText(n NameID) string { return e.names.tails.at(uint32(n)).name }

// DropName drops a reference that Name gave.
func (e *Engine) DropName(n NameID) { e.names.dropTail(uint32(n)) }

func (n *names) drop(head, tail uint32) {
	if x := n.heads.at(head); x.refs == 1 {
		n.byHead.Remove(head)
		n.heads.release(head)
	} else {
		x.refs--
	}
	n.dropTail(tail)
}

func (n *names) dropTail(tail uint32) {
	if tail == 0 {
		return
	}
	if x := n.tails.at(tail); x.refs&^hostTail == 1 {
		n.byTail.Remove(tail)
		if x.rare != 0 {
			n.rare.release(x.rare)
		}
		n.tails.release(tail)
	} else {
		x.refs--
	}
}
