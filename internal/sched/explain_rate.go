package sched

import (
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// What explain says of throttles. A message's throttle is two buckets in step (fare): both
// are shown as one, by the one that is behind.

// tokenState says in words that a queue waits for a token, and when the next one comes.
func (m *Machine) tokenState(now int64, q *queue) (string, int64) {
	x := m.sourceOf(q.waitOn).throttle
	at := m.nextToken(now, q)
	text := "waits for a token of " + m.label(q.waitOn) + ": " + rateText(x.Rate) + " (" + x.Origin.String() + ")"
	if at <= now {
		return text + ", others come first", 0
	}
	return text + ", the next one comes in " + span(at-now), at
}

// nextToken is when the throttle that a queue waits for has tokens for its next message.
func (m *Machine) nextToken(now int64, q *queue) int64 {
	n := int32(1)
	if m.sourceOf(q.waitOn).throttle.Act == policy.ActRecipients && q.ready.n > 0 {
		n = m.nextSize(q)
	}
	return m.limits.Ready(now, limit.Toll{Throttle: q.waitOn, N: n})
}

// tokenEstimate works out when a queue has its token: from the bucket and those before it.
func (m *Machine) tokenEstimate(now int64, h uint32, q *queue) *Estimate {
	ahead, exact := m.limits.Ahead(limit.WaiterID(h), q.waitOn, farthest)
	r := m.limits.State(q.waitOn).Rate
	at := m.nextToken(now, q) + int64(float64(ahead)/perSecond(r)*1e9)
	text := fmt.Sprintf("%d before it in line", ahead)
	if !exact {
		text = "about " + text
	}
	return &Estimate{Seconds: seconds(at - now), AtTime: at, Basis: text + ", " + rateText(m.sourceOf(q.waitOn).throttle.Rate)}
}

// throttleView shows a throttle, without regard to who asks.
func (m *Machine) throttleView(now int64, id limit.CounterID, since int64) CounterView {
	id = m.behind(now, id)
	s, k, x := m.limits.State(id), m.limits.Key(id), m.sourceOf(id).throttle
	v := CounterView{
		Option: k.Option, Key: k.String(), Waiters: s.Waiters, Claims: s.Claims, Kind: "throttle", Rate: rateText(x.Rate),
		Stanza: x.Origin.Stanza, File: x.Origin.File, Line: x.Origin.Line, SinceAt: since,
		Grants: m.useOf(id).grants.perMinute(now) / 60, State: "has tokens",
	}
	if at := m.limits.Ready(now, limit.Toll{Throttle: id, N: 1}); at > now {
		v.NextTokenAt, v.State = at, "no token, the next one comes in "+span(at-now)
	} else if s.Waiters > 0 {
		v.State = "contended"
	}
	return v
}

// behind is the one of a throttle's two buckets that admits later, or has those who wait.
func (m *Machine) behind(now int64, id limit.CounterID) limit.CounterID {
	k := m.limits.Key(id)
	k.Sent = !k.Sent
	twin, ok := m.limits.Lookup(k)
	if !ok {
		return id
	}
	a, b := m.limits.State(id).Waiters, m.limits.State(twin).Waiters
	one := limit.Toll{Throttle: id, N: 1}
	other := limit.Toll{Throttle: twin, N: 1}
	if b > a || b == a && m.limits.Ready(now, other) > m.limits.Ready(now, one) {
		return twin
	}
	return id
}

// fareViews adds the throttles of an address to a path.
func (m *Machine) fareViews(now int64, q *queue, fares []fare, out []CounterView) []CounterView {
	for _, f := range fares {
		v := m.throttleView(now, f.grant, 0)
		if q.waitOn == f.grant || f.sent != 0 && q.waitOn == f.sent {
			v.State, v.SinceAt = "blocks", q.since
		}
		out = append(out, v)
	}
	return out
}

// policyFares adds the throttles that a policy names to a path.
func (m *Machine) policyFares(now int64, all []policy.Throttle, names laneText, out []CounterView) []CounterView {
	for i := range all {
		x := &all[i]
		k := throttleKey(x, names, "", nil)
		v := CounterView{
			Option: k.Option, Key: k.String(), Kind: "throttle", Rate: rateText(x.Rate), State: "has tokens",
			Stanza: x.Origin.Stanza, File: x.Origin.File, Line: x.Origin.Line,
		}
		if id, ok := m.limits.Lookup(k); ok {
			v = m.throttleView(now, id, 0)
		}
		out = append(out, v)
	}
	return out
}

// rateText is a rate in words: 50 in 1h, 1 at once.
func rateText(r policy.Rate) string {
	per := r.Per.String() // whole seconds
	for _, zero := range [...]string{"0s", "0m"} {
		if short := strings.TrimSuffix(per, zero); strings.HasSuffix(short, "m") || strings.HasSuffix(short, "h") {
			per = short
		}
	}
	return fmt.Sprintf("%d in %s, %d at once", r.N, per, r.Burst)
}
