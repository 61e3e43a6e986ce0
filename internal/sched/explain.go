package sched

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Explain says why a queue, named domain/binding or domain/binding/tenant, does or
// does not move.
func (m *Machine) Explain(now int64, name string) (Explanation, bool) {
	domain, rest, _ := strings.Cut(name, "/")
	b, tenant, _ := strings.Cut(rest, "/")
	h, ok := m.findQueue(domain, b, tenant)
	if !ok {
		return Explanation{}, false
	}
	now = max(now, m.now)
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	x := Explanation{
		Queue: name, Routing: m.routingOf(l), Rollup: m.rollupText(l), Queued: int(q.waiting.n), Ready: int(q.ready.n), Conns: int(q.conns),
		Path: m.pathView(q, l), Waited: m.waited(now, q), Hosts: m.hostViews(now, l),
	}
	x.State, x.NextAt = m.state(now, h)
	if q.waitOn != 0 {
		c := m.counterView(q.waitOn, q.since)
		x.WaitingOn = &c
	}
	if q.last != nil {
		x.LastReply = q.last.String()
	}
	return x, true
}

// pathView is the counters of the queue's connections: of the first address of its
// route that is not failed, or, without a route, those that its policy names.
func (m *Machine) pathView(q *queue, l *lane) []CounterView {
	var out []CounterView
	if l.route != nil && len(l.route.addrs) > 0 {
		for _, id := range l.route.addrs[0].path {
			since := int64(0)
			if id == q.waitOn {
				since = q.since
			}
			out = append(out, m.counterView(id, since))
		}
		return out
	}
	names := m.laneText(l)
	for i := range l.policy.Limits {
		x := &l.policy.Limits[i]
		if x.By&byHost != 0 || x.Max < 0 {
			continue
		}
		k := keyOf(x, names, "", nil)
		v := CounterView{Option: k.Option, Key: k.String(), Limit: x.Max, Stanza: x.Origin.Stanza, File: x.Origin.File, Line: x.Origin.Line}
		if id, ok := m.limits.Lookup(k); ok {
			v = m.counterView(id, 0)
		}
		out = append(out, v)
	}
	return out
}

// waited is the queue's waiting time by cause, in seconds, what it waits for now included.
func (m *Machine) waited(now int64, q *queue) map[string]float64 {
	out := map[string]float64{}
	if q.waits != nil {
		for i := range q.waits.by {
			x := &q.waits.by[i]
			out[m.causeName(x.cause)] += float64(x.total) / float64(time.Second)
		}
	}
	if q.cause != noCause {
		out[m.causeName(q.cause)] += float64(now-q.since) / float64(time.Second)
	}
	return out
}

func (m *Machine) causeName(c uint32) string {
	if c == noCause {
		return "nothing"
	}
	return m.causes.at(c).label
}

// state says in words what a queue does, and when the next thing happens by itself: 0
// if only an event can tell.
func (m *Machine) state(now int64, h uint32) (string, int64) {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	switch {
	case m.names.bindings[l.key.binding].gone:
		return "its binding has been removed from the configuration and no other may take its mail; it waits until there is one of that name", 0
	case l.suspended:
		return m.suspendedState(l), 0
	case q.ready.n == 0:
		return m.quietState(now, q)
	case m.stopping:
		return "the server is stopping", 0
	case m.sick:
		return "held back: outcomes cannot be written to the spool", 0
	case m.held:
		return "held back: accounting or the spool does not keep up", 0
	case q.waitOn != 0:
		c := m.limits.State(q.waitOn)
		return fmt.Sprintf("waits for a connection slot: %s, %d of %d in use", m.label(q.waitOn), c.Used, c.Limit), 0
	case q.gated:
		return m.gateState(now, q, l)
	case l.timer != noTimer:
		return "no resolver answers: " + l.route.reply.String(), m.wheel.timers.at(l.timer).tick << tickBits
	case l.route != nil && l.route.asking:
		return "resolving", 0
	case l.route != nil && l.route.known && l.route.class == mail.ClassDelivered && m.allFailed(now, l):
		return "all hosts failed; uses the connections that are open", 0
	case q.flying > 0:
		return fmt.Sprintf("delivering: %d messages over %d connections", q.flying, q.conns), 0
	case q.conns > 0:
		return fmt.Sprintf("connecting: %d connections", q.conns), 0
	}
	return "ready", 0
}

func (m *Machine) suspendedState(l *lane) string {
	if s := m.suspension(l); s != nil {
		return strings.TrimSpace("suspended by " + s.by + " " + s.reply.String())
	}
	return "suspended by the configuration (suspend_delivery, " + l.policy.SuspendedOrigin.String() + ")"
}

// quietState is the state of a queue without ready mail.
func (m *Machine) quietState(now int64, q *queue) (string, int64) {
	if q.flying > 0 {
		return fmt.Sprintf("delivering: %d messages over %d connections", q.flying, q.conns), 0
	}
	next := neverTime
	for i, p := 0, q.waiting.head; p != 0 && i < most; i, p = i+1, m.parts.at(p).next {
		next = min(next, m.parts.at(p).due)
	}
	if next == neverTime {
		return "empty", 0
	}
	return "next retry in " + span(next-now), next
}

func (m *Machine) gateState(now int64, q *queue, l *lane) (string, int64) {
	b := &m.names.bindings[l.key.binding]
	gates := []uint32{m.gate, b.gate}
	if l.route != nil {
		for i := range l.route.hosts {
			x := m.hosts.at(l.route.hosts[i].host)
			gates = append(gates, x.gate, x.family[0], x.family[1])
		}
	}
	for _, h := range gates {
		if h == 0 || !m.gates.at(h).closed(now) || !m.barred(m.gates.at(h)) {
			continue
		}
		g := m.gates.at(h)
		if now < g.until && g.host != 0 && g.bears > 0 {
			return fmt.Sprintf("%s: %s; it bears %d connections, one more is tried in %s", g.subject, g.reply, g.bears, span(g.until-now)), g.until
		}
		if now < g.until {
			return fmt.Sprintf("%s: %s; tried again in %s", g.subject, g.reply, span(g.until-now)), g.until
		}
		return fmt.Sprintf("%s: %s; one connection tries again", g.subject, g.reply), 0
	}
	if l.route != nil {
		if p := m.crowdedAt(l); p != nil && !p.proven {
			return fmt.Sprintf("host %s: the first connection to it is being opened alone; more follow when it is answered", p.key.host), 0
		} else if p != nil {
			return fmt.Sprintf("host %s: %d connections are being opened; more follow as they are answered", p.key.host, p.opening), 0
		}
	}
	return "ready", 0
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

// hostViews lists the hosts of a lane's route.
func (m *Machine) hostViews(now int64, l *lane) []HostView {
	if l.route == nil {
		return nil
	}
	out := make([]HostView, 0, len(l.route.hosts))
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		x := m.hosts.at(rh.host)
		v := HostView{Host: x.key.host, Preference: rh.preference, Conns: x.conns, State: "ok"}
		failed, full := neverTime, true
		for k := rh.from; k < rh.to; k++ {
			a := &l.route.addrs[k]
			p := m.places.at(a.place)
			if v.Addresses != "" {
				v.Addresses += " "
			}
			v.Addresses += p.key.addr.String()
			failed = min(failed, m.failedUntil(a.place, rh.tls))
			full = full && m.isFull(a)
		}
		switch {
		case failed > now:
			v.State = "failed, tried again in " + span(failed-now)
		case x.gate != 0 && m.barred(m.gates.at(x.gate)):
			v.State = "busy: " + m.gates.at(x.gate).reply.String()
		case !x.proven && x.opening > 0:
			v.State = "probed: the first connection is being opened"
		case full && rh.to > rh.from:
			v.State = "full"
		}
		out = append(out, v)
	}
	return out
}

func (m *Machine) isFull(a *routeAddr) bool {
	for _, id := range a.path[:a.own] {
		if s := m.limits.State(id); s.Used >= s.Limit {
			return true
		}
	}
	return false
}
