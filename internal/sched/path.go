package sched

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// openFilesOption names the counter that keeps connections within the open-file limit.
const openFilesOption = "open_files"

// keyOf is the key of the counter that a limit counts on.
func keyOf(x *policy.Limit, l laneText, host string, p *placeKey) limit.Key {
	k := limit.Key{Option: x.Option}
	if x.By&policy.ByBinding != 0 {
		k.Binding = l.binding
	}
	if x.By&policy.ByGroup != 0 {
		k.Group = l.group
	}
	if x.By&policy.ByDomain != 0 {
		k.Domain = l.domain
	}
	if x.By&policy.ByHost != 0 {
		k.Host = host
	}
	if x.By&policy.ByAddress != 0 && p != nil {
		k.Address = p.addr
	}
	if x.By&policy.ByStanza != 0 {
		k.Stanza = x.Origin.Stanza
	}
	return k
}

// laneText is the names that a lane is counted under; domain is its routing domain.
type laneText struct{ binding, group, domain string }

func (m *Machine) laneText(l *lane) laneText {
	b := &m.names.bindings[l.key.binding]
	return laneText{b.name, b.group, m.routingOf(l)}
}

const byHost = policy.ByHost | policy.ByAddress

// path is the counters of a connection from a lane to an address of a host, most
// specific first. Each is referred to once more.
func (m *Machine) path(l *lane, host, place uint32) []limit.CounterID {
	names := m.laneText(l)
	path, _ := m.pathBy(l, host, place, func(x *policy.Limit, generation uint64) limit.CounterID {
		return m.counter(x, keyOf(x, names, m.hosts.at(host).key.host, &m.places.at(place).key), generation)
	})
	return path
}

// pathBy is the same with counters as find gives them; own of them are the host's.
func (m *Machine) pathBy(l *lane, host, place uint32, find func(x *policy.Limit, generation uint64) limit.CounterID) (path []limit.CounterID, own int) {
	hs, pl := m.hosts.at(host), m.places.at(place)
	var room [limit.MaxPath]limit.CounterID
	path = room[:0]
	add := func(x *policy.Limit, generation uint64) {
		if x.Max < 0 {
			return
		}
		id := find(x, generation)
		if i := slices.Index(path, id); i >= 0 {
			m.releasePath(path[i : i+1])
			return
		}
		path = append(path, id)
	}
	if hs.policy != nil {
		at := hs.known[pl.key.addr].limits
		for i := range at {
			add(&at[i], hs.generation)
		}
		for i := range hs.policy.Limits {
			add(&hs.policy.Limits[i], hs.generation)
		}
	}
	for i := range l.policy.Limits {
		if x := &l.policy.Limits[i]; x.By&byHost != 0 {
			add(x, l.generation)
		}
	}
	own = len(path)
	for i := range l.policy.Limits {
		if x := &l.policy.Limits[i]; x.By&byHost == 0 {
			add(x, l.generation)
		}
	}
	if m.open != 0 {
		m.limits.Counter(m.limits.Key(m.open), 0, 0) // one reference more
		path = append(path, m.open)
	}
	return slices.Clone(path), own
}

// counter finds or creates the counter of a limit. The newest generation that names it
// sets its ceiling.
func (m *Machine) counter(x *policy.Limit, k limit.Key, generation uint64) limit.CounterID {
	id, fresh := m.limits.Counter(k, x.Max, x.Reserve)
	by := sourceKey{limit: x, generation: generation}
	switch {
	case fresh:
		m.setSource(id, by, true)
	case generation > m.sourceOf(id).generation:
		m.setSource(id, by, false)
		if s := m.limits.State(id); s.Limit != x.Max || s.Reserve != x.Reserve {
			m.limits.SetLimit(id, x.Max, x.Reserve)
		}
	}
	return id
}

// label is a counter's name, as printed and asked for.
func (m *Machine) label(id limit.CounterID) string {
	k := m.limits.Key(id)
	return k.Option + " " + k.String()
}

// granted counts a connection on the counters of its path.
func (m *Machine) granted(path []limit.CounterID) {
	for _, id := range path {
		m.needUse(id).grants.add(m.now, 1)
	}
}

// openFiles makes, changes or drops the counter of the open-file limit.
func (m *Machine) openFiles() {
	most := m.server.MaxConnections
	if most <= 0 {
		if m.open != 0 {
			m.limits.Release(m.open)
			m.open = 0
		}
		return
	}
	x := &policy.Limit{Option: openFilesOption, Max: most, Origin: policy.Origin{Stanza: m.server.BoundBy}}
	if m.open == 0 {
		m.open = m.counter(x, limit.Key{Option: openFilesOption}, m.generation)
		return
	}
	m.setSource(m.open, sourceKey{limit: x, generation: m.generation}, false)
	m.limits.SetLimit(m.open, most, 0)
}
