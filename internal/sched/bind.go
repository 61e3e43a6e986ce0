package sched

import (
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/route"
)

// othersFor is how long an answer to Rebind holds for mail that comes after it.
const othersFor = int64(time.Minute)

// others is what is known of the bindings that could take over a lane's mail.
type others struct {
	asked      int64
	candidates []Candidate
}

// askRebind asks once a minute, as long as a lane has ready mail that its binding
// cannot send, who else could; mail that comes between is moved by the last answer.
func (m *Machine) askRebind(l *lane) {
	b := &m.names.bindings[l.key.binding]
	if m.stopping || l.policy.Group == "" && !b.gone {
		return
	}
	if o := l.others; o != nil && m.now-o.asked < othersFor {
		if len(o.candidates) > 0 {
			m.moveLane(l)
		}
		return
	}
	l.others = &others{asked: m.now}
	name, d := m.laneNames(l)
	m.emit(Rebind{Binding: name, Domain: d, Group: l.policy.Group, Reason: m.rebindReason(l)})
}

func (m *Machine) rebindReason(l *lane) string {
	switch b := &m.names.bindings[l.key.binding]; {
	case b.gone:
		return "the binding has been removed"
	case l.suspended:
		return "the binding is suspended"
	default:
		return "the binding's address is not on this machine"
	}
}

func (m *Machine) rebound(ev *Rebound) {
	h, ok := m.findLane(ev.Binding, ev.Domain)
	if !ok {
		return
	}
	l := m.lanes.at(h)
	if l.others == nil {
		return // the trouble is over
	}
	l.others.candidates = nil
	for _, c := range ev.Candidates {
		if m.usable(&c, ev) {
			l.others.candidates = append(l.others.candidates, c)
		}
	}
	if len(l.others.candidates) > 0 {
		m.moveLane(l)
	} else if m.names.bindings[l.key.binding].gone {
		m.emit(Log{Level: Warn, Subject: "binding " + ev.Binding, Text: "is gone, and no other can take its mail for " + ev.Domain})
	}
}

func (m *Machine) usable(c *Candidate, ev *Rebound) bool {
	if c.Binding == ev.Binding || c.Policy == nil || c.Policy.Suspended || m.suspended(c.Binding, ev.Domain) != nil {
		return false
	}
	b, known := m.names.bindingOf[c.Binding]
	if !known {
		return true
	}
	x := &m.names.bindings[b]
	return !x.gone && (x.gate == 0 || m.gates.at(x.gate).level == 0)
}

// moveLane gives the lane's parts, as far as they are not on a connection, to the
// other bindings: a part a visit.
func (m *Machine) moveLane(l *lane) {
	if l.moving {
		return
	}
	l.moving = true
	key := l.key
	m.jobs.push(&job{end: func() uint32 { return 1 }, do: func(uint32) bool {
		h, ok := m.laneOf[key]
		if !ok {
			return false
		}
		l := m.lanes.at(h)
		if l.others != nil && len(l.others.candidates) > 0 {
			for q := l.queues.head; q != 0; q = m.queues.at(q).next {
				x := m.queues.at(q)
				part := x.waiting.head
				if x.ready.n > 0 {
					part = m.nextReady(x)
				}
				if part != 0 {
					m.movePart(part, l.others.candidates)
					m.touch(q)
					return true
				}
			}
		}
		l.moving = false
		return false
	}})
}

func (m *Machine) movePart(h uint32, to []Candidate) {
	p := m.parts.at(h)
	msg := m.messages.at(p.msg)
	cands := make([]route.Candidate, len(to))
	for i := range to {
		cands[i] = route.Candidate{Name: to[i].Binding, Weight: to[i].Weight}
	}
	c := &to[route.Pick(msg.id, cands)]
	old := m.queues.at(p.queue)
	_, domain := m.laneNames(m.lanes.at(old.lane))
	lane := m.laneFor(c.Binding, domain, c.Policy, c.Generation)
	m.leave(h)
	m.gone(h)
	p.queue = m.queueFor(lane, old.tenant)
	p.rebound = true
	m.enter(h, false)
	rcpt := m.recipients(p)
	states := make([]mail.RecipientState, len(rcpt))
	for i, r := range rcpt {
		states[i] = mail.RecipientState{Index: r, Attempts: int(p.attempts), Next: p.due, Binding: c.Binding, Group: c.Policy.Group}
	}
	m.push(result{after: m.account, id: msg.id, kind: resultPersist, states: states})
}
