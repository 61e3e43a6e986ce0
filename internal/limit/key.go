package limit

import "net/netip"

// Key says what a counter counts together. Fields that are not part of the count
// are empty: {Option: "max_outbound_connections", Binding: "ip-1", Domain: "one.test"}
// counts the connections of one binding to one domain; only Option set is the whole
// server. Option is part of the key, so two options never share a counter.
type Key struct {
	Option  string
	Binding string
	Group   string
	Domain  string
	Host    string
	Address netip.Addr
	Stanza  string // container and label: survives a reload that keeps the stanza
	Sent    bool   // the twin of a throttle of messages that counts them as they are handed out
}

// String is the key as explain, metrics and commands print it: its parts joined by
// "/", or "server".
func (k Key) String() string {
	s := ""
	for _, p := range [...]string{k.Group, k.Binding, k.Domain, k.Host} {
		if p != "" {
			s = join(s, p)
		}
	}
	if k.Address.IsValid() {
		s = join(s, k.Address.String())
	}
	if k.Stanza != "" {
		s = join(s, k.Stanza)
	}
	if s == "" {
		return "server"
	}
	return s
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "/" + b
}

const maxRank = 6

// rank says how specific a key is: the number of names in it.
func (k Key) rank() uint8 {
	n := uint8(0)
	for _, s := range [...]string{k.Binding, k.Group, k.Domain, k.Host, k.Stanza} {
		if s != "" {
			n++
		}
	}
	if k.Address.IsValid() {
		n++
	}
	return n
}
