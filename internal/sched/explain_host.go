package sched

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// hostViews lists the hosts of a lane's route, and why the queue's mail does or does not
// go there.
func (m *Machine) hostViews(now int64, l *lane) []HostView {
	if !l.route.begun {
		return nil
	}
	from, _ := m.bestAddrs(now, l)
	best := 0
	out := make([]HostView, 0, len(l.route.hosts))
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		if rh.from == from {
			best = rh.preference
		}
		out = append(out, m.hostView(now, l, rh))
	}
	for i := range out {
		switch v := &out[i]; {
		case v.Why != "":
		case v.Preference > best:
			v.Why = "not used: hosts of a better preference have not all failed"
		}
	}
	return out
}

func (m *Machine) hostView(now int64, l *lane, rh *routeHost) HostView {
	x := m.hosts.at(rh.host)
	v := HostView{Host: x.key.host, Preference: rh.preference, Conns: x.conns, State: "ok", TLS: rh.tlsText()}
	failed, full := neverTime, true
	var by *routeAddr
	for k := rh.from; k < rh.to; k++ {
		a := &l.route.addrs[k]
		p := m.places.at(a.place)
		if v.Addresses != "" {
			v.Addresses += " "
		}
		v.Addresses += p.key.addr.String()
		failed = min(failed, m.failedUntil(a.place, rh.tls))
		if m.isFull(l, a) {
			by = a
		} else {
			full = false
		}
	}
	switch {
	case failed > now && rh.to > rh.from:
		v.State = "failed, tried again in " + span(failed-now)
		v.Why = m.failure(l, rh)
	case x.gate != 0 && m.barred(m.gates.at(x.gate)):
		v.State = "busy: " + m.gates.at(x.gate).reply.String()
		v.Why, _, _ = m.closedState(now, x.gate)
	case !x.proven && x.calling > 0:
		v.State = "probed: the first connection is being opened"
	case full && by != nil:
		v.State = "full"
		v.Why = m.fullText(l, by)
	case x.crowded():
		v.State = x.crowdText()
	}
	if v.State == "ok" {
		v.State = m.clearText(now, l, rh)
	}
	return v
}

// failure is what an address of a host answered last.
func (m *Machine) failure(l *lane, rh *routeHost) string {
	for k := rh.from; k < rh.to; k++ {
		if r := m.places.at(l.route.addrs[k].place).reply; r != nil {
			return r.String()
		}
	}
	return ""
}

// isFull reports whether one of the host's own counters has no room.
func (m *Machine) isFull(l *lane, a *routeAddr) bool { return m.fullCounter(l, a) != 0 }

// fullCounter is the first of them that has no room, 0 if all have.
func (m *Machine) fullCounter(l *lane, a *routeAddr) limit.CounterID {
	for _, id := range m.pathOf(l, a)[:a.own] {
		if s := m.limits.State(id); s.Used >= s.Limit {
			return id
		}
	}
	return 0
}

func (m *Machine) fullText(l *lane, a *routeAddr) string {
	id := m.fullCounter(l, a)
	s := m.limits.State(id)
	return fmt.Sprintf("%s: %d of %d in use", m.label(id), s.Used, s.Limit)
}

// mostWaiting is how many queues are named that wait before a host.
const mostWaiting = 10

// ExplainHost shows a host as the bindings see it, in pages as Queues does.
func (m *Machine) ExplainHost(now int64, name, cursor string, n int) (rows []HostExplanation, next string) {
	now = max(now, m.now)
	_, at := parseCursor(cursor)
	for left := pageSlots; int(at) < len(m.names.bindings) && len(rows) < min(n, pageRows/4) && left > 0; at++ {
		left--
		if h, ok := m.hostOf[hostKey{at, name}]; ok {
			rows = append(rows, m.hostExplanation(now, h))
		}
	}
	if int(at) < len(m.names.bindings) {
		next = cursorAt('b', at)
	}
	return rows, next
}

func (m *Machine) hostExplanation(now int64, h uint32) HostExplanation {
	x := m.hosts.at(h)
	b := &m.names.bindings[x.key.binding]
	v := HostExplanation{Host: x.key.host, Binding: b.name, Conns: x.conns, Opening: x.opening, State: "ok"}
	for _, g := range [...]uint32{x.gate, x.family[0], x.family[1]} {
		if s, _, closed := m.closedState(now, g); closed {
			v.State = s
		}
		if g != 0 {
			v.addLine(m, &m.gates.at(g).line)
		}
	}
	if x.crowded() {
		v.State = x.crowdText()
		v.addLine(m, &x.crowd)
	}
	names := laneText{binding: b.name, group: b.group}
	add := func(limits []policy.Limit, p *placeKey) {
		for i := range limits {
			if id, ok := m.limits.Lookup(keyOf(&limits[i], names, x.key.host, p)); ok && limits[i].Max >= 0 {
				v.Path = append(v.Path, m.counterView(now, id, 0))
			}
		}
	}
	if x.policy != nil {
		add(x.policy.Limits, nil)
		v.Path = m.policyFares(now, x.policy.Throttles, names, v.Path)
	}
	for i, a := range x.addresses() {
		if i == pageRows/8 {
			break
		}
		p := placeKey{host: x.key.host, addr: a}
		add(x.known[a].limits, &p)
		v.Path = m.policyFares(now, x.known[a].throttles, names, v.Path)
		v.Addresses = append(v.Addresses, m.addressView(now, placeKey{x.key.host, a, x.port}))
	}
	return v
}

// addressView shows an address of a host.
func (m *Machine) addressView(now int64, k placeKey) AddressView {
	v := AddressView{Address: k.addr.String(), State: "ok"}
	h, ok := m.placeOf[k]
	if !ok {
		v.State = "not in use"
		return v
	}
	p := m.places.at(h)
	v.Conns = p.conns
	switch {
	case p.failed > now:
		v.State = "failed, tried again in " + span(p.failed-now)
	case p.tlsFailed.last() > now:
		v.State = "TLS failed, tried again in " + span(p.tlsFailed.last()-now)
	case p.noTLS > now:
		v.State = p.inClear(now)
		return v
	}
	if p.reply != nil && v.State != "ok" {
		v.State += ": " + p.reply.String()
	}
	return v
}

// addLine names the first queues of a line.
func (v *HostExplanation) addLine(m *Machine, line *fifo[gatePlace]) {
	for i := 0; i < line.len(); i++ {
		if i >= pageRows {
			v.More += line.len() - i
			return
		}
		p := *line.nth(i)
		switch {
		case !m.waitsHere(p):
		case len(v.Waiting) < mostWaiting:
			v.Waiting = append(v.Waiting, m.queueName(m.queues.at(p.queue)))
		default:
			v.More++
		}
	}
}
