package sink

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds the maps that a stranger can grow: source addresses and recipient
// domains beyond it are counted together under otherKey.
const (
	maxKeys  = 100_000
	otherKey = "(other)"
)

// group is what is counted together: all connections, those of one source address,
// or those of one listening address.
type group struct {
	open     map[*socket]struct{}
	peak     int
	limit    int // 0: none
	accepted int
}

func newGroup(limit int) *group { return &group{open: map[*socket]struct{}{}, limit: limit} }

// needsAsking reports whether one more connection would raise the peak or go over the
// limit.
func (g *group) needsAsking() bool {
	return len(g.open) >= g.peak || g.limit > 0 && len(g.open) >= g.limit
}

func (g *group) over() bool { return g.limit > 0 && len(g.open) > g.limit }

// referee counts connections. Everything in it is guarded by mu; accept4, shutdown
// and close of counted sockets happen only while or after it says so.
type referee struct {
	mu         sync.Mutex
	all        *group
	sources    map[string]*group
	listeners  map[string]*group
	perSource  int // limit of each source group
	connRate   *judge
	accepted   int
	refused    map[string]int
	violations map[string]int
	kernel     kernel
}

func newReferee(o Options, listeners []string) *referee {
	r := &referee{
		all: newGroup(o.MaxConnections), sources: map[string]*group{}, listeners: map[string]*group{},
		perSource: o.MaxConnectionsPerIP, connRate: newJudge(o.ConnRate, 1),
		refused: map[string]int{}, violations: map[string]int{},
	}
	for _, l := range listeners {
		r.listeners[l] = newGroup(0)
	}
	return r
}

// source returns the group of a source address. Called with mu held.
func (r *referee) source(a netip.Addr) *group {
	name, limit := a.String(), r.perSource
	if g := r.sources[name]; g != nil {
		return g
	}
	if len(r.sources) >= maxKeys {
		name, limit = otherKey, 0 // many addresses in one group: no limit of one address applies
		if g := r.sources[name]; g != nil {
			return g
		}
	}
	g := newGroup(limit)
	r.sources[name] = g
	return g
}

// admit counts s, which accept4 has just returned, and says which limit it is over;
// empty when none. Called with mu held since before accept4.
func (r *referee) admit(s *socket, now time.Time) string {
	s.groups = [3]*group{r.all, r.source(s.remote.Addr()), r.listeners[s.listener]}
	for _, g := range s.groups {
		if g.needsAsking() {
			r.ask(g)
		}
	}
	for _, g := range s.groups {
		g.open[s] = struct{}{}
		g.peak = max(g.peak, len(g.open))
	}
	s.counted = true
	reason := r.judge(s, now)
	if reason != "" {
		r.violations[reason]++
	}
	return reason
}

func (r *referee) judge(s *socket, now time.Time) string {
	inTime := r.connRate.conforms(now)
	switch {
	case r.all.over():
		return "max-connections"
	case s.groups[1].over():
		return "max-connections-per-ip"
	case !inTime:
		return "conn-rate"
	}
	return ""
}

// ask removes from the count the sockets of g that the kernel shows closed by their
// clients. The first look is cheap; when g would still be at its peak or limit, the
// kernel is made to finish what it has received for each socket before the second.
// Called with mu held.
func (r *referee) ask(g *group) {
	r.drop(r.kernel.closedByClient(g.open))
	if !g.needsAsking() {
		return
	}
	for s := range g.open {
		settle(s.fd)
	}
	r.drop(r.kernel.closedByClient(g.open))
}

func (r *referee) drop(sockets []*socket) {
	for _, s := range sockets {
		r.uncount(s)
	}
}

// uncount takes s out of all its groups, once. Called with mu held.
func (r *referee) uncount(s *socket) {
	if !s.counted {
		return
	}
	s.counted = false
	for _, g := range s.groups {
		delete(g.open, s)
	}
}

// release takes s out of the count, before the sink begins to close it or when its
// end of stream has been read.
func (r *referee) release(s *socket) {
	r.mu.Lock()
	r.uncount(s)
	r.mu.Unlock()
}

// settleGreeting counts a connection as served, or as refused for a reason.
func (r *referee) settleGreeting(s *socket, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reason != "" {
		r.refused[reason]++
		return
	}
	r.accepted++
	for _, g := range s.groups {
		g.accepted++
	}
}

// fill writes what the referee knows into a report.
func (r *referee) fill(rep *Report, extra map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(r.kernel.closedByClient(r.all.open))
	c := &rep.Connections
	c.Open, c.Peak, c.Accepted = len(r.all.open), r.all.peak, r.accepted
	c.RefusedByReason = maps.Clone(r.refused)
	for _, n := range r.refused {
		c.Refused += n
	}
	c.PeakBySource, c.OpenBySource, c.AcceptedBySource = tell(r.sources)
	c.PeakByListener, c.OpenByListener, c.AcceptedByListener = tell(r.listeners)
	rep.ViolationsByReason = maps.Clone(r.violations)
	maps.Copy(rep.ViolationsByReason, extra)
	for _, n := range rep.ViolationsByReason {
		rep.Violations += n
	}
}

func tell(groups map[string]*group) (peak, open, accepted map[string]int) {
	peak, open, accepted = map[string]int{}, map[string]int{}, map[string]int{}
	for name, g := range groups {
		peak[name], open[name], accepted[name] = g.peak, len(g.open), g.accepted
	}
	return peak, open, accepted
}
