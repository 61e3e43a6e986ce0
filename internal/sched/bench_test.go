package sched

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

func heapNow() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkHeld measures what a million parts take that wait in their queues.
func BenchmarkHeld(b *testing.B) {
	for _, domains := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("1M parts over %d domains", domains), func(b *testing.B) {
			for range b.N {
				before := heapNow()
				m := New(Config{})
				p := testPolicy(bd(8), server(1000, 0))
				var buf []Action
				start := time.Now()
				for i := range 1_000_000 {
					m.Step(sec, Submitted{
						Message: mail.NewID(int64(i), [10]byte{}), Received: sec, Recovered: true,
						Parts: []SubmittedPart{{Binding: "default", Domain: fmt.Sprintf("domain%d.test", i%domains), Policy: p, Recipients: []int{0}, Due: sec + int64(time.Hour)}},
					})
					buf = m.Drain(buf)
				}
				b.ReportMetric(1e6/time.Since(start).Seconds(), "submits/s")
				clear(buf[:cap(buf)])
				b.ReportMetric(float64(heapNow()-before)/1e6, "B/part")
				runtime.KeepAlive(m)
			}
		})
	}
}

// BenchmarkMessage measures the whole way of a message through the machine, over
// connections that stay open: submitted, delivered, accounted, stored, finished.
func BenchmarkMessage(b *testing.B) {
	m := New(Config{})
	p := testPolicy(bd(8), server(1000, 0))
	now := sec
	var buf []Action
	var todo fifo[Event]
	events := 0
	step := func(ev Event) {
		todo.push(ev)
		for {
			ev, ok := todo.pop()
			if !ok {
				return
			}
			events++
			m.Step(now, ev)
			buf = m.Drain(buf)
			for _, a := range buf {
				switch a := a.(type) {
				case Resolve:
					todo.push(Resolved{Binding: a.Binding, Domain: a.Domain, Hosts: []RouteHost{mx("mx.test", 10, "192.0.2.1")}, Until: neverTime, Class: mail.ClassDelivered})
				case Connect:
					todo.push(Connected{Conn: a.Conn})
					todo.push(Wants{a.Conn, 2})
				case Deliver:
					out := []mail.Outcome{{Class: mail.ClassDelivered}}
					todo.push(Attempted{Conn: a.Conn, Part: a.Part, Outcomes: out})
					todo.push(Wants{a.Conn, 1})
				case Account:
					todo.push(Recorded{a.Seq})
				case Finish:
					todo.push(Stored{a.Seq})
				case Close:
					todo.push(Closed{Conn: a.Conn})
				}
			}
		}
	}
	rcpt := []int{0}
	b.ReportAllocs()
	for i := range b.N {
		now += 1000
		step(Submitted{
			Message: mail.NewID(int64(i), [10]byte{}), Received: now,
			Parts: []SubmittedPart{{Binding: "default", Domain: "one.test", Policy: p, Recipients: rcpt, Due: now}},
		})
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
