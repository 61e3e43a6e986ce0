package sched

import (
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/mail"
)

// laneRoute is what a lane knows of where its mail may go.
type laneRoute struct {
	*site  // noSite: nothing
	until  int64
	class  mail.Class
	known  bool
	asking bool
	begun  bool // it has been asked for
	owes   bool // a message of the lane is to be deferred for a connection that failed
	closed bool // suspended, by an operator or the configuration
	partly bool // the domain has more hosts than these
}

// reply is why there is no route.
func (l *lane) reply() mail.Reply {
	if l.said == nil {
		return mail.Reply{}
	}
	return *l.said
}

// routed reports whether the lane has a route, good or bad, and asks for one if not.
//
// Whoever has waited for its turn (from) does not lose it to a question: it opens its
// connection by the answer that has run out, and gives it no message until there is
// another one.
func (m *Machine) routed(h uint32, l *lane, from limit.CounterID) bool {
	r := &l.route
	r.begun = true
	if r.known && m.now < r.until {
		return true
	}
	m.ask(h, l)
	return from != 0 && r.asking && r.known && r.until > 0 && r.class == mail.ClassDelivered
}

// ask asks where the lane's mail goes, unless that is under way.
func (m *Machine) ask(h uint32, l *lane) {
	if r := &l.route; !r.asking && l.timer == noTimer {
		r.asking, m.needMore(l).asked = true, m.generation
		b, d := m.laneNames(l)
		m.emit(Resolve{Binding: b, Domain: d, Policy: l.policy})
	}
}

// refresh asks again in time where mail goes that has all the connections it may have, or
// a place in line: its hosts, and what they are counted under, may be others by now.
func (m *Machine) refresh(q *queue, l *lane) {
	r := &l.route
	if q.ready.n == 0 || !r.known || m.now < r.until || m.stopping || m.held || l.route.closed || m.bindingOf(q).gone {
		return
	}
	m.ask(q.lane, l)
}

const (
	leastAnswer = int64(time.Second)      // an answer holds at least so long
	localPause  = int64(2 * time.Second)  // first pause when no resolver answers
	mostPause   = int64(60 * time.Second) // longest one
)

func (m *Machine) resolved(ev *Resolved) {
	h, ok := m.findLane(ev.Binding, ev.Domain)
	if !ok {
		return // its mail is gone meanwhile
	}
	l := m.lanes.at(h)
	r := &l.route
	if !r.asking {
		return
	}
	asked := l.asked
	r.asking, l.asked = false, 0
	same := false
	switch {
	case asked < m.generation, ev.Policy != nil && ev.Generation < l.generation:
		r.known = false // answered under a configuration that is no more: asked again
	case ev.Class == mail.ClassLocal:
		x := m.needMore(l)
		if x.trouble++; x.trouble == 1 {
			m.emit(Log{Level: Warn, Subject: "resolver", Text: fmt.Sprintf("no answer for %s: %s", ev.Domain, ev.Reply)})
		}
		reply := ev.Reply
		x.said = &reply
		m.recount(l, nil, true)
		x.timer = m.wheel.set(m.now+m.jitter(backoff(localPause, mostPause, int(x.trouble))), timerLane, h)
	default:
		m.needMore(l).trouble = 0
		same = m.takeAnswer(h, l, ev, asked)
	}
	m.tidy(l)
	m.stirLane(l, same)
}

// takeAnswer takes over where a lane's mail goes, and what it is counted under. It reports
// whether all is as it was.
func (m *Machine) takeAnswer(h uint32, l *lane, ev *Resolved, asked uint64) (same bool) {
	r := &l.route
	same = r.known && r.class == mail.ClassDelivered && ev.Class == mail.ClassDelivered && m.sameHosts(r.site, ev.Hosts)
	r.partly = len(ev.MX) > len(ev.Hosts)
	changed, others := false, false
	f := m.noneOf(ev, r.site)
	if ev.Class == mail.ClassDelivered {
		changed = m.reroute(h, ev)
		f = foundBy(ev, asked)
		others = r.digest != 0 && r.digest != f.digest
	}
	r.known, r.until = true, max(ev.Until, m.now+leastAnswer)
	r.class, m.needMore(l).said = ev.Class, nil
	if ev.Class != mail.ClassDelivered {
		reply := ev.Reply
		l.said = &reply
	}
	if same = same && !changed; !same || f.saysMore(r.site) {
		m.findSite(l, &f)
	}
	if len(r.addrs) == 0 && r.class == mail.ClassDelivered {
		r.class = mail.ClassDeferred
		l.said = &mail.Reply{Enhanced: "4.4.4", Text: "no host of the domain has an address that can be used", Stage: mail.StageResolve}
	}
	switch {
	case ev.Class != mail.ClassDelivered:
		m.recount(l, nil, true)
	case others || l.doubtful > 0:
		m.recount(l, hostNames(ev), false)
	case changed:
		m.recount(l, nil, false)
	}
	return same
}

// backoff doubles from first to most with each trouble in a row, from 1.
func backoff(first, most int64, n int) int64 {
	return min(first<<min(max(n-1, 0), 20), most)
}

// laneTimer: the pause after a resolver's silence is over.
func (m *Machine) laneTimer(h uint32) {
	l := m.lanes.at(h)
	l.timer = noTimer
	m.tidy(l)
	m.touchLane(l)
}

// touchLane has all queues of a lane begin anew: those of many tenants in slices.
func (m *Machine) touchLane(l *lane) { m.stirLane(l, false) }

// stirLane has all queues of a lane looked at; with keep, those that wait in line stay
// there.
func (m *Machine) stirLane(l *lane, keep bool) {
	m.eachOn(l, func(h uint32) {
		if keep {
			m.touch(h)
		} else {
			m.replace(h)
		}
	})
}

// eachOn does something with each queue of a lane: of very many in slices.
func (m *Machine) eachOn(l *lane, do func(h uint32)) {
	if l.queues.n > budget/4 {
		key := l.key
		m.eachQueue(func(h uint32, q *queue) {
			if m.lanes.at(q.lane).key == key {
				do(h)
			}
		})
		return
	}
	m.visits -= int(l.queues.n)
	for h := l.queues.head; h != 0; h = m.queues.at(h).next {
		do(h)
	}
}
