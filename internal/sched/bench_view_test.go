package sched

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// crowd is a machine with many queues, one a domain, parts in each, whose route has the
// same host. With park they wait for a limit.
func crowd(queues, parts int, park bool) *Machine {
	return crowdTimed(queues, parts, park, func(time.Duration) {})
}

// crowdTimed is the same; each is told how long every step took.
func crowdTimed(queues, parts int, park bool, each func(took time.Duration)) *Machine {
	m := New(Config{})
	p := testPolicy(bd(8), server(1, 0))
	var buf []Action
	now := sec
	step := func(ev Event) []Action {
		start := threadTime()
		m.Step(now, ev)
		each(threadTime() - start)
		buf = m.Drain(buf)
		return append([]Action(nil), buf...)
	}
	due := now + int64(time.Hour)
	if park {
		due = now
	}
	n := int64(0)
	for k := range parts {
		for i := range queues {
			n++
			for _, a := range step(Submitted{
				Message: mail.NewID(n, [10]byte{}), Received: now, Recovered: true,
				Parts: []SubmittedPart{{Binding: "default", Domain: fmt.Sprintf("domain%d.test", i), Policy: p, Recipients: []int{0}, Due: due}},
			}) {
				if a, ok := a.(Resolve); ok {
					step(Resolved{Binding: a.Binding, Domain: a.Domain, Hosts: []RouteHost{mx("mx.test", 10, "192.0.2.1")}, Until: neverTime, Class: mail.ClassDelivered})
				}
			}
			if k == 0 && i == 0 && park { // the one connection: the host is proven
				for h := uint32(1); h < m.conns.next; h++ {
					step(Connected{Conn: m.connID(h)})
				}
			}
		}
	}
	clear(buf[:cap(buf)])
	return m
}

// BenchmarkQueueBytes measures what a queue takes beside its mail: one that waits for a
// time, and one that has a route and waits for a limit.
func BenchmarkQueueBytes(b *testing.B) {
	const queues = 1_000_000
	for _, park := range []bool{false, true} {
		b.Run(map[bool]string{false: "idle", true: "parked"}[park], func(b *testing.B) {
			for range b.N {
				before := heapNow()
				m := crowd(queues, 1, park)
				all := float64(heapNow()-before) / queues
				mailBytes := float64(partBytes + timerBytes + messageBytes)
				b.ReportMetric(all-mailBytes, "B/queue")
				b.ReportMetric(mailBytes, "B/mail")
				b.ReportMetric(float64(m.Totals(m.now).Queues), "queues")
				runtime.KeepAlive(m)
			}
		})
	}
}

// BenchmarkPages measures how long the machine is looked at for a page of each list, with
// a million messages in a hundred thousand queues that wait.
func BenchmarkPages(b *testing.B) {
	m := crowd(100_000, 10, true)
	top, _ := NewTop("oldest", 1000)
	survey := NewSurvey(50)
	now := m.now + 60*sec
	longest := func(b *testing.B, page func(cursor string) string) {
		var took []time.Duration
		for range b.N {
			for cursor := ""; ; {
				start := time.Now()
				cursor = page(cursor)
				took = append(took, time.Since(start))
				if cursor == "" {
					break
				}
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		b.ReportMetric(float64(took[len(took)-1].Microseconds()), "µs-longest")
		b.ReportMetric(float64(len(took))/float64(b.N), "pages")
	}
	for _, x := range []struct {
		name string
		page func(cursor string) string
	}{
		{"queues", func(c string) string { _, next := m.Queues(now, c, 1000); return next }},
		{"survey", func(c string) string { return m.Survey(now, c, survey) }},
		{"rank", func(c string) string { return m.Rank(now, c, top) }},
		{"names", func(c string) string { _, next := m.Names(c, 1000); return next }},
		{"bindingDomains", func(c string) string { _, next := m.BindingDomains("default", c, 1000); return next }},
		{"bindingWaits", func(c string) string { return m.BindingWaits(now, "default", c, &Waits{}, 16) }},
		{"holders", func(c string) string { return m.Holders("server_max_outbound_connections server", c, map[string]int{}) }},
		{"message", func(c string) string { _, next := m.FindMessage(mail.NewID(999_999, [10]byte{}), c); return next }},
		{"domain", func(c string) string { _, next, _ := m.Domain(now, "domain77.test", c, 1000); return next }},
		{"totals", func(string) string { m.Totals(now); return "" }},
		{"bindings", func(string) string { m.Bindings(); return "" }},
		{"counter", func(string) string { m.ExplainCounter(now, "server_max_outbound_connections server", 20); return "" }},
		{"host", func(c string) string { _, next := m.ExplainHost(now, "mx.test", c, 16); return next }},
	} {
		b.Run(x.name, func(b *testing.B) { longest(b, x.page) })
	}
}

// BenchmarkExplain measures one explanation of a queue with a full history.
func BenchmarkExplain(b *testing.B) {
	m := crowd(10_000, 2, true)
	m.now += 1000 * sec
	names := make([]string, 0, 1000)
	rows, _ := m.Queues(m.now, cursorAt('q', 5000), 1000)
	for _, q := range rows {
		names = append(names, q.Queue)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if x, ok := m.Explain(m.now, names[i%len(names)]); !ok || x.WaitingOn == nil {
			b.Fatalf("%+v", x)
		}
	}
}
