package sched

import (
	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// counterMeta is what the machine knows of a counter beside its engine. Counters that one
// line of the configuration sets share their source; what only those have that were of
// use to somebody lies apart.
type counterMeta struct {
	source uint32
	use    uint32 // 0: nobody was let through or has waited
}

// source is what set a counter's ceiling or rate.
type source struct {
	sourceKey
	refs int32
}

type sourceKey struct {
	limit      *policy.Limit
	throttle   *policy.Throttle // nil: it counts connections that are open
	generation uint64
}

// use is what a counter let through, and the cause that it blocks (wait.go).
type use struct {
	grants meter // connections, or tokens
	cause  uint32
}

// sources is all of them, by counter.
type sources struct {
	metas  slab[counterMeta] // by CounterID
	all    slab[source]
	byKey  map[sourceKey]uint32
	uses   slab[use]
	nobody use
}

func newSources() sources { return sources{byKey: map[sourceKey]uint32{}} }

// sourceOf is what set a counter.
func (m *Machine) sourceOf(id limit.CounterID) *sourceKey {
	return &m.sources.all.at(m.sources.metas.at(uint32(id)).source).sourceKey
}

// isThrottle reports whether a counter counts acts, and not connections that are open.
func (m *Machine) isThrottle(id limit.CounterID) bool { return m.sourceOf(id).throttle != nil }

// setSource notes what sets a counter now; fresh: it did not exist before.
func (m *Machine) setSource(id limit.CounterID, k sourceKey, fresh bool) {
	s := &m.sources
	s.metas.reach(uint32(id))
	x := s.metas.at(uint32(id))
	old := x.source
	h, ok := s.byKey[k]
	if !ok {
		h = s.all.alloc()
		*s.all.at(h) = source{sourceKey: k}
		s.byKey[k] = h
	}
	s.all.at(h).refs++
	x.source = h
	if old != 0 {
		s.release(old)
	}
	if fresh && x.use != 0 { // left by one that has gone
		s.uses.release(x.use)
		x.use = 0
	}
}

func (s *sources) release(h uint32) {
	if x := s.all.at(h); x.refs == 1 {
		delete(s.byKey, x.sourceKey)
		*x = source{}
		s.all.release(h)
	} else {
		x.refs--
	}
}

// useOf is to be read; needUse to be written.
func (m *Machine) useOf(id limit.CounterID) *use {
	if h := m.sources.metas.at(uint32(id)).use; h != 0 {
		return m.sources.uses.at(h)
	}
	return &m.sources.nobody
}

func (m *Machine) needUse(id limit.CounterID) *use {
	x := m.sources.metas.at(uint32(id))
	if x.use == 0 {
		x.use = m.sources.uses.alloc()
		*m.sources.uses.at(x.use) = use{}
	}
	return m.sources.uses.at(x.use)
}
