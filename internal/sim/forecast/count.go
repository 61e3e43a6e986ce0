package forecast

import (
	"net/netip"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// counts is the simulation's own count of connections, by what the limits of the
// configuration count together.
type counts struct {
	all []counter
	at  map[string]int32
}

type counter struct {
	limit     *policy.Limit
	key       string
	now, peak int32
}

func newCounts() *counts { return &counts{at: map[string]int32{}} }

// open counts a connection and returns what it counts on. lane holds what all
// connections of its binding and domain count on.
func (x *counts) open(r *config.Resolver, a *sched.Connect, lane *laneInfo) []int32 {
	if lane.counted == nil {
		lane.counted = x.add(make([]int32, 0, len(lane.policy.Limits)), lane.policy.Limits, a, lane.routing)
	}
	path := lane.counted
	if h := r.Host(a.Binding, a.Host, []netip.Addr{a.Address}); len(h.Limits)+len(h.Addresses) > 0 {
		path = x.add(path[:len(path):len(path)], h.Limits, a, lane.routing)
		path = x.add(path, h.Addresses[a.Address], a, lane.routing)
	}
	for _, i := range path {
		c := &x.all[i]
		c.now++
		c.peak = max(c.peak, c.now)
	}
	return path
}

func (x *counts) closed(path []int32) {
	for _, i := range path {
		x.all[i].now--
	}
}

// add appends the counters of limits to a path.
func (x *counts) add(path []int32, limits []policy.Limit, a *sched.Connect, routing string) []int32 {
	for i := range limits {
		if limits[i].Max >= 0 {
			path = append(path, x.counter(&limits[i], a, routing))
		}
	}
	return path
}

// counter finds the counter of a limit for a connection to a routing domain by its name, as
// commands print it.
func (x *counts) counter(l *policy.Limit, a *sched.Connect, routing string) int32 {
	key := ""
	add := func(by policy.By, s string) {
		if l.By&by == 0 {
			return
		}
		if key != "" {
			key += "/"
		}
		key += s
	}
	add(policy.ByGroup, a.Policy.Group)
	add(policy.ByBinding, a.Binding)
	add(policy.ByDomain, routing)
	add(policy.ByHost, a.Host)
	add(policy.ByAddress, a.Address.String())
	add(policy.ByStanza, l.Origin.Stanza)
	if key == "" {
		key = "server"
	}
	label := l.Option + " " + key
	i, ok := x.at[label]
	if !ok {
		i = int32(len(x.all))
		x.all = append(x.all, counter{limit: l, key: label[len(l.Option)+1:]})
		x.at[label] = i
	}
	return i
}
