package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
)

// TestEqualHosts: hosts of one preference get equal shares of mail, within a tenth, while
// none is full: of a backlog, of a trickle, and of many domains with little mail each.
func TestEqualHosts(t *testing.T) {
	const messages = 3000
	for name, load := range map[string]func(w *World){
		"backlog": func(w *World) {
			for range messages {
				w.Submit("default", "one.test", "", 1)
			}
		},
		"trickle": func(w *World) {
			for i := range messages {
				w.client(time.Duration(i)*20*time.Millisecond, func() { w.Submit("default", "one.test", "", 1) })
			}
		},
		"many domains": func(w *World) {
			for i := range messages {
				d := fmt.Sprintf("d%d.test", i)
				w.domains[d] = w.domains["one.test"]
				w.client(time.Duration(i)*5*time.Millisecond, func() { w.Submit("default", d, "", 1) })
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(1)
			w.rules.tune = func(q *policy.Queue) { q.MaxDeliveriesPerConnection = 1 } // a connection is a message
			one := &domain{}
			for _, h := range []string{"a", "b", "c"} {
				one.hosts = append(one.hosts, mxHost{name: h + ".test", preference: 10})
				w.Receiver(h + ".test")
			}
			one.hosts = append(one.hosts, mxHost{name: "worse.test", preference: 20})
			w.Receiver("worse.test")
			w.domains["one.test"] = one
			load(w)
			w.RunUntilQuiet(time.Hour)
			if err := w.Settle(); err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, h := range one.hosts[:3] {
				n := w.Receiver(h.name).accepted
				got = append(got, n)
				if n < messages*9/30 || n > messages*11/30 {
					t.Errorf("%s got %d of %d messages, three equals", h.name, n, messages)
				}
			}
			if n := w.Receiver("worse.test").accepted; n > 0 {
				t.Errorf("the worse host got %d", n)
			}
			t.Logf("%d messages: %v", messages, got)
		})
	}
}
