package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sink"
)

// TestRollupSaysWhy: explain and domain name the file and line that roll a domain up, or keep
// it out; a reload moves what is queued.
func TestRollupSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.file("zone", "one.test. 60 MX 10 mx.one.test.\ntwo.test. 60 MX 10 mx.two.test.\nmx.one.test. 60 A 127.0.0.1\nmx.two.test. 60 A 127.0.0.1\n")
	w.sink(sink.Options{Faults: []sink.Fault{{Kind: sink.StallDot, Share: 1}}})
	const mark = "# what follows changes\n"
	s := w.start(mark + "Rollup shared.rollup { mx = ( mx.* ) }")
	b := backend{s}
	send(t, s, "m", "u@one.test", "u@two.test")
	under := func(domain string) string {
		v, err := b.Domain(domain)
		if err != nil || len(v.Queues) == 0 {
			return fmt.Sprint(err)
		}
		return v.Queues[0].Routing + ": " + strings.Join(v.Rollups, "; ")
	}
	conns := func(name string) int {
		n := 0
		b.driver.View(func(m *sched.Machine, now int64) {
			d, _, _ := m.Domain(now, name, "", 100)
			for _, q := range d.Queues {
				n += q.Conns
			}
		})
		return n
	}
	until(t, "two connections under the rollup", func() bool { return conns("shared.rollup") == 2 })
	if got := under("one.test"); !strings.HasPrefix(got, "shared.rollup: rolled up under shared.rollup by ") {
		t.Error(got)
	}
	if got, err := b.Domain("shared.rollup"); err != nil || len(got.Queues) != 2 || !strings.Contains(got.Rollups[0], "a rollup, declared at ") {
		t.Errorf("%+v %v", got, err)
	}
	reload := func(more string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(w.dir, "sluice.conf"))
		if err != nil {
			t.Fatal(err)
		}
		fixed, _, _ := strings.Cut(string(text), mark)
		w.file("sluice.conf", fixed+mark+more)
		if _, err := s.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ conf, routing, why string }{
		{"mx_rollup = auto", "auto:mx.one.test", "rolled up under auto:mx.one.test by "},
		{"mx_rollup = two.test", "one.test", "not rolled up: its best MX hosts are not among those of two.test, which mx_rollup names at "},
		{"mx_rollup = one.test", "one.test", ""},
		{"Rollup shared.rollup { mx = ( mx.* ) }\nDomain one.test { max_outbound_connections = 3 }", "one.test", `not rolled up: domain "one.test" sets max_outbound_connections at `},
		{"gateway = \"mx.one.test\"", "mx.one.test", "counted under its gateway mx.one.test, set at "},
	} {
		reload(c.conf)
		until(t, c.conf, func() bool {
			return conns(c.routing) >= 1 && strings.HasPrefix(under("one.test"), c.routing+": "+c.why)
		})
	}
}
