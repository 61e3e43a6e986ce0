package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Random furnishes a world by its seed.
func Random(seed uint64) *World { return RandomPlan(seed).World() }

// World furnishes a world as planned.
func (p *Plan) World() *World {
	w := New(p.Seed)
	w.Check = true
	w.books.lag = p.Lag
	w.configure(p.Conf.clone())
	for _, x := range p.Receivers {
		r := w.Receiver(x.Host)
		r.Addresses, r.Latency, r.PerSource = slices.Clone(x.Addresses), x.Latency, x.Bears
		for _, s := range x.Spells {
			w.During(r, s.What, s.From, s.To)
		}
	}
	for _, d := range p.Domains {
		w.domains[d.Name] = &domain{hosts: d.Hosts}
	}
	for i := range p.Acts {
		a := &p.Acts[i]
		w.client(a.At, func() { w.perform(a) })
	}
	return w
}

// perform carries out an act and has it undone after its span.
func (w *World) perform(a *act) {
	undo := func(f func()) { w.client(a.Span, f) }
	switch a.What {
	case "submit":
		b := a.Binding
		if w.bindingOf(b).gone {
			b = "default"
		}
		for range a.N {
			w.Hand(Load{Binding: b, Domain: a.Domain, Tenant: a.Tenant, Job: a.Job, Priority: a.Priority, Named: a.Named, Recipients: a.Rcpt})
		}
	case "suspend":
		ev := sched.Operator{Verb: sched.Suspend, Domain: a.Domain, Binding: a.Binding, Tenant: a.Tenant, By: "chance"}
		w.step(ev)
		ev.Verb = sched.Resume
		undo(func() { w.step(ev) })
	case "fail":
		w.step(sched.Operator{Verb: sched.Fail, Domain: a.Domain, Job: a.Job, By: "chance", Reply: mail.Reply{Enhanced: "5.7.1", Text: "as chance has it"}})
	case "move":
		if a.To != a.Binding && !w.bindingOf(a.To).gone {
			ev := sched.Operator{Verb: sched.Move, Binding: a.Binding, By: "chance"}
			w.targets(&ev, a.To)
			w.step(ev)
		}
	case "retry":
		w.step(sched.Operator{Verb: sched.Retry, Domain: a.Domain})
	case "trouble":
		b := w.bindingOf(a.Binding)
		b.trouble, b.only6 = a.Local, a.Only6
		undo(func() { b.trouble = sched.ConnectOK })
	case "dns":
		if d := w.domains[a.Domain]; d != nil {
			d.fails = a.Class
			undo(func() { d.fails = mail.ClassNone })
		}
	case "mx":
		if d := w.domains[a.Domain]; d != nil {
			d.hosts = a.Hosts
		}
	case "sick":
		w.Spool(false)
		undo(func() { w.Spool(true) })
	case "crash":
		w.wall += int64(a.N) * int64(time.Second)
		w.Crash(a.Span)
	case "set":
		w.performSet(a, undo)
	case "drop":
		w.performDrop(a, undo)
	}
}

// performSet sets an option of a stanza that may have come and gone meanwhile.
func (w *World) performSet(a *act, undo func(func())) {
	change := func(to *assign) (was *assign) {
		root := w.conf.root.clone()
		if s := root.at(a.Path); s != nil {
			if x := s.get(a.Set.option); x != nil {
				keep := *x
				was = &keep
			}
			s.put(a.Set.option, to)
		}
		w.configure(root)
		return was
	}
	was := change(a.Set)
	undo(func() { change(was) })
}

func (w *World) performDrop(a *act, undo func(func())) {
	var parent string
	var gone *stanza
	root := w.conf.root.clone()
	root.all(func(s *stanza) {
		if i := slices.IndexFunc(s.in, func(c *stanza) bool { return c.path == a.Path }); i >= 0 {
			parent, gone = s.path, s.in[i]
			s.in = slices.Delete(s.in, i, i+1)
		}
	})
	if gone == nil {
		return
	}
	w.configure(root)
	undo(func() {
		root := w.conf.root.clone()
		if s := root.at(parent); s != nil && s.find(gone.kind, gone.label) == nil {
			s.in = append(s.in, gone)
		}
		w.configure(root)
	})
}

// checkWaiters looks at everybody who waits on a limit: by the referee's own counts not
// every address that the mail may go to can have room.
func (w *World) checkWaiters() {
	for cursor := ""; ; {
		rows, next := w.m.Queues(w.now, cursor, 200)
		for i := range rows {
			if q := &rows[i]; q.WaitingOn != nil {
				w.checkWaiter(q)
			}
		}
		if cursor = next; cursor == "" {
			return
		}
	}
}

func (w *World) checkWaiter(q *sched.QueueView) {
	if w.bindingOf(q.Binding).gone {
		return
	}
	poor := !slices.ContainsFunc(w.connList(), func(c *conn) bool {
		return c.Binding == q.Binding && c.Domain == q.Domain && c.Tenant == q.Tenant
	})
	route := w.routes[q.Binding+"/"+q.Domain]
	for _, x := range route {
		if !w.roomFor(x.whose, poor) {
			return
		}
	}
	if len(route) > 0 && q.WaitingOn.Kind == "throttle" {
		w.checkThrottled(q, route)
	} else if len(route) > 0 {
		w.fail("queue %s waits on %s %s, but by the list of connections every counter of its path has room", q.Queue, q.WaitingOn.Option, q.WaitingOn.Key)
	}
}

// tokenLate is how long a queue may go on waiting for a connection's token that has come;
// longer only where one is kept for whoever has waited long, and stands now at another
// throttle: for less than the next one takes to come.
const tokenLate = 10 * time.Millisecond

// checkThrottled: by the acts that the referee has seen, not every way that the mail has
// room on may have had a token for some time already.
func (w *World) checkThrottled(q *sched.QueueView, route []way) {
	late := tokenLate
	for _, x := range route {
		at := w.conf.root.gauges(w.under(x.whose), "connections")
		if len(w.conf.root.gauges(w.under(x.whose), "messages")) > 0 {
			return // tokens are taken before the message is seen
		}
		for _, g := range at {
			if x, ok := w.m.ExplainCounter(w.now, g.key, 0); ok && x.Claims > 0 {
				late = max(late, tokenLate+time.Duration(int64(g.per)/g.n))
			}
			if w.referee.spent(g, w.now-w.begin-int64(late)) {
				return
			}
		}
	}
	if w.now-q.WaitingOn.SinceAt > int64(late) && q.WaitingOn.Waiters < 2 {
		w.fail("queue %s waits on %s %s, but it has had a token for %v", q.Queue, q.WaitingOn.Option, q.WaitingOn.Key, late)
	}
}

func (w *World) roomFor(x whose, poor bool) bool {
	for _, k := range w.ceilings(x) {
		most := k.max
		if poor {
			most += k.reserve
		}
		if w.counted(k.key)+w.kept(k) >= most {
			return false
		}
	}
	return true
}

// kept is how many places a counter keeps for those who have waited long, a hundredth of
// the limit at most, or one. Who they are is the one thing that is asked of the machine.
func (w *World) kept(k ceiling) int {
	if n := w.counted(k.key); n >= k.max || n+max(k.max/100, 1) < k.max {
		return 0 // it makes no difference
	}
	x, ok := w.m.ExplainCounter(w.now, k.key, 0)
	if !ok {
		return 0
	}
	return min(x.Claims, max(k.max/100, 1))
}

func (w *World) connList() []*conn {
	out := make([]*conn, 0, len(w.conns))
	for _, c := range w.conns { // a set: the order does not matter
		out = append(out, c)
	}
	return out
}

// explain is what the machine says about its queues, for a world that failed.
func (w *World) explain() string {
	if w.m == nil {
		return ""
	}
	var b strings.Builder
	rows, _ := w.m.Queues(w.now, "", 20)
	for i := range rows {
		q := &rows[i]
		b.WriteString(w.explainQueue(q.Queue))
		if c := q.WaitingOn; c != nil {
			fmt.Fprintf(&b, "  by the list of connections %s %s has %d\n", c.Option, c.Key, w.counted(c.Option+" "+c.Key))
		}
	}
	return b.String()
}

// explainQueue is the text that explain prints of a queue; times are those of the world.
func (w *World) explainQueue(name string) string {
	x, ok := w.m.Explain(w.now, name)
	if !ok {
		return ""
	}
	var b strings.Builder
	if x.SinceAt != 0 {
		x.Since = time.Duration(x.SinceAt - w.begin).String()
	}
	if x.NextAt != 0 {
		x.Next = time.Duration(x.NextAt - w.begin).String()
	}
	x.Text(&b, sched.Style{})
	return b.String()
}
