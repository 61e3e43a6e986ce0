package policy

import "time"

// actOf says what each rate option counts.
func actOf(o *Option) Act {
	switch o {
	case opt.messageRate:
		return ActRecipients
	case opt.throttleMessages, opt.clusterThrottleMessages:
		return ActMessages
	}
	return ActConnections
}

// resolved is the rate with its burst: one for connections, since opening ten at once
// looks like a storm; for messages one second's worth, at least one.
func (r Rate) resolved(a Act) Rate {
	switch {
	case r.Burst > 0:
	case a == ActConnections:
		r.Burst = 1
	default:
		r.Burst = max(int(int64(r.N)*int64(time.Second)/int64(r.Per)), 1)
	}
	return r
}

// ratesOf is the throttles of a path being made: rates that limit nothing are left out.
type ratesOf []Throttle

func (t *ratesOf) add(o *Option, by By, v *Setting) {
	if v != nil && v.Rate.IsSet() {
		a := actOf(o)
		*t = append(*t, Throttle{Option: o.Name, Act: a, By: by, Rate: v.Rate.resolved(a), Origin: v.Origin})
	}
}

// queueThrottles are the rates of a binding and a routing domain. Of a throttle by
// reference only the most specific value counts; a stanza that sets it, even to
// unlimited, no longer spends the broader one.
func queueThrottles(p *path) []Throttle {
	var out ratesOf
	for _, o := range [...]*Option{opt.connectRate, opt.messageRate} {
		v, _ := p.find(o, o.Chain)
		out.add(o, ByBinding|ByDomain, v)
	}
	for _, o := range byReference() {
		v, _ := p.find(o, o.Chain)
		out.add(o, ByStanza, v)
	}
	return out
}

// hostThrottles are the rates of a host (by its name) or of one address, found by the
// host chain alone.
func hostThrottles(p *path) []Throttle {
	var out ratesOf
	for _, o := range byReference() {
		v, _ := p.find(o, o.HostChain)
		out.add(o, ByStanza, v)
	}
	return out
}

func byReference() [4]*Option {
	return [...]*Option{opt.throttleConns, opt.throttleMessages, opt.clusterThrottleConns, opt.clusterThrottleMessages}
}
