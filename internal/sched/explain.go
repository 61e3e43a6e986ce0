package sched

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/limit"
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
	return m.explain(max(now, m.now), h), true
}

func (m *Machine) explain(now int64, h uint32) Explanation {
	q := m.queues.at(h)
	l := m.lanes.at(q.lane)
	x := Explanation{
		Queue: m.queueName(q), Routing: m.routingOf(l), Rollup: m.rollupText(l),
		Queued: int(q.waiting.n), Ready: int(q.ready.n), Conns: int(q.conns),
		Path: m.pathView(now, q, l), Waited: m.waited(now, q), Hosts: m.hostViews(now, l),
		Oldest: seconds(now - m.oldestOf(q, now)), Causes: m.causeViews(now, q),
	}
	if q.ready.n > 0 {
		x.Wanted = m.wanted(q, l)
	}
	x.State, x.NextAt = m.state(now, h)
	if q.cause != noCause {
		x.Cause, x.SinceAt = m.causeName(q.cause), q.since
		x.For = seconds(now - q.since)
	}
	if q.waitOn != 0 {
		c := m.counterView(now, q.waitOn, q.since)
		c.State = "blocks"
		x.WaitingOn = &c
	}
	x.Estimate = m.estimate(now, h, x.NextAt)
	if q.waits != nil && q.waits.last != nil {
		x.LastReply = q.waits.last.String()
	}
	return x
}

func seconds(ns int64) float64 { return float64(ns) / float64(time.Second) }

// queueName is domain/binding, with a tenant domain/binding/tenant.
func (m *Machine) queueName(q *queue) string {
	b, d := m.laneNames(m.lanes.at(q.lane))
	if t := m.names.tenants[q.tenant]; t != "" {
		return d + "/" + b + "/" + t
	}
	return d + "/" + b
}

// pathView is the counters that the queue's next connection would be on: those of all
// addresses of the best hosts that have not all failed, or, without a route, those that
// its policy names.
func (m *Machine) pathView(now int64, q *queue, l *lane) []CounterView {
	if len(l.route.addrs) == 0 {
		return m.policyPath(now, l)
	}
	var seen [64]limit.CounterID
	n := 0
	out := make([]CounterView, 0, 8)
	add := func(path []limit.CounterID) {
		for _, id := range path {
			if slices.Contains(seen[:n], id) || n == len(seen) {
				continue
			}
			seen[n] = id
			n++
			out = append(out, m.pathCounter(now, q, id))
		}
	}
	from, to := m.bestAddrs(now, l)
	for i := from; i < to; i++ {
		a := &l.route.addrs[i]
		add(m.pathOf(l, a)[:a.own])
	}
	if from < to {
		a := &l.route.addrs[from]
		add(m.pathOf(l, a))
		out = m.fareViews(now, q, m.faresOf(l, a), out)
	}
	return out
}

// pathCounter is a counter on a queue's path and whether it blocks the queue.
func (m *Machine) pathCounter(now int64, q *queue, id limit.CounterID) CounterView {
	since := int64(0)
	if id == q.waitOn {
		since = q.since
	}
	v := m.counterView(now, id, since)
	if id == q.waitOn {
		v.State = "blocks"
	}
	return v
}

// bestAddrs is the addresses of the best preference that has not failed altogether; of
// the first one if all have.
func (m *Machine) bestAddrs(now int64, l *lane) (from, to int) {
	hosts := l.route.hosts
	for i := 0; i < len(hosts); {
		j, failed := i, true
		for ; j < len(hosts) && hosts[j].preference == hosts[i].preference; j++ {
			for k := hosts[j].from; k < hosts[j].to; k++ {
				failed = failed && m.failedUntil(l.route.addrs[k].place, hosts[j].tls) > now
			}
		}
		if i == 0 || !failed {
			from, to = hosts[i].from, hosts[j-1].to
		}
		if !failed {
			break
		}
		i = j
	}
	return from, to
}

func (m *Machine) policyPath(now int64, l *lane) []CounterView {
	var out []CounterView
	names := m.laneText(l)
	for i := range l.policy.Limits {
		x := &l.policy.Limits[i]
		if x.By&byHost != 0 || x.Max < 0 {
			continue
		}
		k := keyOf(x, names, "", nil)
		v := CounterView{
			Option: k.Option, Key: k.String(), Limit: x.Max, Reserve: x.Reserve, Kind: "limit", State: hasRoom(x.Max),
			Stanza: x.Origin.Stanza, File: x.Origin.File, Line: x.Origin.Line,
		}
		if id, ok := m.limits.Lookup(k); ok {
			v = m.counterView(now, id, 0)
		}
		out = append(out, v)
	}
	return m.policyFares(now, l.policy.Throttles, names, out)
}

// counterView shows a counter, without regard to who asks.
func (m *Machine) counterView(now int64, id limit.CounterID, since int64) CounterView {
	if m.isThrottle(id) {
		return m.throttleView(now, id, since)
	}
	s, k, x := m.limits.State(id), m.limits.Key(id), m.sourceOf(id).limit
	return CounterView{
		Option: k.Option, Key: k.String(), Use: s.Used, Limit: s.Limit, Waiters: s.Waiters, Reserve: s.Reserve, Claims: s.Claims,
		Stanza: x.Origin.Stanza, File: x.Origin.File, Line: x.Origin.Line, SinceAt: since,
		Kind: "limit", Grants: m.useOf(id).grants.perMinute(now) / 60, State: counterState(&s),
	}
}

func counterState(s *limit.State) string {
	switch {
	case s.Used > s.Limit+s.Reserve:
		return "lowered below its use"
	case s.Used >= s.Limit:
		return "full"
	case s.Claims > 0 && s.Used+1 >= s.Limit:
		return "kept for one that has waited long elsewhere"
	case s.Waiters > 0:
		return "contended"
	}
	return hasRoom(s.Limit - s.Used)
}

func hasRoom(n int) string { return fmt.Sprintf("has room for %d", n) }

// waited is the queue's waiting time by cause, in seconds, what it waits for now included.
func (m *Machine) waited(now int64, q *queue) map[string]float64 {
	out := map[string]float64{}
	if q.waits != nil {
		for i := range q.waits.by {
			x := &q.waits.by[i]
			out[m.causeName(x.cause)] += seconds(x.total)
		}
	}
	if q.cause != noCause {
		out[m.causeName(q.cause)] += seconds(now - q.since)
	}
	return out
}

// causeViews is the same with shares and with the last ten minutes, the longest first.
func (m *Machine) causeViews(now int64, q *queue) []CauseView {
	var total, recent [mostCauses + 2]int64
	var which [mostCauses + 2]uint32
	n := 0
	add := func(c uint32, all, late int64) {
		i := slices.Index(which[:n], c)
		if i < 0 {
			i = n
			n++
			which[i] = c
		}
		total[i] += all
		recent[i] += late
	}
	if q.waits != nil {
		for i := range q.waits.by {
			x := &q.waits.by[i]
			add(x.cause, x.total, x.recent(now))
		}
	}
	if q.cause != noCause {
		add(q.cause, now-q.since, now-max(q.since, (now/minute-historyLen+1)*minute))
	}
	var all, late int64
	for i := range n {
		all += total[i]
		late += recent[i]
	}
	out := make([]CauseView, 0, n)
	for i := range n {
		out = append(out, CauseView{
			Cause: m.causeName(which[i]), Seconds: seconds(total[i]), Share: share(total[i], all),
			Recent: seconds(recent[i]), RecentShare: share(recent[i], late),
		})
	}
	slices.SortStableFunc(out, func(a, b CauseView) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return out
}

func share(part, all int64) float64 {
	if all <= 0 {
		return 0
	}
	return float64(part) / float64(all)
}

func (m *Machine) causeName(c uint32) string {
	if c == noCause {
		return ""
	}
	return m.causes.at(c).label
}

// farthest is how many places before a queue in a line are counted.
const farthest = 32

// estimate works out when a queue that waits moves, from what it waits for.
func (m *Machine) estimate(now int64, h uint32, next int64) *Estimate {
	q := m.queues.at(h)
	switch {
	case q.cause == noCause:
		return nil
	case q.waitOn != 0 && !m.held && !m.stopping:
		if m.isThrottle(q.waitOn) {
			return m.tokenEstimate(now, h, q)
		}
		return m.counterEstimate(now, h, q.waitOn)
	case next > now:
		return &Estimate{Seconds: seconds(next - now), AtTime: next, Basis: "the end of the pause"}
	case q.cause == causeHosts:
		if at := m.firstRetry(m.lanes.at(q.lane)); at > now && at < neverTime {
			return &Estimate{Seconds: seconds(at - now), AtTime: at, Basis: "the first failed host is tried again; open connections may serve it before"}
		}
	}
	return nil
}

func (m *Machine) counterEstimate(now int64, h uint32, id limit.CounterID) *Estimate {
	rate := m.useOf(id).grants.perMinute(now) / 60
	most, held := m.limits.Limit(id), m.limits.HeldNs(id)
	if rate <= 0 && (held == 0 || most == 0) {
		return nil
	}
	ahead, exact := m.limits.Ahead(limit.WaiterID(h), id, farthest)
	text := fmt.Sprintf("%d before it in line", ahead)
	if !exact {
		text = "about " + text
	}
	if rate <= 0 {
		ns := int64(float64(held) * float64(ahead+1) / float64(most))
		return &Estimate{Seconds: seconds(ns), AtTime: now + ns, Basis: fmt.Sprintf("%s, a connection is held for %s on the average", text, span(held))}
	}
	ns := int64(float64(ahead+1) / rate * float64(time.Second))
	return &Estimate{Seconds: seconds(ns), AtTime: now + ns, Basis: fmt.Sprintf("%s, %.2g connections a second in the last minute", text, rate)}
}

// firstRetry is when the first failed address of a route is tried again.
func (m *Machine) firstRetry(l *lane) int64 {
	at := neverTime
	if l.route.class != mail.ClassDelivered || !l.route.begun {
		return at
	}
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			at = min(at, m.failedUntil(l.route.addrs[k].place, rh.tls))
		}
	}
	return at
}
