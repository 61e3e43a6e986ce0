package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/admin/client"
	"github.com/sluice-mta/sluice/internal/sched"
)

const (
	loadDomains = 100         // that mail flows to while somebody looks
	looks       = 200         // of each kind, to time them
	lookEvery   = time.Second // while the cost is measured: top, as it asks by itself; the others every other time, as watch(1) does
)

// views times what an operator asks while many queues wait and mail flows, and measures
// what it costs: the same load with and without the questions, in interleaved pairs.
func views(o *options, out *strings.Builder) error {
	v := &viewed{o: o, rng: rand.New(rand.NewPCG(1, 1))}
	defer v.end()
	if err := v.begin(); err != nil {
		return err
	}
	fmt.Fprintf(out, "## Looking at %d messages in %d queues\n\n", o.million, o.queues)
	fmt.Fprintf(out, "All wait at one limit, while mail for %d further domains comes in and goes out. Each question %d times under that load, as the client sees it, answer read; milliseconds.\n\n", loadDomains, looks)
	if err := v.latencies(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "The load (%d messages) with top every second, explain and queue list every two, and without, by turns: %d pairs.\n\n", o.messages, o.pairs)
	return v.cost(out)
}

// viewed is the server that is looked at.
type viewed struct {
	o      *options
	dir    string
	server *sluice
	sink   *sink
	client *client.Client
	rng    *rand.Rand
	sent   int // through the server to the sink
}

// question is one that an operator asks.
type question struct {
	name string
	ask  func() error
}

// begin queues the mail that waits.
func (v *viewed) begin() (err error) {
	if v.dir, err = os.MkdirTemp(v.o.dir, "run-"); err != nil {
		return err
	}
	if v.sink, err = startSink(v.o, "127.0.0.1"); err != nil {
		return err
	}
	var zone strings.Builder
	for i := range v.o.queues {
		fmt.Fprintf(&zone, "d%d.many.test. 86400 IN MX 10 mx.many.test.\n", i)
	}
	for i := range loadDomains {
		fmt.Fprintf(&zone, "l%d.load.test. 86400 IN MX 10 mx.load.test.\n", i)
	}
	zone.WriteString("mx.many.test. 86400 IN A 127.0.0.1\nmx.load.test. 86400 IN A 127.0.0.1\n")
	v.server = &sluice{root: v.o.root, zone: zone.String(), conf: "Domain \"/\\.many\\.test$/\" { scope_max_outbound_connections = 0 }\n"}
	if err := v.server.start(v.dir, false); err != nil {
		return err
	}
	v.client = client.New("unix:" + filepath.Join(v.dir, "control.sock"))
	begin := time.Now()
	if err := send(50, 512, v.o.million, func(i int) string { return fmt.Sprintf("u%d@d%d.many.test", i, i%v.o.queues) }); err != nil {
		return err
	}
	if err := v.server.await(v.o.million); err != nil {
		return err
	}
	progress("%d messages queued in %d queues in %.0f s", v.o.million, v.o.queues, time.Since(begin).Seconds())
	return v.load(v.o.messages / 4) // connections are open, caches are warm
}

func (v *viewed) end() {
	if v.sink != nil {
		v.sink.stop()
	}
	if v.server != nil && v.server.cmd != nil {
		_ = v.server.cmd.Process.Kill() // what it holds is thrown away
		_ = v.server.cmd.Wait()         // killed: an error by nature
	}
	_ = os.RemoveAll(v.dir) // goes with the directory of the whole run otherwise
}

// load has messages delivered.
func (v *viewed) load(messages int) error {
	err := send(20, 2048, messages, func(i int) string { return fmt.Sprintf("u%d@l%d.load.test", i, i%loadDomains) })
	if err != nil {
		return err
	}
	v.sent += messages
	return v.sink.await(v.sent)
}

// questions are what is timed: answers of the server, and whole commands.
func (v *viewed) questions() []question {
	queue := func() string { return fmt.Sprintf("d%d.many.test/default", v.rng.IntN(v.o.queues)) }
	explain := func(of func() string) func() error {
		return func() error {
			x, err := v.client.Explain(of())
			if err == nil && x.Kind == "" {
				return fmt.Errorf("an empty answer")
			}
			return err
		}
	}
	list := func(n int, err error) error {
		if err == nil && n == 0 {
			return fmt.Errorf("an empty list")
		}
		return err
	}
	command := func(args ...string) error {
		cmd := exec.Command(filepath.Join(v.o.root, "bin", "sluice"), append(args, "--admin", "unix:"+filepath.Join(v.dir, "control.sock"))...)
		b, err := cmd.Output()
		return list(len(b), err)
	}
	return []question{
		{"top", func() error { t, err := v.client.Top("ready", 100); return list(len(t.Queues), err) }},
		{"top, by waiting", func() error { t, err := v.client.Top("waiting", 100); return list(len(t.Queues), err) }},
		{"explain QUEUE", explain(queue)},
		{"explain BINDING", explain(func() string { return "default" })},
		{"explain LIMIT", explain(func() string { return `scope_max_outbound_connections domain "/\.many\.test$/"` })},
		{"queue list", func() error {
			n := 0
			_, err := v.client.Queues(1000, func(sched.QueueView) error { n++; return nil })
			return list(n, err)
		}},
		{"queue list --sort waiting", func() error { q, err := v.client.TopQueues("waiting", 1000); return list(len(q), err) }},
		{"the command `sluice explain QUEUE`", func() error { return command("explain", queue()) }},
		{"the command `sluice queue list`", func() error { return command("queue", "list") }},
	}
}

// latencies asks each question many times while mail flows.
func (v *viewed) latencies(out *strings.Builder) error {
	stop := make(chan struct{})
	loaded := make(chan error, 1)
	go func() {
		for {
			if err := v.load(v.o.messages); err != nil {
				loaded <- err
				return
			}
			select {
			case <-stop:
				loaded <- nil
				return
			default:
			}
		}
	}()
	fmt.Fprintln(out, "| | median | 99 of 100 | longest |\n|---|---:|---:|---:|")
	for _, q := range v.questions() {
		var took []float64
		for range looks {
			begin := time.Now()
			if err := q.ask(); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
			time.Sleep(5 * time.Millisecond)
		}
		slices.Sort(took)
		row := fmt.Sprintf("| %s | %.1f | %.1f | %.1f |", q.name, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
		progress("%s", row)
		fmt.Fprintln(out, row)
	}
	fmt.Fprintln(out)
	close(stop)
	return <-loaded
}

// cost runs the same load with and without somebody who looks, the first of each pair
// being now the one and now the other.
func (v *viewed) cost(out *strings.Builder) error {
	var with, without []sample
	for pair := range v.o.pairs {
		for half := range 2 {
			watched := (pair+half)%2 == 0
			s, err := v.measured(watched)
			if err != nil {
				return err
			}
			progress("pair %d, looked at %v: %.0f messages/s, %.4f ms CPU a message", pair+1, watched, s.rate, s.cpu*1000)
			if watched {
				with = append(with, s)
			} else {
				without = append(without, s)
			}
		}
	}
	fmt.Fprintln(out, "| | messages/s | CPU ms/message |\n|---|---:|---:|")
	fmt.Fprintf(out, "| without | %s | %s |\n", spreadOf(without, rate, "%.0f"), spreadOf(without, perMessage, "%.4f"))
	fmt.Fprintf(out, "| with | %s | %s |\n", spreadOf(with, rate, "%.0f"), spreadOf(with, perMessage, "%.4f"))
	ratios := func(value func(sample) float64) string {
		var r []float64
		for i := range with {
			r = append(r, value(with[i])/value(without[i]))
		}
		slices.Sort(r)
		mid := r[len(r)/2]
		if len(r)%2 == 0 {
			mid = (mid + r[len(r)/2-1]) / 2
		}
		return fmt.Sprintf("%.3f (%.3f-%.3f)", mid, r[0], r[len(r)-1])
	}
	fmt.Fprintf(out, "| with / without, by pairs | %s | %s |\n\n", ratios(rate), ratios(perMessage))
	return nil
}

// measured is one load, watched or not.
func (v *viewed) measured(watched bool) (s sample, err error) {
	stop, trouble := func() {}, make(chan error, 1)
	if watched {
		done := make(chan struct{})
		var looking sync.WaitGroup
		looking.Go(func() { v.look(done, trouble) })
		stop = func() { close(done); looking.Wait() }
	}
	cpu0, begin := peerCPU(v.sink.pids()...), time.Now()
	err = v.load(v.o.messages)
	took := time.Since(begin).Seconds()
	s = sample{rate: float64(v.o.messages) / took, cpu: (peerCPU(v.sink.pids()...) - cpu0) / float64(v.o.messages)}
	stop()
	select {
	case asked := <-trouble:
		return s, asked
	default:
		return s, err
	}
}

// look asks top, explain and queue list until done.
func (v *viewed) look(done <-chan struct{}, trouble chan<- error) {
	all := v.questions()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		for i, q := range []question{all[0], all[2], all[5]} {
			if i > 0 && n%2 == 1 {
				break
			}
			if err := q.ask(); err != nil {
				trouble <- fmt.Errorf("%s: %w", q.name, err)
				return
			}
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}
