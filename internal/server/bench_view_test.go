package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/admin/client"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/metrics"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
)

// idleEdges carry out nothing, but remember what is to be resolved.
type idleEdges struct {
	live.Edges // nobody calls the others
	resolve    []sched.Resolve
}

func (e *idleEdges) Resolve(a sched.Resolve) { e.resolve = append(e.resolve, a) }
func (*idleEdges) Rebind(sched.Rebind)       {}
func (*idleEdges) Connect(sched.Connect)     {}
func (*idleEdges) Deliver(sched.Deliver)     {}
func (*idleEdges) Recall(sched.Recall)       {}
func (*idleEdges) Close(sched.Close)         {}
func (*idleEdges) Account(sched.Account)     {}
func (*idleEdges) Store(sched.Action)        {}
func (*idleEdges) Log(sched.Log)             {}

// BenchmarkViews measures at the client, over the control socket, how long the answers of
// a server take that holds a million messages in a hundred thousand queues, all of which
// wait for a limit, while new mail comes in.
func BenchmarkViews(b *testing.B) {
	const queues, messages = 100_000, 1_000_000
	edges := &idleEdges{}
	d := live.New(live.SystemClock(), sched.Config{}, edges)
	limits := []policy.Limit{
		{Option: "max_outbound_connections", By: policy.ByBinding | policy.ByDomain, Max: 8},
		{Option: "server_max_outbound_connections", Max: 1},
	}
	p := &policy.Queue{
		Limits: limits, Ramp: 0.3, MaxRecipientsPerBatch: 100, Expiration: time.Hour * 100, MaxRetries: -1,
		Retry: policy.RetrySchedule{Steps: []time.Duration{time.Minute}, Max: time.Hour},
	}
	submit := func(i int) {
		d.Step(sched.Submitted{
			Message: mail.NewID(int64(i), [10]byte{}), Recovered: true, Received: d.Clock().Boot(),
			Parts: []sched.SubmittedPart{{Binding: "default", Domain: fmt.Sprintf("domain%d.test", i%queues), Policy: p, Recipients: []int{0}}},
		})
	}
	for i := range messages {
		submit(i)
		for _, r := range edges.resolve {
			d.Step(sched.Resolved{
				Binding: r.Binding, Domain: r.Domain, Until: 1 << 62, Class: mail.ClassDelivered,
				Hosts: []sched.RouteHost{{Name: "mx." + r.Domain, Preference: 10, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 25}},
			})
		}
		edges.resolve = edges.resolve[:0]
	}
	path := filepath.Join(b.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: admin.Handler(backend{&Server{driver: d, metrics: metrics.New(nil)}}, slog.Default())}
	go srv.Serve(l)
	defer srv.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := messages; ; i++ {
			select {
			case <-stop:
				return
			default:
				submit(i)
			}
		}
	}()
	c := client.New("unix:" + path)
	for _, x := range []struct {
		name string
		ask  func() error
	}{
		{"queue list, a page", func() error { _, err := c.Queues(1000, func(sched.QueueView) error { return nil }); return err }},
		{"queue list --sort oldest", func() error { _, err := c.TopQueues("oldest", 1000); return err }},
		{"queue list --sort waiting --limit 20", func() error { _, err := c.TopQueues("waiting", 20); return err }},
		{"explain a queue", func() error { _, err := c.Explain("domain77777.test/default"); return err }},
		{"explain a domain", func() error { _, err := c.Explain("domain77777.test"); return err }},
		{"explain a binding", func() error { _, err := c.Explain("binding:default"); return err }},
		{"explain a counter", func() error { _, err := c.Explain("server_max_outbound_connections server"); return err }},
		{"explain a host", func() error { _, err := c.Explain("host:mx.domain7.test"); return err }},
		{"binding show", func() error { _, err := c.Binding("default"); return err }},
	} {
		b.Run(x.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if err := x.ask(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
		})
	}
	close(stop)
	<-stopped
	d.Halt()
}
