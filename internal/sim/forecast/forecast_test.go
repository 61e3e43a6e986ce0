package forecast

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
)

func parse(t testing.TB, text string) *policy.Snapshot {
	t.Helper()
	s, found := (&config.Loader{Hostname: "sim.test"}).Parse("sluice.conf", text)
	if found.HasErrors() {
		t.Fatal(found)
	}
	return s
}

var model = Receivers{Latency: 40 * time.Millisecond, Service: 100 * time.Millisecond, Bandwidth: 1 << 20}

func simulate(t testing.TB, text string, l *Load) *Result {
	t.Helper()
	r, err := Run(context.Background(), Options{Snapshot: parse(t, text), Load: l, Receivers: model, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func drawn(t testing.TB, named []string, domains, messages int, over time.Duration) *Load {
	t.Helper()
	l, err := Drawn(named, domains, messages, over, 1)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func limit(t *testing.T, r *Result, option string, line int) Limit {
	t.Helper()
	for _, l := range r.Limits {
		if l.Option == option && l.Line == line {
			return l
		}
	}
	t.Fatalf("nothing is said of %s in line %d: %+v", option, line, r.Limits)
	return Limit{}
}

// TestOneLimit: a backlog behind one limit takes as long as can be reckoned.
func TestOneLimit(t *testing.T) {
	r := simulate(t, "max_outbound_connections = 5\n", drawn(t, []string{"one.test"}, 1, 10000, 0))
	// A transaction takes two round trips, the receiver's time and the line's: 0.199 s.
	want := 10000 * 0.199 / 5
	if r.Finished < want || r.Finished > want*1.05 || r.Delivered != 10000 || r.Left != 0 {
		t.Errorf("finished after %.1f s with %d delivered and %d left, reckoned %.1f s", r.Finished, r.Delivered, r.Left, want)
	}
	l := limit(t, r, "max_outbound_connections", 1)
	if l.Peak != 5 || l.Limit != 5 || l.Reached != 1 || l.PeakKey != "default/one.test" || l.Share < 0.9 || l.Most != "default/one.test" {
		t.Errorf("the limit is said to be %+v", l)
	}
	if r.PeakConnections != 5 {
		t.Errorf("%d connections at once", r.PeakConnections)
	}
}

// TestWhatBlocks: of two limits on a path the one that binds is named.
func TestWhatBlocks(t *testing.T) {
	text := "server_reserve_outbound_connections = 0\ndomain \"/test$/\" {\n  scope_max_outbound_connections = 6\n}\nmax_outbound_connections = 4\nbinding ip-1 { }\nbinding ip-2 { }\n"
	r := simulate(t, text, drawn(t, nil, 20, 5000, 0))
	pool := limit(t, r, "scope_max_outbound_connections", 3)
	if pool.Peak != 6 || pool.Counters != 1 || pool.Share < 0.9 {
		t.Errorf("the pool is said to be %+v", pool)
	}
	if pair := limit(t, r, "max_outbound_connections", 5); pair.Peak > 4 || pair.Counters != 40 {
		t.Errorf("pairs of binding and domain: %+v", pair)
	}
	if r.PeakConnections != 6 {
		t.Errorf("%d connections at once", r.PeakConnections)
	}
}

// TestSameTwice: the same load under the same configuration gives the same result.
func TestSameTwice(t *testing.T) {
	text := "max_outbound_connections = 3\nbinding_group g { binding a { weight = 3 } binding b { } }\n"
	a := simulate(t, text, drawn(t, nil, 50, 5000, time.Hour))
	b := simulate(t, text, drawn(t, nil, 50, 5000, time.Hour))
	if !reflect.DeepEqual(a, b) {
		t.Errorf("first\n%+v\nthen\n%+v", a, b)
	}
	if a.Delivered != 5000 || a.Finished < 3500 || a.Finished > 3700 {
		t.Errorf("an hour of mail ended after %.0f s with %d delivered", a.Finished, a.Delivered)
	}
}

// TestUntil: mail that a limit of none holds back is left at the end that was set, and
// expires without one.
func TestUntil(t *testing.T) {
	s := parse(t, "domain \"one.test\" { max_outbound_connections = 0 }\n")
	o := Options{Snapshot: s, Load: drawn(t, []string{"one.test"}, 1, 10, 0), Receivers: model, Until: time.Hour}
	r, err := Run(context.Background(), o)
	if err != nil || r.Left != 10 || r.Delivered != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	o.Until = 0
	if r, err = Run(context.Background(), o); err != nil || r.Failed != 10 || r.Left != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = Run(ctx, o); err == nil {
		t.Error("an interrupted simulation has a result")
	}
}

// TestPercentiles: delays are kept to an eighth.
func TestPercentiles(t *testing.T) {
	h := newHistory()
	for ms := int64(1); ms <= 100_000; ms++ {
		h.delivered(ms*int64(time.Millisecond), 0, 1)
		if b := bucket(ms); least(b) > ms || least(b+1) <= ms {
			t.Fatalf("%d ms are in the bucket from %d to %d", ms, least(b), least(b+1))
		}
	}
	for p, want := range map[float64]float64{50: 50, 99: 99} {
		if got := h.percentile(p); got < want*7/8 || got > want*9/8 {
			t.Errorf("the %g-th percentile is %g s", p, got)
		}
	}
}

// busy is a configuration of 50 bindings in five groups.
func busy() string {
	var b strings.Builder
	b.WriteString("max_outbound_connections = 20\nserver_max_outbound_connections = 5000\ndomain \"/^d[1-9]\\./\" { scope_max_outbound_connections = 200 }\n")
	b.WriteString("domain \"d1.simulated.test\" { max_outbound_connections = 10 max_deliveries_per_connection = 100 }\n")
	for g := range 5 {
		fmt.Fprintf(&b, "binding_group \"g%d\" {\n  scope_max_outbound_connections = 1500\n", g)
		for i := range 10 {
			fmt.Fprintf(&b, "  binding \"ip-%d-%d\" { server_max_outbound_connections = 300 }\n", g, i)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// BenchmarkDay is the day of a busy server: 50 bindings, 20,000 domains, 58 messages a
// second; an hour and twelve minutes of it, or, with SLUICE_DAY=5000000, all.
func BenchmarkDay(b *testing.B) {
	messages := 250_000
	if s := os.Getenv("SLUICE_DAY"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatalf("SLUICE_DAY: %v", err)
		}
		messages = n
	}
	s := parse(b, busy())
	for b.Loop() {
		b.StopTimer()
		l := drawn(b, nil, 20_000, messages, time.Duration(messages)*(24*time.Hour/5_000_000))
		b.StartTimer()
		start, used := time.Now(), cpu()
		r, err := Run(context.Background(), Options{Snapshot: s, Load: l, Receivers: model, Seed: 1})
		if err != nil || r.Delivered != messages {
			b.Fatalf("%v %+v", err, r)
		}
		took, worked := time.Since(start).Seconds(), (cpu() - used).Seconds()
		b.ReportMetric(float64(r.Events)/took, "events/s")
		b.ReportMetric(float64(r.Events)/worked, "events/CPU-s")
		b.ReportMetric(float64(r.Transactions)/took, "messages/s")
		b.ReportMetric(float64(r.Connections), "connections")
		b.ReportMetric(float64(r.Events), "events")
	}
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
