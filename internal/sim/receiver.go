package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Behaviour is what goes wrong at a receiver for some time.
type Behaviour string

const (
	Refuses  Behaviour = "refuses"  // connect() is refused
	Stalls   Behaviour = "stalls"   // connect() times out after a minute
	Busy     Behaviour = "busy"     // 421 at the greeting
	Defers   Behaviour = "defers"   // 4xx to every recipient
	Rejects  Behaviour = "rejects"  // 5xx to every recipient
	Dies     Behaviour = "dies"     // the connection ends inside each transaction
	Drops    Behaviour = "drops"    // the connection ends before each transaction begins
	NoTLS    Behaviour = "notls"    // every TLS handshake fails
	Fewer    Behaviour = "fewer"    // one recipient a transaction; 452 to the others
	Flickers Behaviour = "flickers" // each of the above at random, a tenth of the time
	Hangs    Behaviour = "hangs"    // connections opened meanwhile are silent in a transaction until it times out, after ten minutes
)

// behaviours is what random worlds draw from. Hangs is not among them: over ten minutes an
// aged claim rightly keeps a slot free, which their check of waiters does not know of.
var behaviours = []Behaviour{Refuses, Stalls, Busy, Defers, Rejects, Dies, Drops, NoTLS, Fewer, Flickers}

// Receiver is a host that takes mail. It counts the connections that it holds.
type Receiver struct {
	Host      string
	Addresses []netip.Addr
	Latency   time.Duration // of each exchange
	PerSource int           // connections that it bears from a binding; 0: any number
	spells    []spell
	open      int
	bySource  map[string]int
	Peak      int
	accepted  int
	refused   int // connections turned away with 421
}

type spell struct {
	what     Behaviour
	from, to int64
}

// Receiver finds or makes a receiver, with one address of its own.
func (w *World) Receiver(name string) *Receiver {
	r := w.receivers[name]
	if r == nil {
		n := len(w.receivers) + 1
		r = &Receiver{
			Host: name, Latency: 5 * time.Millisecond, bySource: map[string]int{},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})},
		}
		w.receivers[name] = r
	}
	return r
}

// During has the receiver behave so from one time to another, counted from the
// beginning of the world.
func (w *World) During(r *Receiver, what Behaviour, from, to time.Duration) {
	r.spells = append(r.spells, spell{what, w.begin + int64(from), w.begin + int64(to)})
}

func (w *World) behaves(r *Receiver, what Behaviour) bool {
	for _, s := range r.spells {
		if w.now < s.from || w.now >= s.to {
			continue
		}
		if s.what == what || s.what == Flickers && what != Hangs && w.rng.IntN(10) == 0 {
			return true
		}
	}
	return false
}

// handed is a part with the time at which it was handed out.
type handed struct {
	sched.Deliver
	at int64
}

// conn is one connection as the driver and the receiver know it.
type conn struct {
	sched.Connect
	recv    *Receiver
	group   string
	parts   []handed // in progress first
	keys    []string // of the referee, by plain names
	under   string   // of these, the one of its routing domain
	on      standing // what the referee counts it on
	up      bool
	hangs   bool
	busy    bool // inside a transaction
	ending  bool // the driver has been told to end it, or the receiver has
	counted bool // by the receiver
	class   sched.ConnectClass
}

func (w *World) resolve(a sched.Resolve) {
	asked := w.generation
	w.after(w.vary(2*time.Millisecond), func() {
		ev := sched.Resolved{Binding: a.Binding, Domain: a.Domain, Until: w.now + int64(5*time.Minute)}
		if ev.Class = mail.ClassDelivered; w.domains[a.Domain] != nil && w.domains[a.Domain].fails != mail.ClassNone {
			ev.Class = w.domains[a.Domain].fails
			ev.Reply = mail.Reply{Text: "DNS says " + ev.Class.String(), Stage: mail.StageResolve}
		} else {
			w.answer(&ev, asked)
		}
		w.step(ev)
	})
}

// answer tells the hosts of a domain, and what it is counted under. One to a question
// from before a reload is not taken.
func (w *World) answer(ev *sched.Resolved, asked uint64) {
	key := ev.Binding + "/" + ev.Domain
	ways := w.routes[key][:0]
	for _, h := range w.hostsOf(ev.Domain) {
		r := w.Receiver(h.name)
		for _, addr := range r.Addresses {
			ways = append(ways, way{whose{ev.Binding, ev.Domain, h.name, addr}, h.tls})
		}
		ev.MX = append(ev.MX, h.name)
		ev.Hosts = append(ev.Hosts, sched.RouteHost{
			Name: h.name, Preference: h.preference, Addresses: slices.Clone(r.Addresses), Port: 25,
			TLS: h.tls, Policy: w.hostPolicy(ev.Binding, r, r.Addresses),
		})
	}
	w.routes[key] = ways
	ev.Best = len(w.bestOf(ev.Domain))
	ev.Routing, ev.Policy = w.routed(ev.Binding, ev.Domain, ev.MX[:ev.Best])
	if ev.Generation = w.generation; asked == w.generation {
		w.tell(ev)
	}
}

func (w *World) connect(a sched.Connect) {
	r := w.receivers[a.Host]
	b := w.bindingOf(a.Binding)
	c := &conn{Connect: a, recv: r, group: b.group}
	w.conns[a.Conn] = c
	w.referee.opened(w, c)
	if w.stopped {
		w.fail("a connection is opened after the stop")
	}
	if b.trouble != sched.ConnectOK && (!b.only6 || a.Address.Is6()) && (b.troubleTo == "" || b.troubleTo == a.Host) {
		w.after(time.Millisecond, func() { w.connectFails(c, b.trouble, "no such address") })
		return
	}
	w.after(w.vary(r.Latency), func() { w.arrives(c) })
}

// arrives: the SYN is at the receiver.
func (w *World) arrives(c *conn) {
	if c.ending {
		return
	}
	r := c.recv
	switch {
	case w.behaves(r, Refuses):
		w.connectFails(c, sched.ConnectHost, "connection refused")
		return
	case w.behaves(r, Stalls):
		w.after(time.Minute, func() { w.connectFails(c, sched.ConnectHost, "connection timed out") })
		return
	}
	c.counted = true
	r.open++
	r.bySource[c.Binding]++
	r.accepted++
	r.Peak = max(r.Peak, r.open)
	w.after(w.vary(r.Latency), func() {
		switch {
		case c.ending:
		case r.PerSource > 0 && r.bySource[c.Binding] > r.PerSource, w.behaves(r, Busy):
			r.refused++
			w.connectFails(c, sched.ConnectBusy, "421 too many connections")
		case c.TLS != sched.TLSNo && w.behaves(r, NoTLS):
			w.connectFails(c, sched.ConnectTLS, "handshake failed")
		default:
			c.up, c.hangs = true, w.behaves(r, Hangs)
			w.step(sched.Connected{Conn: c.Conn, TLS: c.TLS != sched.TLSNo})
			w.want(c)
		}
	})
}

func (w *World) connectFails(c *conn, class sched.ConnectClass, text string) {
	if c.ending {
		return
	}
	c.ending = true
	w.step(sched.ConnectFailed{Conn: c.Conn, Class: class, Reply: mail.Reply{Text: text, Stage: mail.StageConnect}})
	w.after(w.vary(c.recv.Latency), func() { w.gone(c, class) })
}

// want gives credit for one more part.
func (w *World) want(c *conn) {
	if !c.ending {
		w.step(sched.Wants{Conn: c.Conn, N: 1})
	}
}

func (w *World) deliver(a sched.Deliver) {
	c := w.conns[a.Conn]
	switch {
	case c == nil || !c.up:
		w.fail("part %d is handed to connection %d, which is not open", a.Part, a.Conn)
		return
	case w.books.sick:
		w.fail("part %d is handed out while outcomes cannot be written (S7)", a.Part)
	}
	w.carries(c, a)
	c.parts = append(c.parts, handed{a, w.now})
	for _, g := range w.gauges(c, "messages") {
		w.referee.spend(w, g, g.cost(a), c, "messages")
	}
	w.checkHost(c, a)
	if len(c.parts) > 2 {
		w.fail("connection %d holds %d parts", a.Conn, len(c.parts))
	}
	if c.ending { // it crossed the end
		w.after(0, func() { w.giveBack(c) })
		return
	}
	if len(c.parts) == 1 {
		w.after(0, func() { w.transact(c) })
	}
}

// transact carries out the first part of a connection.
func (w *World) transact(c *conn) {
	if c.ending || c.busy || len(c.parts) == 0 {
		return
	}
	if w.behaves(c.recv, Drops) {
		w.endBy(c)
		return
	}
	d := c.parts[0].Deliver
	dies, takes := w.behaves(c.recv, Dies), w.vary(c.recv.Latency)
	if c.hangs {
		dies, takes = true, 10*time.Minute
	}
	c.busy = true
	w.after(0, func() { w.want(c) })
	w.after(takes, func() {
		if !c.busy { // broken off meanwhile
			return
		}
		c.busy = false
		w.judge(c, d, dies)
		switch {
		case dies, c.ending:
			w.endBy(c)
		default:
			w.transact(c)
		}
	})
}

// judge decides on a transaction's recipients.
func (w *World) judge(c *conn, d sched.Deliver, dies bool) {
	out := make([]mail.Outcome, len(d.Recipients))
	class, code := mail.ClassDelivered, 250
	switch {
	case dies:
		class, code = mail.ClassDeferred, 0
	case w.behaves(c.recv, Defers):
		class, code = mail.ClassDeferred, 451
	case w.behaves(c.recv, Rejects):
		class, code = mail.ClassRefused, 550
	}
	fewer := class == mail.ClassDelivered && w.behaves(c.recv, Fewer)
	for i, r := range d.Recipients {
		out[i] = mail.Outcome{Recipient: r, Class: class, Reply: mail.Reply{Code: code, Text: "as the scenario says"}}
		if fewer && i > 0 {
			out[i].Class, out[i].Reply.Code = mail.ClassTooMany, 452
		}
		if out[i].Class == mail.ClassDelivered {
			w.books.arrived(w, d.Message, r)
		}
	}
	c.parts = c.parts[1:]
	w.step(sched.Attempted{Conn: c.Conn, Part: d.Part, Outcomes: out})
}

// recall gives a part back that is not in progress.
func (w *World) recall(a sched.Recall) {
	w.after(0, func() {
		c := w.conns[a.Conn]
		for i := 1; c != nil && i < len(c.parts); i++ {
			if c.parts[i].Part == a.Part {
				c.parts = slices.Delete(c.parts, i, i+1)
				w.Recalled++
				w.step(sched.Returned{Conn: a.Conn, Part: a.Part})
				return
			}
		}
	})
}

func (w *World) close(a sched.Close) {
	c := w.conns[a.Conn]
	if c == nil {
		w.fail("connection %d is closed, but it is gone", a.Conn)
		return
	}
	w.after(0, func() {
		if c.ending {
			return
		}
		busy := c.busy && a.How == sched.CloseAfterMessage
		c.class = sched.ConnectOK
		if a.How == sched.CloseAbort {
			c.class = sched.ConnectAborted
		}
		c.ending = true
		if c.busy && a.How == sched.CloseAbort {
			w.breakOff(c)
		}
		if !busy {
			w.endBy(c)
		}
	})
}

// breakOff ends the transaction in progress: nobody knows what became of it.
func (w *World) breakOff(c *conn) {
	d := c.parts[0].Deliver
	c.parts, c.busy = c.parts[1:], false
	out := make([]mail.Outcome, len(d.Recipients))
	for i, r := range d.Recipients {
		out[i] = mail.Outcome{Recipient: r, Class: mail.ClassLocal, Reply: mail.Reply{Text: "we ended the connection"}}
	}
	w.step(sched.Attempted{Conn: c.Conn, Part: d.Part, Outcomes: out})
}

// endBy ends a connection whose parts, if any are left, were not begun.
func (w *World) endBy(c *conn) {
	c.ending = true
	w.giveBack(c)
	w.after(w.vary(c.recv.Latency), func() { w.gone(c, c.class) })
}

func (w *World) giveBack(c *conn) {
	for len(c.parts) > 0 {
		d := c.parts[len(c.parts)-1]
		c.parts = c.parts[:len(c.parts)-1]
		for _, g := range w.gauges(c, "messages") {
			w.referee.refund(g, d.at-w.begin, g.cost(d.Deliver))
		}
		w.step(sched.Returned{Conn: c.Conn, Part: d.Part})
	}
}

// gone: the receiver has let go.
func (w *World) gone(c *conn, class sched.ConnectClass) {
	if w.conns[c.Conn] != c {
		return
	}
	w.giveBack(c)
	delete(w.conns, c.Conn)
	w.letGo(c)
	w.step(sched.Closed{Conn: c.Conn, Class: class})
}

func (w *World) letGo(c *conn) {
	w.referee.closed(c)
	if c.counted {
		c.recv.open--
		c.recv.bySource[c.Binding]--
	}
}

func (w *World) bindingOf(name string) *binding {
	b := w.bindings[name]
	if b == nil {
		b = &binding{name: name, weight: 1}
		w.bindings[name] = b
	}
	return b
}

func (w *World) rebind(a sched.Rebind) {
	w.after(time.Millisecond, func() {
		ev := sched.Rebound{Binding: a.Binding, Domain: a.Domain, Group: a.Group}
		names := []string{}
		for name, b := range w.bindings {
			if b.group == a.Group && a.Group != "" && !b.gone {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if len(names) == 0 && w.bindingOf(a.Binding).gone {
			names = append(names, "default")
		}
		for _, n := range names {
			b := w.bindingOf(n)
			w.rebounds[a.Domain] = append(w.rebounds[a.Domain], n)
			ev.Candidates = append(ev.Candidates, sched.Candidate{Binding: n, Weight: b.weight, Policy: w.queuePolicy(n, a.Domain, ""), Generation: w.generation})
		}
		w.step(ev)
	})
}

func (c *conn) String() string { return fmt.Sprintf("%s/%s to %s", c.Binding, c.Domain, c.Host) }
