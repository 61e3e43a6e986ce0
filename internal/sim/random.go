package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Random furnishes a world by its seed: bindings, domains on shared hosts, limits of
// every kind, receivers that misbehave for some time, mail, and operators and reloads
// in between. Crashes happen only if asked for, because they may repeat deliveries.
func Random(seed uint64, crashes bool) *World {
	w := New(seed)
	w.Check = true
	r := w.rng
	nBindings, nHosts, nDomains := 1+r.IntN(4), 1+r.IntN(6), 1+r.IntN(8)
	var bindings, domains, hosts []string
	for i := range nBindings {
		b := w.bindingOf(fmt.Sprintf("ip-%d", i))
		b.weight = 1 + r.IntN(3)
		if r.IntN(2) == 0 {
			b.group = "pool"
		}
		bindings = append(bindings, b.name)
	}
	for i := range nHosts {
		x := w.Receiver(fmt.Sprintf("mx%d.test", i))
		x.Latency = time.Duration(1+r.IntN(200)) * time.Millisecond
		if r.IntN(3) == 0 {
			x.PerSource = 1 + r.IntN(5)
		}
		if r.IntN(3) == 0 {
			x.Addresses = append(x.Addresses, x.Addresses[0].Next().Next())
		}
		if r.IntN(3) == 0 {
			x.Addresses = append(x.Addresses, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i + 1)}))
		}
		for range r.IntN(3) {
			from := time.Duration(r.IntN(3600)) * time.Second
			w.During(x, behaviours[r.IntN(len(behaviours))], from, from+time.Duration(r.IntN(1800))*time.Second)
		}
		hosts = append(hosts, x.Host)
	}
	for i := range nDomains {
		d := &domain{}
		for range 1 + r.IntN(3) {
			h := mxHost{name: hosts[r.IntN(nHosts)], preference: 10 * (1 + r.IntN(2)), tls: sched.TLS(r.IntN(3))}
			if !slices.ContainsFunc(d.hosts, func(x mxHost) bool { return x.name == h.name }) {
				d.hosts = append(d.hosts, h)
			}
		}
		slices.SortStableFunc(d.hosts, func(a, b mxHost) int { return a.preference - b.preference })
		name := fmt.Sprintf("d%d.test", i)
		w.domains[name] = d
		domains = append(domains, name)
	}
	w.randomLimits(bindings, domains, hosts)
	w.randomOptions()
	w.randomEvents(bindings, domains, hosts, crashes)
	return w
}

func (w *World) randomLimits(bindings, domains, hosts []string) {
	r := w.rng
	w.Limit(optMax, "*", 1+r.IntN(12), 0, 1)
	reserve := 0
	if r.IntN(2) == 0 {
		reserve = r.IntN(3)
	} else if r.IntN(2) == 0 {
		w.rules.tenants = map[string]int{"a": 1, "b": 5}
	}
	w.Limit(optServer, "*", 2+r.IntN(20), reserve, 2)
	for i := range r.IntN(6) {
		d, h, b := domains[r.IntN(len(domains))], hosts[r.IntN(len(hosts))], bindings[r.IntN(len(bindings))]
		most := 1 + r.IntN(6)
		switch r.IntN(8) {
		case 0:
			w.Limit(optMax, d, most, 0, 3+i)
		case 1:
			w.Limit(optScope, d, most, 0, 3+i)
		case 2:
			w.Limit(optMax, "host:"+h, most, 0, 3+i)
		case 3:
			w.Limit(optScope, "host:"+h, most, 0, 3+i)
		case 4:
			w.Limit(optMax, "address:"+h, most, 0, 3+i)
		case 5:
			w.Limit(optServer, "binding:"+b, most, 0, 3+i)
		case 6:
			w.Limit(optScope, "group:pool", most, 0, 3+i)
		case 7:
			w.Limit(optScope, "group:pool/"+d, most, 0, 3+i)
		}
	}
}

func (w *World) randomOptions() {
	r := w.rng
	deliveries, batch, rcpt := 0, 1+r.IntN(5), 0
	if r.IntN(3) == 0 {
		deliveries = 1 + r.IntN(10)
	}
	if r.IntN(3) == 0 {
		rcpt = 1 + r.IntN(10)
	}
	idle := time.Duration(r.IntN(6)) * time.Second
	retries := -1
	if r.IntN(4) == 0 {
		retries = r.IntN(6)
	}
	k, bounces, delays := []float64{0.3, 0.75}[r.IntN(2)], r.IntN(4) > 0, r.IntN(2) == 0
	w.rules.tune = func(q *policy.Queue) {
		q.MaxDeliveriesPerConnection, q.MaxRecipientsPerBatch, q.MaxRecipientsPerConnection = deliveries, batch, rcpt
		q.IdleTimeout, q.MaxRetries, q.Ramp, q.GenerateBounces, q.GenerateDelayDSN = idle, retries, k, bounces, delays
		q.Expiration = 48 * time.Hour
	}
	w.books.lag = time.Duration(1+r.IntN(20)) * time.Millisecond
	w.Reload()
}

// randomEvents spreads an hour of mail and of what operators do over the agenda.
func (w *World) randomEvents(bindings, domains, hosts []string, crashes bool) {
	r := w.rng
	tenants := []string{""}
	if len(w.rules.tenants) > 0 {
		tenants = []string{"", "a", "b"}
	}
	for range 20 + r.IntN(100) {
		at := time.Duration(r.IntN(3600_000)) * time.Millisecond
		n, d, b, rcpt := 1+r.IntN(12), domains[r.IntN(len(domains))], bindings[r.IntN(len(bindings))], 1+r.IntN(8)
		tenant := tenants[r.IntN(len(tenants))]
		w.client(at, func() {
			for range n {
				w.Submit(b, d, tenant, rcpt)
			}
		})
	}
	for range r.IntN(12) {
		at := time.Duration(r.IntN(3600_000)) * time.Millisecond
		d, b := domains[r.IntN(len(domains))], w.bindingOf(bindings[r.IntN(len(bindings))])
		span := time.Duration(r.IntN(600)) * time.Second
		switch what := r.IntN(8); what {
		case 0:
			w.client(at, func() { w.step(sched.Operator{Verb: sched.Suspend, Domain: d, By: "chance"}) })
			w.client(at+span, func() { w.step(sched.Operator{Verb: sched.Resume, Domain: d, By: "chance"}) })
		case 1:
			w.client(at, func() { w.step(sched.Operator{Verb: sched.Suspend, Binding: b.name, By: "chance"}) })
			w.client(at+span, func() { w.step(sched.Operator{Verb: sched.Resume, Binding: b.name, By: "chance"}) })
		case 2:
			w.client(at, func() { w.step(sched.Operator{Verb: sched.Retry, Domain: d}) })
		case 3:
			class := sched.ConnectLocalAddress + sched.ConnectClass(r.IntN(4))
			only6 := r.IntN(2) == 0
			w.client(at, func() { b.trouble, b.only6 = class, only6 })
			w.client(at+span, func() { b.trouble = sched.ConnectOK })
		case 4:
			class := []mail.Class{mail.ClassDeferred, mail.ClassLocal, mail.ClassRefused}[r.IntN(3)]
			w.client(at, func() { w.domains[d].fails = class })
			w.client(at+span, func() { w.domains[d].fails = mail.ClassNone })
		case 5, 6:
			i, most := r.IntN(len(w.rules.limits)), r.IntN(8)
			w.client(at, func() {
				x := w.rules.limits[i]
				w.Limit(x.option, x.target, most, x.reserve, 99)
			})
			w.client(at+span, func() {
				x := w.rules.limits[i]
				w.Limit(x.option, x.target, 1+most, x.reserve, 99)
			})
		case 7:
			if crashes {
				w.client(at, func() { w.Crash(0) })
				continue
			}
			w.client(at, func() { w.Spool(false) })
			w.client(at+span, func() { w.Spool(true) })
		}
	}
}

// Settle lets everything come to its end and then looks whether anything was lost,
// repeated, left behind or still held.
func (w *World) Settle() error {
	w.RunUntilQuiet(100 * time.Hour)
	if w.failure != nil {
		return w.failure
	}
	if err := w.machine().CheckInvariants(); err != nil {
		w.fail("at the end: %v", err)
	}
	if t := w.m.Totals(w.now); t.Messages+t.Parts+t.Queues+t.Connections > 0 {
		rows, _ := w.m.Queues(w.now, "", 3)
		w.fail("left at the end: %+v %+v", t, rows)
	}
	for _, id := range w.books.order {
		f := w.books.of(id)
		if !f.finished {
			w.fail("message %s was never finished", id)
		}
		for r := range f.rcpt {
			if !f.final[r] {
				w.fail("message %s: recipient %d has no outcome", id, r)
			}
		}
	}
	for name, n := range w.referee.open {
		if n != 0 {
			w.fail("%d connections on %s are still open", n, name)
		}
	}
	return w.failure
}
