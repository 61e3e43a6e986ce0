package sim

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/sched"
)

// The table of limits in the manual, row by row, for one connection: the referee's own
// reading of a configuration. It shares nothing with policy and limit, so that a mistake
// there cannot hide.

// whose names a connection.
type whose struct {
	binding, domain, host string
	addr                  netip.Addr
}

// ceiling is one counter that a connection is on.
type ceiling struct {
	key          string
	max, reserve int
}

// found is a value with the path of the stanza that set it.
type found struct {
	*assign
	path string
}

func (f found) ok() bool { return f.assign != nil }

// reading is a configuration as one connection sees it.
type reading struct {
	whose
	root, group, own *stanza
	out              []ceiling
}

// ceilings lists every counter of a connection.
func (s *stanza) ceilings(w whose) []ceiling {
	r := &reading{whose: w, root: s}
	r.group, r.own = s.binding(w.binding)
	r.pairs()
	r.pools()
	r.servers()
	r.hosts()
	return r.out
}

// inside is the stanza of a kind in a container that wins an option for a name: the
// exact label, then patterns in the order of the file.
func inside(c *stanza, kind, name, option string) found {
	if c == nil {
		return found{}
	}
	for _, x := range c.in {
		if a := x.get(option); a != nil && x.kind == kind && x.label == name {
			return found{a, x.path}
		}
	}
	for _, x := range c.in {
		if a := x.get(option); a != nil && x.kind == kind && x.re != nil && x.re.MatchString(name) {
			return found{a, x.path}
		}
	}
	return found{}
}

// blocks is the same for an address: the longest block.
func blocks(c *stanza, addr netip.Addr, option string) (best found) {
	if c == nil {
		return best
	}
	bits := -1
	for _, x := range c.in {
		if a := x.get(option); a != nil && x.kind == "host" && x.block.IsValid() && x.block.Contains(addr) && x.block.Bits() > bits {
			best, bits = found{a, x.path}, x.block.Bits()
		}
	}
	return best
}

func itself(c *stanza, option string) found {
	if a := c.get(option); a != nil {
		return found{a, c.path}
	}
	return found{}
}

func first(all ...found) found {
	for _, f := range all {
		if f.ok() {
			return f
		}
	}
	return found{}
}

// inBinding is the value of the binding's own domain stanza.
func (r *reading) inBinding(option string) found { return inside(r.own, "domain", r.domain, option) }

// chain is how a value is found for a domain.
func (r *reading) chain(option string) found {
	return first(
		r.inBinding(option),
		inside(r.group, "domain", r.domain, option),
		itself(r.own, option),
		itself(r.group, option),
		inside(r.root, "domain", r.domain, option),
		itself(r.root, option),
	)
}

// add notes a counter whose key is made of the parts, in the order group, binding,
// domain, host, address, stanza.
func (r *reading) add(option string, f found, reserve int, parts ...string) {
	if !f.ok() || f.n < 0 {
		return
	}
	key := strings.Join(parts, "/")
	if key == "" {
		key = "server"
	}
	r.out = append(r.out, ceiling{option + " " + key, f.n, reserve})
}

func (r *reading) groupName() string { return r.group.label }

// pairs: (b, d), or (b, S) where the binding's domain stanza pools it.
func (r *reading) pairs() {
	if f := r.inBinding(optScope); f.ok() {
		r.add(optScope, f, 0, r.binding, f.path)
	} else {
		r.add(optMax, first(r.chain(optMax), found{assign: &assign{n: 32}}), 0, r.binding, r.domain)
	}
	if f := r.inBinding("cluster_" + optScope); f.ok() {
		r.add("cluster_"+optScope, f, 0, r.binding, f.path)
		return
	}
	own := found{}
	if r.group == nil { // not valid inside a group
		own = first(r.inBinding("cluster_"+optMax), itself(r.own, "cluster_"+optMax))
	}
	r.add("cluster_"+optMax, first(own, inside(r.root, "domain", r.domain, "cluster_"+optMax), itself(r.root, "cluster_"+optMax)), 0, r.binding, r.domain)
}

// pools: every enclosing container that sets scope_max.
func (r *reading) pools() {
	for _, option := range []string{optScope, "cluster_" + optScope} {
		if r.group != nil {
			f := inside(r.group, "domain", r.domain, option)
			r.add(option, f, 0, r.groupName(), f.path)
			r.add(option, itself(r.group, option), 0, r.groupName())
		}
		f := inside(r.root, "domain", r.domain, option)
		r.add(option, f, 0, f.path)
		r.add(option, itself(r.own, option), 0, r.binding)
	}
}

// servers: the whole server, and all of a binding.
func (r *reading) servers() {
	for _, option := range []string{optServer, "cluster_" + optServer} {
		r.add(option, first(itself(r.own, option), itself(r.group, option)), 0, r.binding)
	}
	if f := itself(r.root, optScope); f.ok() {
		r.add(optScope, f, 0)
	} else {
		reserve := first(itself(r.root, "server_reserve_outbound_connections"), found{assign: &assign{n: 200}})
		r.add(optServer, first(itself(r.root, optServer), found{assign: &assign{n: 75000}}), reserve.n)
	}
	if f := itself(r.root, "cluster_"+optScope); f.ok() {
		r.add("cluster_"+optScope, f, 0)
	} else {
		r.add("cluster_"+optServer, itself(r.root, "cluster_"+optServer), 0)
	}
}

// hosts: by the host's name, and apart from it by its address.
func (r *reading) hosts() {
	for _, by := range []struct {
		name string
		win  func(c *stanza, option string) found
	}{
		{r.host, func(c *stanza, option string) found { return inside(c, "host", r.host, option) }},
		{r.addr.String(), func(c *stanza, option string) found { return blocks(c, r.addr, option) }},
	} {
		r.add(optMax, first(by.win(r.own, optMax), by.win(r.group, optMax), by.win(r.root, optMax)), 0, r.binding, by.name)
		for _, option := range []string{optScope, "cluster_" + optScope} {
			f := by.win(r.own, option)
			r.add(option, f, 0, r.binding, f.path)
			if r.group != nil {
				f = by.win(r.group, option)
				r.add(option, f, 0, r.groupName(), f.path)
			}
			f = by.win(r.root, option)
			r.add(option, f, 0, f.path)
		}
	}
	if r.group == nil {
		r.add("cluster_"+optMax, inside(r.own, "host", r.host, "cluster_"+optMax), 0, r.binding, r.host)
	}
	r.add("cluster_"+optMax, inside(r.root, "host", r.host, "cluster_"+optMax), 0, r.host)
}

// gauge is one rate that an act falls under.
type gauge struct {
	key string
	rate
	recipients bool // are counted, not transactions
}

// cost is what a transaction costs.
func (g gauge) cost(d sched.Deliver) int64 {
	if g.recipients {
		return int64(len(d.Recipients))
	}
	return 1
}

// gauges lists the rates of opening a connection ("connections") or of sending over it
// ("messages"). Recipients are counted by max_message_rate, transactions by throttles.
func (s *stanza) gauges(w whose, act string) (out []gauge) {
	r := &reading{whose: w, root: s}
	r.group, r.own = s.binding(w.binding)
	add := func(option string, f found, parts ...string) {
		if f.ok() && f.rate != nil && f.rate.n > 0 {
			out = append(out, gauge{option + " " + strings.Join(parts, "/"), *f.rate, option == "max_message_rate"})
		}
	}
	for _, option := range []string{"outbound_throttle_" + act, "cluster_outbound_throttle_" + act} {
		for _, f := range []found{
			r.chain(option),
			first(inside(r.own, "host", r.host, option), inside(r.group, "host", r.host, option), inside(r.root, "host", r.host, option)),
			first(blocks(r.own, r.addr, option), blocks(r.group, r.addr, option), blocks(r.root, r.addr, option)),
		} {
			add(option, f, f.path)
		}
	}
	pair := map[string]string{"connections": "max_connect_rate", "messages": "max_message_rate"}[act]
	add(pair, r.chain(pair), r.binding, r.domain)
	return out
}

func (c ceiling) String() string {
	return fmt.Sprintf("%s (limit %d, reserve %d)", c.key, c.max, c.reserve)
}
