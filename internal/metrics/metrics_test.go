package metrics

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the generated part of docs/metrics.md anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mark = "<!-- What follows is made by `go test ./internal/metrics -run TestPage -update`. Do not edit. -->\n"

// TestPage holds the manual's table to the metrics themselves.
func TestPage(t *testing.T) {
	const page = "../../docs/metrics.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, have, ok := strings.Cut(string(data), mark)
	if !ok {
		t.Fatalf("%s has no line %s", page, mark)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+mark+"\n"+Page()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != "\n"+Page() {
		t.Errorf("%s is not what the program says: go test ./internal/metrics -run TestPage -update", page)
	}
}

// sample has something of everything, and more names than labels take.
func sample() Sample {
	s := Sample{
		Version: "1", Uptime: 1, Messages: 3, Queued: 1, Ready: 1, Delivering: 1, Queues: 2, Opening: 1, Idle: 2, Sending: 3, Closing: 4,
		Causes:  []Cause{{"max_outbound_connections", 2, 1.5}},
		Options: []Option{{"max_outbound_connections", 3, 1, 4, 20, 2, 9, 1.5}},
		Spool:   Spool{Live: 1, Free: -1, Sick: true},
	}
	for i := range 3 * Keys {
		s.Bindings = append(s.Bindings, Binding{fmt.Sprint("b", i), 1, 2, 3})
		s.Keys = append(s.Keys, Key{Option: "server_max_outbound_connections", Key: fmt.Sprint("b", i), Use: 1, Max: 5, Waiters: 1, Grants: 7})
	}
	return s
}

func busy() *Metrics {
	m := New(sample)
	for i := range 3 * Keys {
		for o := range outcomes {
			m.Accounted(o, fmt.Sprint("b", i), 2)
		}
	}
	m.Refused("no_room")
	m.Reported("feedback", true)
	m.Held("step")(time.Microsecond, time.Millisecond)
	return m
}

// TestLint: names, units and help are as Prometheus wants them.
func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(busy().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestEveryMetric: whatever the table names is there, and nothing else of ours.
func TestEveryMetric(t *testing.T) {
	families, err := busy().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range families {
		if there[f.GetName()] = true; strings.HasPrefix(f.GetName(), "sluice_") && !named(f.GetName()) {
			t.Errorf("%s is not in the table", f.GetName())
		}
	}
	for _, m := range table {
		if !there[m.name] {
			t.Errorf("%s is in the table and is not collected", m.name)
		}
	}
	for _, name := range []string{"process_resident_memory_bytes", "go_goroutines"} {
		if !there[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func named(name string) bool {
	for _, m := range table {
		if m.name == name {
			return true
		}
	}
	return false
}

// TestBounded: labels from the configuration take Keys values and "other", which sums up
// the rest.
func TestBounded(t *testing.T) {
	families, err := busy().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		values, other, all := map[string]bool{}, 0.0, 0.0
		for _, x := range f.GetMetric() {
			for _, l := range x.GetLabel() {
				if l.GetName() != "binding" && l.GetName() != "key" {
					continue
				}
				v := x.GetGauge().GetValue() + x.GetCounter().GetValue()
				if values[l.GetValue()] = true; l.GetValue() == Other {
					other += v
				}
				all += v
			}
		}
		if len(values) > Keys+1 {
			t.Errorf("%s: %d values of a label", f.GetName(), len(values))
		}
		if strings.HasPrefix(f.GetName(), "sluice_recipients_") && (all != 3*Keys*2 || other != 2*Keys*2) {
			t.Errorf("%s: %v in all, %v of others", f.GetName(), all, other)
		}
		if f.GetName() == "sluice_limit_key_use" && (all != 3*Keys || other != 2*Keys) {
			t.Errorf("%s: %v in all, %v of others", f.GetName(), all, other)
		}
	}
}

// TestNeverFalls: a sum that a scrape found too low is shown as it was.
func TestNeverFalls(t *testing.T) {
	n := uint64(5)
	m := New(func() Sample { return Sample{Options: []Option{{Name: "x", Grants: n}}} })
	for _, step := range []struct{ is, want uint64 }{{5, 5}, {3, 5}, {8, 8}} {
		n = step.is
		want := fmt.Sprintf("# HELP sluice_limit_grants_total %s\n# TYPE sluice_limit_grants_total counter\nsluice_limit_grants_total{option=\"x\"} %d\n", limitGrants.help, step.want)
		if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "sluice_limit_grants_total"); err != nil {
			t.Error(err)
		}
	}
}

// TestTogether scrapes while things happen.
func TestTogether(t *testing.T) {
	m := New(sample)
	h := m.Handler()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for j := range 20 {
				m.Accounted(Delivered, fmt.Sprint(i, j), 1)
				m.Refused("no_room")
				m.Reported("feedback", true)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				if w.Code != 200 {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	if n := m.Totals()[Delivered]; n != 60 {
		t.Errorf("%d delivered, want 60", n)
	}
}

// TestSpread: times fall into the right buckets and add up.
func TestSpread(t *testing.T) {
	m := New(sample)
	held := m.Held("step")
	for _, d := range []time.Duration{0, time.Microsecond, time.Microsecond + 1, 3 * time.Millisecond, time.Minute} {
		held(0, d)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != lockHeld.name {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 5 || h.GetSampleSum() < 60.003 || h.GetSampleSum() > 60.004 {
			t.Errorf("%d times, %v s", h.GetSampleCount(), h.GetSampleSum())
		}
		for _, b := range h.GetBucket() {
			want := map[bool]uint64{true: 3, false: 4}[b.GetUpperBound() < 0.005]
			if b.GetUpperBound() == 1e-6 {
				want = 2
			}
			if b.GetCumulativeCount() != want {
				t.Errorf("up to %v: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
			}
		}
	}
}

func BenchmarkHeld(b *testing.B) {
	held := New(sample).Held("step")
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			held(0, time.Microsecond)
		}
	})
}
