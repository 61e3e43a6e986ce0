package sim

import (
	"fmt"
	"slices"
)

// referee counts connections by names, from Connect to Closed, and rates act by act. It
// knows nothing of the limit engine: every count is made anew from the list of
// connections.
type referee struct {
	open map[string]int // by plain names, for scenarios
	Peak map[string]int

	Moves int // connections that went from one queue to another

	windows   map[string]*window
	reloading bool // the machine is still taking over a configuration: the one before may hold, too
}

func (r *referee) reset() {
	r.open, r.Peak, r.Moves, r.windows = map[string]int{}, map[string]int{}, 0, map[string]*window{}
}

// standing is what a connection counts on, under the configuration that holds and, while
// the machine is taking it over, under the one before.
type standing struct {
	now, before []ceiling
}

func (r *referee) opened(w *World, c *conn) {
	r.counts(w, c, "opened as")
	for _, g := range w.gauges(c, "connections") {
		r.spend(w, g, 1, c, "connections")
	}
}

// counts takes a connection into all counts that it falls under now.
func (r *referee) counts(w *World, c *conn, how string) {
	for _, name := range []string{"server", c.Binding, c.Domain, c.Host, c.Binding + "/" + c.Domain, c.Binding + "/" + c.Host, c.Address.String()} {
		r.add(c, name)
	}
	r.name(c, w.under(c.whose()).domain)
	c.on = w.standing(c)
	poor := r.holdsNothing(w, c)
	over := r.judge(w, c.on.now, poor, func(o *conn) []ceiling { return o.on.now })
	if over != "" && r.reloading {
		over = r.judge(w, c.on.before, poor, func(o *conn) []ceiling { return o.on.before })
	}
	switch {
	case over == "":
	case r.catchUp(w):
		r.closed(c)
		c.keys = nil
		r.counts(w, c, how)
	default:
		w.fail("%v is %s connection %s", c, how, over)
	}
}

// catchUp counts connections where the list of connections has them, and reports whether
// any had moved. One that goes on for another queue is heard of when it delivers; while
// DNS is asked whether it may, it holds no mail and counts there all the same.
func (r *referee) catchUp(w *World) (any bool) {
	for cursor := ""; w.m != nil; {
		held, next := w.m.Held(cursor, 100)
		for _, h := range held {
			c := w.conns[h.Conn]
			if c != nil && len(c.parts) == 0 && (c.Domain != h.Domain || c.Tenant != h.Tenant) {
				any = true
				r.moved(w, c, h.Domain, h.Tenant)
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	return any
}

// holdsNothing reports whether the queue that a connection was opened for has no other.
func (r *referee) holdsNothing(w *World, c *conn) bool {
	for _, o := range w.conns {
		if o != c && o.Binding == c.Binding && o.Domain == c.Domain && o.Tenant == c.Tenant {
			return false
		}
	}
	return true
}

// judge says which counter has more connections than its limit, empty if none has.
func (r *referee) judge(w *World, on []ceiling, poor bool, of func(*conn) []ceiling) string {
	for _, k := range on {
		most := k.max
		if poor {
			most += k.reserve
		}
		if n := w.count(k.key, of); n > most {
			return fmt.Sprintf("%d on %s", n, k)
		}
	}
	return ""
}

// count is how many connections stand on a counter.
func (w *World) count(key string, of func(*conn) []ceiling) (n int) {
	for _, o := range w.conns {
		if slices.ContainsFunc(of(o), func(k ceiling) bool { return k.key == key }) {
			n++
		}
	}
	return n
}

// counted is how many connections stand on a counter under the configuration that holds.
func (w *World) counted(key string) int {
	return w.count(key, func(o *conn) []ceiling { return o.on.now })
}

// reload has every connection counted where the new configuration says. What a binding
// that is gone has open stays where it was.
func (r *referee) reload(w *World) {
	r.reloading = true
	r.rerate(w)
	for _, o := range w.conns {
		o.on.before = o.on.now
		if !w.bindingOf(o.Binding).gone {
			r.name(o, w.under(o.whose()).domain)
			o.on.now = w.ceilings(o.whose())
		}
	}
}

func (c *conn) whose() whose { return whose{c.Binding, c.Domain, c.Host, c.Address} }

func (r *referee) add(c *conn, name string) {
	c.keys = append(c.keys, name)
	r.open[name]++
	r.Peak[name] = max(r.Peak[name], r.open[name])
}

// name counts a connection under a routing domain, and no longer under another one.
func (r *referee) name(c *conn, under string) {
	name := "under:" + under
	if c.under == name {
		return
	}
	if i := slices.Index(c.keys, c.under); i >= 0 {
		r.open[c.under]--
		c.keys = slices.Delete(c.keys, i, i+1)
	}
	c.under = name
	r.add(c, name)
}

func (r *referee) closed(c *conn) {
	for _, name := range c.keys {
		r.open[name]--
	}
}

// spend notes an act under a rate, and that it was not one too many in any window.
func (r *referee) spend(w *World, g gauge, cost int64, c *conn, act string) {
	x := r.windows[g.key]
	if x == nil || x.rate != g.rate {
		owed := int64(0)
		if x != nil { // the rate was another one: so much of it may still be owed
			owed = w.now - w.begin + g.rate.burst*int64(g.rate.per)/g.rate.n
		}
		x = newWindow(g.rate)
		x.owed = owed
		r.windows[g.key] = x
	}
	x.spender, x.act = c.whose(), act
	if over := x.add(w.now-w.begin, cost); over != "" {
		w.fail("%v: %s: %s", c, g.key, over)
	}
}

// rerate begins the windows of those rates anew that a configuration has changed. One that
// is changed and changed back must not be missed because nothing was sent in between.
func (r *referee) rerate(w *World) {
	for key, x := range r.windows {
		still := slices.ContainsFunc(w.gaugesOf(x.spender, x.act), func(g gauge) bool { return g.key == key && g.rate == x.rate })
		if !still {
			r.windows[key] = &window{spender: x.spender, act: x.act}
		}
	}
}

// spent tells whether a rate is known to have no token at a time: by the acts under it, or
// because it has changed since the last one, so that what was owed is not known.
func (r *referee) spent(g gauge, at int64) bool {
	x := r.windows[g.key]
	return x != nil && (x.rate != g.rate || at < x.owed || x.ready(at) > at)
}

// refund takes an act back that was not carried out.
func (r *referee) refund(g gauge, at, cost int64) {
	if x := r.windows[g.key]; x != nil && x.rate == g.rate {
		x.remove(at, cost)
	}
}
