package server

import (
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/metrics"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Top implements admin.Backend.
func (b backend) Top(order string, n int) (admin.Top, error) {
	queues, err := b.TopQueues(order, n)
	if err != nil {
		return admin.Top{}, err
	}
	waiting := queues
	if order != "waiting" {
		if waiting, err = b.TopQueues("waiting", n); err != nil {
			return admin.Top{}, err
		}
	}
	for i := range waiting {
		if waiting[i].Cause == "" { // from here on nobody waits
			waiting = waiting[:i]
			break
		}
	}
	v, counts := b.survey(), b.metrics.Totals()
	bindings := byConnections(v.Bindings)
	out := admin.Top{
		Version: b.opts.Version, Hostname: b.policies.snapshot().Hostname, Uptime: time.Since(b.started).Seconds(),
		Pressure: b.gate.closed().String(), Sort: order, Queues: list(queues), Waiting: list(waiting),
		Connections: v.Conns, Limits: v.Fullest[:min(len(v.Fullest), n)],
		Counts: admin.Counts{
			Received: counts[metrics.Received], Delivered: counts[metrics.Delivered],
			Deferred: counts[metrics.Deferred], Bounced: counts[metrics.Bounced],
		},
	}
	if len(bindings) > n {
		bindings, out.More = bindings[:n], len(bindings)-n
	}
	for i := range bindings {
		bindings[i].Domains = []sched.BindingUsage{}
	}
	out.Bindings = list(bindings)
	b.driver.View(func(m *sched.Machine, now int64) { out.Queue = m.Totals(now) })
	out.Queue.Waiting = list(out.Queue.Waiting)
	return out, nil
}
