package forecast

import (
	"math/rand/v2"
	"slices"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// assigner gives each message a binding that the configuration has.
type assigner struct {
	snap  *policy.Snapshot
	load  *Load
	rng   *rand.Rand
	names []string
	at    map[string]uint32
	all   []string            // to spread over
	stand map[uint32]*standIn // for a binding of the load
	moved int                 // messages whose binding the configuration does not have
}

func newAssigner(snap *policy.Snapshot, load *Load, seed uint64) *assigner {
	a := &assigner{snap: snap, load: load, rng: rand.New(rand.NewPCG(seed, 4)), at: map[string]uint32{}, stand: map[uint32]*standIn{}}
	for name, b := range snap.Bindings { // sorted below: the order does not matter
		if !b.Origin.IsDefault() {
			a.all = append(a.all, name)
		}
	}
	if slices.Sort(a.all); len(a.all) == 0 {
		a.all = []string{"default"}
	}
	return a
}

// of returns the number of the binding that takes a message of the load's binding.
func (a *assigner) of(binding uint32) uint32 {
	x := a.stand[binding]
	if x == nil {
		x = a.weigh(a.standIn(binding))
		x.moved = binding != 0 && (len(x.names) != 1 || a.names[x.names[0]] != a.load.Bindings[binding].Name)
		a.stand[binding] = x
	}
	if x.moved {
		a.moved++
	}
	if len(x.names) == 1 {
		return x.names[0]
	}
	n := a.rng.IntN(x.upto[len(x.upto)-1])
	i, _ := slices.BinarySearch(x.upto, n+1)
	return x.names[i]
}

// standIn is who stands in for a binding, by weight.
type standIn struct {
	names []uint32
	upto  []int // sum of the weights up to each
	moved bool  // it is not the binding itself
}

func (a *assigner) weigh(names []string) *standIn {
	x, sum := &standIn{}, 0
	for _, n := range names {
		sum += max(a.snap.Bindings[n].Weight, 1)
		x.names, x.upto = append(x.names, a.number(n)), append(x.upto, sum)
	}
	return x
}

func (a *assigner) number(name string) uint32 {
	n, ok := a.at[name]
	if !ok {
		n = uint32(len(a.names))
		a.names = append(a.names, name)
		a.at[name] = n
	}
	return n
}

// standIn: the binding itself, else those of its group, else all.
func (a *assigner) standIn(binding uint32) []string {
	b := a.load.Bindings[binding]
	if binding == 0 {
		return a.all
	}
	if a.snap.Bindings[b.Name] != nil {
		return []string{b.Name}
	}
	if g := a.snap.Groups[b.Group]; g != nil && len(g.Bindings) > 0 {
		return g.Bindings
	}
	return a.all
}

// heirs answers who could take over the mail of a binding that cannot send.
func (a *assigner) heirs(q *sched.Rebind, r *config.Resolver) sched.Rebound {
	out := sched.Rebound{Binding: q.Binding, Domain: q.Domain}
	g := a.snap.Groups[q.Group]
	if g == nil {
		return out
	}
	for _, name := range g.Bindings {
		if p := r.Queue(name, q.Domain); name != q.Binding && !p.Suspended {
			out.Candidates = append(out.Candidates, sched.Candidate{Binding: name, Weight: a.snap.Bindings[name].Weight, Policy: p})
		}
	}
	return out
}
