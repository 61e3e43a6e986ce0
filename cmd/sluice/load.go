package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	mailload "github.com/sluice-mta/sluice/internal/load"
	"github.com/sluice-mta/sluice/internal/sink"
)

func init() { commands = append(commands, loadCommand) }

func loadCommand(*globals) *cobra.Command {
	var o mailload.Options
	var rate sink.Rate
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "load --to ADDR",
		Short: "Send numbered test messages to an SMTP server",
		Long: `Send messages as fast as the server takes them, or at --rate, and print what became of
them. Each has a Message-ID of its own, <NUMBER.RUN@load.test>. The exit status is 1
when anything was refused.`,
		Example: `  sluice load --to 127.0.0.1:2525 --sessions 50 --messages 20000 --size 4096
  sluice load --to 127.0.0.1:2525 --messages 200000 --domains 10000 --domain-suffix many.test --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			if !rate.IsZero() {
				o.Rate = float64(rate.Events) / rate.Per.Seconds()
			}
			if err := o.Check(); err != nil {
				return wrongUse("load: %w", err)
			}
			done := showProgress(&o, cmd.ErrOrStderr())
			result, err := mailload.Run(ctx, o)
			done()
			if err != nil {
				return err
			}
			return printLoad(cmd.OutOrStdout(), result, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.To, "to", "", "server, `ADDR` as HOST:PORT; required")
	f.IntVar(&o.Sessions, "sessions", 10, "`N` connections side by side")
	f.IntVar(&o.Messages, "messages", 1000, "`N` messages in all")
	f.IntVar(&o.Size, "size", 2048, "`BYTES` of each message with its header")
	f.StringVar(&o.From, "from", "sender@load.test", "sender `ADDR`; empty for the null sender")
	f.StringVar(&o.Rcpt, "rcpt", "rcpt@one.test", "recipient `ADDR`")
	f.IntVar(&o.Domains, "domains", 0, "spread the recipients evenly, in random order, over `N` domains d1.SUFFIX to dN.SUFFIX")
	f.StringVar(&o.DomainSuffix, "domain-suffix", "load.test", "`SUFFIX` of these domains")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of their order (0: one is chosen and printed)")
	f.StringArrayVar(&o.Headers, "header", nil, "add the header `\"NAME: VALUE\"`; may be given again")
	f.Var(&rateFlag{&rate}, "rate", "messages over all sessions, as in 100/s or 600/1m")
	f.BoolVar(&o.NewConnections, "new-connections", false, "open a connection for each message")
	f.BoolVar(&o.Retry, "retry", false, "repeat what was refused with 4xx or lost before its content was sent")
	f.DurationVar(&o.GiveUp, "give-up", 0, "`TIME` for which --retry repeats one message or connection (default 1m)")
	f.DurationVar(&o.Timeout, "timeout", 0, "`TIME` that one message may take (default 5m)")
	f.StringVar(&o.Ledger, "ledger", "", "append the id of each accepted message to `FILE`, before the session's next message")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// showProgress keeps one line up to date when log is a terminal; the returned function
// takes it away.
func showProgress(o *mailload.Options, log io.Writer) func() {
	f, ok := log.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	const wipe = "\r\x1b[K"
	o.Progress = func(r mailload.Result) {
		fmt.Fprintf(log, wipe+"%d of %d accepted, %d refused, %.0f msg/s", r.Accepted, r.Messages, r.Refused+r.Unanswered, r.PerSecond)
	}
	return func() { fmt.Fprint(log, wipe) }
}

func printLoad(out io.Writer, r mailload.Result, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	} else {
		fmt.Fprintf(out, "accepted %d of %d messages in %.2f s over %d connections: %.0f msg/s, %.1f MB/s\n",
			r.Accepted, r.Messages, r.Seconds, r.Connections, r.PerSecond, float64(r.Bytes)/r.Seconds/1e6)
		fmt.Fprintf(out, "refused %d, unanswered %d, not sent %d, retries %d, connections refused %d (run %s, seed %d)\n",
			r.Refused, r.Unanswered, r.NotSent, r.Retries, r.NotGreeted, r.Run, r.Seed)
		for _, reason := range mostFrequent(r.Reasons) {
			fmt.Fprintf(out, "%8d  %s\n", r.Reasons[reason], reason)
		}
	}
	if r.Clean() {
		return nil
	}
	return fmt.Errorf("load: %d of %d messages were accepted, %d connections were refused", r.Accepted, r.Messages, r.NotGreeted)
}

// mostFrequent returns the keys of m, those with the highest numbers first.
func mostFrequent(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		if a < b {
			return -1
		}
		return 1
	})
	return keys
}
