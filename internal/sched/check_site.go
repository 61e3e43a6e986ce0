package sched

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/limit"
)

// checkSites recounts who is on which site, whether each lane counts on the counters that are
// its own, and that nobody has written to what stands for nothing.
func (m *Machine) checkSites() error {
	if noConns != (served{}) || noMore != (laneMore{}) || noRules != (rules{}) || noSite.refs != 0 || len(noSite.hosts) > 0 {
		return fmt.Errorf("what lanes and queues without connections, site or trouble share is not empty: %+v, %+v, %+v", noConns, noMore, noSite)
	}
	refs, mores, conns := map[*site]int32{}, 0, 0
	for h := uint32(1); h < m.lanes.next; h++ {
		l := m.lanes.at(h)
		if l.policy == nil {
			continue
		}
		if l.laneMore != &noMore {
			mores++
		}
		if l.route.site != &noSite {
			refs[l.route.site]++
		}
		if err := m.checkOwn(h, l); err != nil {
			return err
		}
	}
	for h := uint32(1); h < m.lanes.next; h++ {
		if l := m.lanes.at(h); l.policy != nil && l.route.site != &noSite && l.route.refs != refs[l.route.site] {
			return fmt.Errorf("a site counts %d lanes; they are %d", l.route.refs, refs[l.route.site])
		}
	}
	for h := uint32(1); h < m.queues.next; h++ {
		if m.queues.at(h).served != &noConns {
			conns++
		}
	}
	if mores != m.mores.live || conns != m.served.live {
		return fmt.Errorf("%d lanes and %d queues have more than nothing; %d and %d are kept", mores, conns, m.mores.live, m.served.live)
	}
	return nil
}

// checkOwn: the lane's own counters are those of its slots, under its routing domain.
func (m *Machine) checkOwn(h uint32, l *lane) error {
	if m.urgent.len() > 0 { // it may be on its way to other ones
		return nil
	}
	names := m.laneText(l)
	for k := range l.route.slots {
		x := &l.route.slots[k]
		id := m.ownOf(l, ownSlot|limit.CounterID(k))
		want := x.key()
		want.Domain, want.Sent = names.domain, x.sent
		if got := m.limits.Key(id); got.Domain != want.Domain || got.Option != want.Option || got.Sent != want.Sent {
			return fmt.Errorf("lane %d has %+v as its own counter %d, which should be %+v", h, got, k, want)
		}
	}
	return nil
}
