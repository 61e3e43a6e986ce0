package sched

import (
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// state says in words what a queue does, and when the next thing happens by itself: 0
// if only an event can tell.
func (m *Machine) state(now int64, h uint32) (string, int64) {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	switch {
	case m.names.bindings[l.key.binding].gone:
		return "its binding has been removed from the configuration and no other may take its mail; it waits until there is one of that name", 0
	case q.halted(l):
		return m.suspendedState(now, q, l), 0
	case q.ready.n == 0:
		return m.quietState(now, q)
	case m.stopping:
		return "the server is stopping", 0
	case m.sick:
		return "held back: outcomes cannot be written to the spool", 0
	case m.held:
		return "held back: accounting or the spool does not keep up", 0
	case q.waitOn != 0 && m.isThrottle(q.waitOn):
		return m.tokenState(now, q)
	case q.waitOn != 0:
		c := m.limits.State(q.waitOn)
		return fmt.Sprintf("waits for a connection slot: %s, %d of %d in use", m.label(q.waitOn), c.Used, c.Limit), 0
	case q.gated:
		return m.gateState(now, q, l)
	case l.timer != noTimer:
		return "no resolver answers: " + l.reply().String(), m.wheel.timers.at(l.timer).tick << tickBits
	case l.route.asking:
		return "resolving", 0
	case l.route.known && l.route.class == mail.ClassDelivered && m.allFailed(now, l):
		return "all hosts failed; uses the connections that are open", 0
	case q.flying > 0:
		return fmt.Sprintf("delivering: %d messages over %d connections", q.flying, q.conns), 0
	case q.conns > 0:
		return fmt.Sprintf("connecting: %d connections", q.conns), 0
	}
	return "ready", 0
}

// quietState is the state of a queue without ready mail.
func (m *Machine) quietState(now int64, q *queue) (string, int64) {
	if q.flying > 0 {
		return fmt.Sprintf("delivering: %d messages over %d connections", q.flying, q.conns), 0
	}
	if q.waiting.n == 0 {
		return "empty", 0
	}
	next := m.parts.at(q.first).due
	return "next retry in " + span(next-now), next
}

func (m *Machine) gateState(now int64, q *queue, l *lane) (string, int64) {
	b := &m.names.bindings[l.key.binding]
	if s, at, ok := m.closedState(now, m.gate); ok {
		return s, at
	}
	if s, at, ok := m.closedState(now, b.gate); ok {
		return s, at
	}
	if !l.route.begun {
		return "ready", 0
	}
	for i := range l.route.hosts {
		x := m.hosts.at(l.route.hosts[i].host)
		for _, g := range [...]uint32{x.gate, x.family[0], x.family[1]} {
			if s, at, ok := m.closedState(now, g); ok && q.before != uint8(causeOpening) {
				return s, at
			}
		}
	}
	if p := m.crowdedAt(l); p != nil && !p.proven {
		return fmt.Sprintf("host %s: the first connection to it is being opened alone; more follow when it is answered", p.key.host), 0
	} else if p != nil {
		return fmt.Sprintf("host %s: %s", p.key.host, p.crowdText()), 0
	}
	if l.route.class == mail.ClassDelivered && len(l.route.addrs) > 0 && m.allFailed(now, l) {
		return m.biding(now, l)
	}
	return "ready", 0
}

// closedState says what a gate waits for, false if it is none or open.
func (m *Machine) closedState(now int64, h uint32) (string, int64, bool) {
	if h == 0 || !m.gates.at(h).closed(now) || !m.barred(m.gates.at(h)) {
		return "", 0, false
	}
	g := m.gates.at(h)
	switch {
	case now < g.until && g.host != 0 && g.bears > 0:
		return fmt.Sprintf("%s: %s; it bears %d connections, one more is tried in %s", g.subject, g.reply, g.bears, span(g.until-now)), g.until, true
	case now < g.until:
		return fmt.Sprintf("%s: %s; tried again in %s", g.subject, g.reply, span(g.until-now)), g.until, true
	}
	return fmt.Sprintf("%s: %s; one connection tries again", g.subject, g.reply), 0, true
}

func (m *Machine) allFailed(now int64, l *lane) bool {
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			if m.failedUntil(l.route.addrs[k].place, rh.tls) <= now {
				return false
			}
		}
	}
	return true
}

// span prints a time to wait, in whole seconds, at least one.
func span(ns int64) string {
	return time.Duration(max((ns+int64(time.Second)-1)/int64(time.Second), 1) * int64(time.Second)).String()
}
