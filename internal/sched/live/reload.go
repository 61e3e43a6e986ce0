package live

import "github.com/sluice-mta/sluice/internal/sched"

// namesPage is how many names one look under the lock lists.
const namesPage = 1000

// Reload gives the machine a new configuration. fill resolves the policies of the named
// pairs into the event; it is called outside the lock. base carries generation,
// server and tenants.
//
// The first pass covers every pair that the machine knows; pairs that came up
// meanwhile with the old generation are caught by further passes. From the first pass
// on Submit resolves anew whatever was resolved before the change, so the passes come
// to an end.
func (d *Driver) Reload(base sched.PolicyChanged, fill func(ev *sched.PolicyChanged, names []sched.Name)) {
	for pass := 0; ; pass++ {
		ev := base
		ev.Queues, ev.Hosts = nil, nil
		older := d.names(base.Generation, func(names []sched.Name) { fill(&ev, names) })
		if pass > 0 && older == 0 {
			return
		}
		d.mu.Lock()
		d.gen = base.Generation
		d.step(ev)
		d.mu.Unlock()
	}
}

// names hands each page of pairs whose policy is older than the generation to fill and
// returns how many there were.
func (d *Driver) names(generation uint64, fill func([]sched.Name)) int {
	total := 0
	for cursor := ""; ; {
		var page []sched.Name
		d.View(func(m *sched.Machine, _ int64) { page, cursor = m.Names(cursor, namesPage) })
		older := page[:0]
		for _, n := range page {
			if n.Generation < generation {
				older = append(older, n)
			}
		}
		if len(older) > 0 {
			total += len(older)
			fill(older)
		}
		if cursor == "" {
			return total
		}
	}
}
