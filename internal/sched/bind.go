package sched

import (
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
)

// othersFor is how long an answer to Rebind holds for mail that comes after it.
const othersFor = int64(time.Minute)

// others is what is known of the bindings that could take over a lane's mail.
type others struct {
	asked   int64
	grouped []Candidate // for mail whose binding was chosen from the group
	plain   []Candidate // for mail that named a binding which is no more
}

// forgetOthers: who could take over is to be asked anew.
func (m *Machine) forgetOthers(l *lane) {
	if l.others != nil {
		l.others = nil
		m.tidy(l)
	}
}

// askRebind asks once a minute, as long as a lane has ready mail that its binding
// cannot send, who else could; mail that comes between goes by the last answer.
func (m *Machine) askRebind(l *lane) {
	b := &m.names.bindings[l.key.binding]
	if m.stopping || !b.gone && (l.policy.Group == "" || l.listed[1] == 0) {
		return
	}
	if o := l.others; o != nil && m.now-o.asked < othersFor {
		return
	}
	if l.others == nil {
		m.needMore(l).others = &others{}
	}
	l.others.asked = m.now
	name, d := m.laneNames(l)
	ask := Rebind{Binding: name, Domain: d, Group: l.policy.Group, Reason: m.rebindReason(l)}
	if ask.Group != "" {
		m.emit(ask)
	}
	if b.gone {
		ask.Group = ""
		m.emit(ask)
	}
}

func (m *Machine) rebindReason(l *lane) string {
	switch b := &m.names.bindings[l.key.binding]; {
	case b.gone:
		return "the binding has been removed"
	case l.route.closed:
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
	var can []Candidate
	for i := range ev.Candidates {
		c := &ev.Candidates[i]
		if c.Policy != nil && c.Generation < m.generation { // a reload has come between: ask again
			m.forgetOthers(l)
			m.touchLane(l)
			return
		}
		if m.usable(c, ev.Binding, ev.Domain) {
			can = append(can, *c)
		}
	}
	listed := l.listed[0]
	if ev.Group != "" {
		l.others.grouped, listed = can, l.listed[1]
	} else {
		l.others.plain = can
	}
	switch {
	case listed == 0:
	case len(can) > 0:
		m.sweep(sweepHeirs)
	case m.names.bindings[l.key.binding].gone:
		m.emit(Log{Level: Warn, Subject: "binding " + ev.Binding, Text: "is gone, and no other can take its mail for " + ev.Domain})
	}
}

// usable reports whether a binding can take over mail of another one: nothing that is
// known keeps it from sending to the domain.
func (m *Machine) usable(c *Candidate, from, domain string) bool {
	if c.Binding == from || c.Policy == nil || c.Policy.Suspended || m.suspended(c.Binding, domain) != nil {
		return false
	}
	if h, ok := m.findLane(c.Binding, domain); ok && m.lanes.at(h).route.closed {
		return false
	}
	b, known := m.names.bindingOf[c.Binding]
	if !known {
		return true
	}
	x := &m.names.bindings[b]
	return !x.gone && (x.gate == 0 || m.gates.at(x.gate).level == 0)
}

// heirs are the bindings to which a part may go because its own cannot send; none when
// it can, or nobody else may.
func (m *Machine) heirs(l *lane, p *part) []Candidate {
	b := &m.names.bindings[l.key.binding]
	if p.moves >= maxMoves || l.others == nil || !l.route.closed && !b.gone && (b.gate == 0 || m.gates.at(b.gate).level == 0 || !m.gates.at(b.gate).address) {
		return nil
	}
	all := l.others.plain
	if p.grouped {
		all = l.others.grouped
	}
	from, domain := m.laneNames(l)
	m.able = m.able[:0]
	for i := range all {
		if all[i].Generation >= m.generation && m.usable(&all[i], from, domain) {
			m.able = append(m.able, all[i])
		}
	}
	return m.able
}

// maxMoves is how often a part goes from binding to binding without having been on a
// connection. Where none can send, for a reason that shows only when the domain's hosts
// are known (a suspended rollup), it comes to rest.
const maxMoves = 4

// sweepFor is what is to be done with all parts.
type sweepFor uint8

const (
	sweepHeirs sweepFor = 1 << iota // those whose binding cannot send go to others
	sweepTimes                      // expiry has changed
)

// sweep goes through all parts. While one sweep goes on the next one is remembered: it
// serves all who asked meanwhile.
func (m *Machine) sweep(what sweepFor) {
	m.sweepNext |= what
	if m.sweeping != 0 || m.sweepNext == 0 {
		return
	}
	m.sweeping, m.sweepNext = m.sweepNext, 0
	m.eachPart(func(h uint32, p *part) {
		if m.sweeping&sweepTimes != 0 {
			m.retime(h, p)
		}
		if m.sweeping&sweepHeirs != 0 {
			m.inherit(h, p)
		}
	}, func() {
		m.sweeping = 0
		m.sweep(0)
	})
}

// stray remembers a part that has come into the queue of a lane which cannot send.
func (m *Machine) stray(h uint32, p *part) {
	if o := m.lanes.at(m.queues.at(p.queue).lane).others; o != nil && len(o.grouped)+len(o.plain) > 0 {
		m.strays.push(partID(h, p.gen))
	}
}

func (m *Machine) nextStray() bool {
	id, ok := m.strays.pop()
	if ok {
		if h, p, live := m.partOf(id); live && p.state != partFlying {
			m.inherit(h, p)
		}
	}
	return ok
}

func (m *Machine) inherit(h uint32, p *part) {
	from := p.queue
	if to := m.heirs(m.lanes.at(m.queues.at(from).lane), p); len(to) > 0 {
		m.movePart(h, to, p.grouped)
		m.touch(from)
	}
}

// movePart gives a part that is on no connection to one of the bindings, always the same
// one for a message. grouped says that they are those of a group.
func (m *Machine) movePart(h uint32, to []Candidate, grouped bool) {
	p := m.parts.at(h)
	msg := m.messages.at(p.msg)
	cands := make([]route.Candidate, len(to))
	for i := range to {
		cands[i] = route.Candidate{Name: to[i].Binding, Weight: to[i].Weight}
	}
	c := &to[max(route.Pick(msg.id, cands), 0)]
	old := m.queues.at(p.queue)
	_, domain := m.laneNames(m.lanes.at(old.lane))
	m.leave(h)
	m.gone(h)
	lane := m.laneFor(c.Binding, domain, c.Policy, c.Generation)
	p.queue = m.queueFor(lane, old.tenant)
	p.rebound, p.grouped = true, grouped
	p.moves++
	m.enter(h, false)
	rcpt := m.recipients(p)
	states := make([]mail.RecipientState, len(rcpt))
	for i, r := range rcpt {
		states[i] = mail.RecipientState{Index: r, Attempts: int(p.attempts), Next: p.due, Binding: c.Binding, Group: p.group(c.Policy)}
	}
	m.push(result{after: m.account, id: msg.id, kind: resultPersist, states: states})
}

// group is the binding group that the part's binding was chosen from.
func (p *part) group(q *policy.Queue) string {
	if p.grouped {
		return q.Group
	}
	return ""
}
