package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sim/forecast"
)

func init() { commands = append(commands, simulateCommand) }

// simulation is the flags of simulate.
type simulation struct {
	log, against      string
	domains, messages int
	over, until       time.Duration
	latency, service  time.Duration
	bandwidth         int64
	seed              uint64
	json              bool
}

func simulateCommand(g *globals) *cobra.Command {
	var o simulation
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Say what a configuration would do with mail: how long it takes, what is reached, what blocks",
		Long: `Run the scheduler and the limits of the server in virtual time against receivers that
take everything, and print when the mail would be delivered, how many connections would
be open at most on every counter, and what the mail would wait for. The mail is that of an
accounting log, or made up. With --against a second configuration gets the same mail.
What is assumed of receivers is in the manual, in simulate.md. Nothing is sent, and the
machine that it runs on does not matter.`,
		Example: `  sluice simulate --config sluice.conf --domains 1000 --messages 100000
  sluice simulate --config sluice.conf --log /var/log/sluice --against new.conf --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			if o.log != "" && (f.Changed("domains") || f.Changed("messages") || f.Changed("over")) {
				return wrongUse("simulate: the mail is that of --log, or made up with --domains, --messages and --over, not both")
			}
			if min(o.latency, o.service, o.until) < 0 || o.bandwidth < 0 {
				return wrongUse("simulate: --latency, --service, --until and --bandwidth cannot be negative")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return o.run(ctx, g, f.Changed("latency") || f.Changed("service"), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.log, "log", "", "take the mail from this accounting directory or `FILE`")
	f.IntVar(&o.domains, "domains", 100, "make up mail for `N` domains: first those that the configuration names, the n-th with a share of 1/n")
	f.IntVar(&o.messages, "messages", 10_000, "make up `N` messages")
	f.DurationVar(&o.over, "over", 0, "the messages come spread over this `TIME` (default: all are there at the start)")
	f.StringVar(&o.against, "against", "", "compare with the configuration `FILE`")
	f.DurationVar(&o.latency, "latency", 40*time.Millisecond, "a round trip to a receiver takes this `TIME`")
	f.DurationVar(&o.service, "service", 100*time.Millisecond, "a receiver takes this `TIME` for a message, besides")
	f.Int64Var(&o.bandwidth, "bandwidth", 1<<20, "a connection carries `OCTETS` a second (0: no bound)")
	f.DurationVar(&o.until, "until", 0, "end after this `TIME` of virtual time (default: when everything is done)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of what is drawn")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	return cmd
}

// run simulates one configuration or two, side by side.
func (o *simulation) run(ctx context.Context, g *globals, times bool, out, log io.Writer) error {
	snaps, err := o.snapshots(g, log)
	if err != nil {
		return err
	}
	load, err := o.load(snaps[0])
	if err != nil {
		return err
	}
	receivers := forecast.Receivers{Latency: o.latency, Service: o.service, Bandwidth: o.bandwidth, Measured: !times}
	show, wipe := simulationProgress(log)
	results, errs := make([]*forecast.Result, len(snaps)), make([]error, len(snaps))
	var both sync.WaitGroup
	for i, s := range snaps {
		both.Go(func() {
			x := forecast.Options{Snapshot: s, Load: load, Receivers: receivers, Until: o.until, Seed: o.seed}
			if i == 0 {
				x.Progress = show
			}
			results[i], errs[i] = forecast.Run(ctx, x)
		})
	}
	both.Wait()
	wipe()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if o.json {
		return printJSON(out, struct {
			Load    string             `json:"load"`
			Results []*forecast.Result `json:"results"`
		}{load.Source, results})
	}
	return o.print(out, load, results)
}

func (o *simulation) snapshots(g *globals, log io.Writer) ([]*policy.Snapshot, error) {
	file := g.configFile()
	if file == "" {
		return nil, wrongUse("simulate: no configuration: name one with --config")
	}
	files := []string{file}
	if o.against != "" {
		files = append(files, o.against)
	}
	var out []*policy.Snapshot
	for _, f := range files {
		s, found := (&config.Loader{Check: true}).Load(f)
		if found.HasErrors() {
			fmt.Fprint(log, found)
			return nil, failed()
		}
		out = append(out, s)
	}
	return out, nil
}

func (o *simulation) load(s *policy.Snapshot) (*forecast.Load, error) {
	if o.log != "" {
		return forecast.FromLog(o.log)
	}
	l, err := forecast.Drawn(forecast.NamedDomains(s), o.domains, o.messages, o.over, o.seed)
	if err != nil {
		return nil, wrongUse("simulate: %w", err)
	}
	return l, nil
}

// simulationProgress keeps one line up to date when log is a terminal; wipe takes it away.
func simulationProgress(log io.Writer) (show func(done, of int, passed time.Duration), wipe func()) {
	f, ok := log.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	const clear = "\r\x1b[K"
	shown := time.Now()
	show = func(done, of int, passed time.Duration) {
		if time.Since(shown) > 200*time.Millisecond {
			shown = time.Now()
			fmt.Fprintf(log, clear+"%d of %d messages, %v of virtual time", done, of, passed.Round(time.Second))
		}
	}
	return show, func() { fmt.Fprint(log, clear) }
}

func (o *simulation) print(out io.Writer, load *forecast.Load, results []*forecast.Result) error {
	fmt.Fprintf(out, "mail: %s\n", printable(load.Source))
	if load.Passed > 0 {
		fmt.Fprintf(out, "%d lines of the log are no records\n", load.Passed)
	}
	fmt.Fprintln(out)
	w := table(out)
	row := func(name string, value func(r *forecast.Result) string) {
		fmt.Fprint(w, name)
		for _, r := range results {
			fmt.Fprintf(w, "\t%s", value(r))
		}
		fmt.Fprintln(w)
	}
	seconds := func(f func(r *forecast.Result) float64) func(r *forecast.Result) string {
		return func(r *forecast.Result) string { return span(f(r)) }
	}
	row("", func(r *forecast.Result) string { return printable(filepath.Base(r.File)) })
	row("finished after", seconds(func(r *forecast.Result) float64 { return r.Finished }))
	row("recipients delivered", func(r *forecast.Result) string { return fmt.Sprint(r.Delivered) })
	row("expired", func(r *forecast.Result) string { return fmt.Sprint(r.Failed) })
	row("messages left", func(r *forecast.Result) string { return fmt.Sprint(r.Left) })
	row("recipients a second", func(r *forecast.Result) string { return fmt.Sprintf("%.1f", r.PerSecond) })
	row("in the busiest minute", func(r *forecast.Result) string { return fmt.Sprint(r.BusiestMinute) })
	row("delay, median", seconds(func(r *forecast.Result) float64 { return r.Median }))
	row("delay, 99 %", seconds(func(r *forecast.Result) float64 { return r.P99 }))
	row("delay, longest", seconds(func(r *forecast.Result) float64 { return r.Longest }))
	row("connections opened", func(r *forecast.Result) string { return fmt.Sprint(r.Connections) })
	row("at once, at most", func(r *forecast.Result) string { return fmt.Sprint(r.PeakConnections) })
	if slices.ContainsFunc(results, func(r *forecast.Result) bool { return r.Rollups != nil }) {
		row("domains under a rollup", rolledUp)
	}
	row("waited for connections", seconds(func(r *forecast.Result) float64 { return r.Waited }))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	for _, r := range results {
		if err := printLimits(out, r); err != nil {
			return err
		}
		if r.Rollups != nil && r.Rollups.Domains == 0 && o.log == "" {
			fmt.Fprintln(out, "no domain is under a rollup: each made-up one has a host of its own; --log knows the real hosts")
		}
	}
	return nil
}

// rolledUp is how many domains were counted under another name than their own.
func rolledUp(r *forecast.Result) string {
	if r.Rollups == nil {
		return "0"
	}
	return fmt.Sprint(r.Rollups.Domains)
}

// mostLimits is how many rows of limits are printed; JSON has them all.
const mostLimits = 20

func printLimits(out io.Writer, r *forecast.Result) error {
	fmt.Fprintf(out, "\n%s: the limits, those first that mail waited for longest\n\n", printable(filepath.Base(r.File)))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "waiting\tpeak/limit\tfull\tlimit\tset in\tthe fullest, or longest waited for")
	shown, quiet := 0, 0
	for i := range r.Limits {
		l := &r.Limits[i]
		if l.Waited == 0 && l.Reached == 0 || shown == mostLimits {
			quiet++
			continue
		}
		shown++
		key := l.Most
		if key == "" {
			key = l.PeakKey
		}
		fmt.Fprintf(w, "%.1f %%\t%s\t%d of %d\t%s\t%s\t%s\n", 100*l.Share, peakOf(l), l.Reached, l.Counters,
			l.Option, setIn(l.File, l.Line), printable(key))
	}
	for _, c := range r.Other {
		if c.Share >= 0.001 {
			fmt.Fprintf(w, "%.1f %%\t\t\t%s\n", 100*c.Share, c.For)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if quiet > 0 {
		fmt.Fprintf(out, "and %d more that were not reached, or matter less\n", quiet)
	}
	if r.Moved > 0 {
		fmt.Fprintf(out, "%d messages were of bindings that this configuration does not have: others of their group, or all, took them over\n", r.Moved)
	}
	return nil
}

// peakOf is the peak with the limit, and the reserve above it.
func peakOf(l *forecast.Limit) string {
	if l.Reserve > 0 {
		return fmt.Sprintf("%s+%d", use(l.Peak, l.Limit), l.Reserve)
	}
	return use(l.Peak, l.Limit)
}

func setIn(file string, line int) string {
	if file == "" {
		return "default"
	}
	return fmt.Sprintf("%s:%d", printable(filepath.Base(file)), line)
}

// span prints seconds: short ones exactly.
func span(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
