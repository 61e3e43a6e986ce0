package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
)

// rateRule is a rate as a scenario states it: an option for a target.
type rateRule struct {
	option, target string
	rate           rate
	line           int
}

const (
	optConnectRate = "max_connect_rate"
	optMessageRate = "max_message_rate"
)

var rateOptions = []string{
	optConnectRate, optMessageRate, "outbound_throttle_connections", "outbound_throttle_messages",
	"cluster_outbound_throttle_connections", "cluster_outbound_throttle_messages",
}

func (x *rateRule) act() policy.Act {
	switch {
	case x.option == optMessageRate:
		return policy.ActRecipients
	case strings.HasSuffix(x.option, "_messages"):
		return policy.ActMessages
	}
	return policy.ActConnections
}

// pair reports whether the option is counted by binding and domain, whatever set it.
func (x *rateRule) pair() bool { return x.option == optConnectRate || x.option == optMessageRate }

// Rate sets a rate, and reloads if the machine runs.
func (w *World) Rate(option, target string, r policy.Rate, line int) {
	x := rateRule{option, target, rate{n: int64(r.N), burst: int64(r.Burst), per: r.Per}, line}
	if x.rate.n > 0 && x.rate.burst == 0 {
		x.rate.burst = 1
		if x.act() != policy.ActConnections {
			x.rate.burst = max(x.rate.n*int64(time.Second)/int64(x.rate.per), 1)
		}
	}
	if i := slices.IndexFunc(w.rules.rates, func(o rateRule) bool { return o.option == option && o.target == target }); i >= 0 {
		w.rules.rates[i] = x
	} else {
		w.rules.rates = append(w.rules.rates, x)
	}
	w.Reload()
}

// rateFor is the rate of an option that wins among targets, most specific first; nil if
// none is set or what wins is none.
func (r *rules) rateFor(option string, targets ...string) *rateRule {
	for _, t := range targets {
		for i := range r.rates {
			if x := &r.rates[i]; x.option == option && x.target == t {
				if x.rate.n == 0 {
					return nil
				}
				return x
			}
		}
	}
	return nil
}

// domainTargets are the scopes in which a value for a binding and a domain is looked for.
func domainTargets(b *binding, domain string) []string {
	return []string{"group:" + b.group + "/" + domain, "binding:" + b.name, "group:" + b.group, domain, "*"}
}

// throttles are those of a binding and a domain; or of a host or its addresses.
func (r *rules) throttles(targets ...string) (out []policy.Throttle) {
	for _, o := range rateOptions {
		x := r.rateFor(o, targets...)
		if x == nil {
			continue
		}
		t := policy.Throttle{
			Option: o, Act: x.act(), By: policy.ByStanza,
			Rate:   policy.Rate{N: int(x.rate.n), Per: x.rate.per, Burst: int(x.rate.burst)},
			Origin: policy.Origin{Stanza: x.target, File: "scenario", Line: x.line},
		}
		if x.pair() {
			t.By = policy.ByBinding | policy.ByDomain
		}
		out = append(out, t)
	}
	return out
}

// gauges are the rates that an act of a connection falls under, for the referee.
func (r *rules) gauges(b *binding, c whose, act string) (out []gauge) {
	for _, targets := range [][]string{domainTargets(b, c.domain), {"host:" + c.host}, {"address:" + c.host}} {
		for _, o := range rateOptions {
			x := r.rateFor(o, targets...)
			if x == nil || (x.act() == policy.ActConnections) != (act == "connections") {
				continue
			}
			key := o + " " + x.target
			if x.pair() {
				key = o + " " + c.binding + "/" + c.domain
			}
			out = append(out, gauge{key, x.rate, x.act() == policy.ActRecipients})
		}
	}
	return out
}

func (w *World) sayRate(s *sentence) {
	option, target, text := s.word(), s.word(), s.word()
	if !slices.Contains(rateOptions, option) {
		s.wrong("an option that is a rate")
		return
	}
	r, err := policy.ParseRate(text)
	if s.note(err); err == nil {
		w.Rate(option, target, r, s.line)
	}
}
