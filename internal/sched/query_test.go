package sched

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// What one look under the lock does is bounded: the rows of a page, and the records that
// are looked at for it. Every list is whole when its pages are put together.
func TestPagesAreBounded(t *testing.T) {
	const queues = 10_000
	m := crowd(queues, 1, true)
	total := map[string]int{}
	top, _ := NewTop("ready", 100)
	for name, page := range map[string]func(cursor string) (rows int, next string){
		"queues": func(c string) (int, string) { rows, next := m.Queues(m.now, c, 1000); return len(rows), next },
		"names":  func(c string) (int, string) { rows, next := m.Names(c, 1000); return len(rows), next },
		"domains": func(c string) (int, string) {
			rows, next := m.BindingDomains("default", c, pageRows)
			return len(rows), next
		},
		"rank": func(c string) (int, string) { return 0, m.Rank(m.now, c, top) },
		"waits": func(c string) (int, string) {
			return 0, m.BindingWaits(m.now, "default", c, &Waits{}, 10)
		},
		"message": func(c string) (int, string) { _, next := m.FindMessage(mail.ID{}, c); return 0, next },
	} {
		at := uint32(1)
		for cursor := ""; ; {
			rows, next := page(cursor)
			total[name] += rows
			kind, to := parseCursor(next)
			before, _ := parseCursor(cursor)
			if rows > 2*pageRows {
				t.Errorf("%s: %d rows on a page", name, rows)
			}
			if next != "" && kind == before && to-at > pageSlots {
				t.Errorf("%s: %d records for one page", name, to-at)
			}
			if at, cursor = to, next; cursor == "" {
				break
			}
		}
	}
	want := map[string]int{"queues": queues, "names": queues + 1, "domains": queues, "rank": 0, "waits": 0, "message": 0}
	if fmt.Sprint(total) != fmt.Sprint(want) {
		t.Errorf("rows in all %v, want %v", total, want)
	}
}

// A domain with many tenants and bindings, and others under its name, comes in pages with
// every queue on exactly one.
func TestDomainInPages(t *testing.T) {
	r := newRig(t)
	const bindings, tenants = 7, 90
	for b := range bindings {
		for i := range tenants {
			r.n++
			r.step(Submitted{
				Message: mail.NewID(int64(r.n), [10]byte{1}), Tenant: fmt.Sprint("t", i), Received: r.now,
				Parts: []SubmittedPart{{Binding: fmt.Sprint("ip-", b), Domain: "one.test", Policy: testPolicy(bd(3)), Recipients: []int{0}, Due: r.now + sec*60}},
			})
		}
	}
	seen := map[string]bool{}
	pages := 0
	for cursor := ""; ; pages++ {
		v, next, ok := r.Domain(r.now, "one.test", cursor, 1000)
		if !ok || len(v.Queues) > pageRows {
			t.Fatalf("page %q: %v, %d rows", cursor, ok, len(v.Queues))
		}
		for _, q := range v.Queues {
			if seen[q.Queue] {
				t.Errorf("%s is on two pages", q.Queue)
			}
			seen[q.Queue] = true
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(seen) != bindings*tenants || pages < 4 {
		t.Errorf("%d queues on %d pages", len(seen), pages)
	}
}

// The oldest message and the next retry are known without a scan.
func TestAges(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(3))
	for i, age := range []time.Duration{time.Minute, time.Hour, time.Second} {
		r.step(Submitted{
			Message: mail.NewID(int64(i), [10]byte{1}), Received: r.now - int64(age), Recovered: true,
			Parts: []SubmittedPart{{Binding: "default", Domain: "one.test", Policy: p, Recipients: []int{0}, Due: r.now + int64(age)}},
		})
	}
	q, _ := r.Queue(r.now, "one.test", "default", "")
	if q.Oldest != 3600 || r.Totals(r.now).Oldest != time.Hour || q.State != "next retry in 1s" {
		t.Errorf("oldest %v of the queue and %v of all, %s", q.Oldest, r.Totals(r.now).Oldest, q.State)
	}
}
