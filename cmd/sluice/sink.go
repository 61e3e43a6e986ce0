package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/sink"
)

func init() { commands = append(commands, sinkCommand) }

func sinkCommand(*globals) *cobra.Command {
	var o sink.Options
	var file string
	o.Over = sink.OverReply
	cmd := &cobra.Command{
		Use:   "sink",
		Short: "Receive mail, enforce limits as providers do, and report every violation",
		Long: `Receive mail and throw it away, and count for itself: connections open now and the
highest ever at one instant, by listening address, by source address and in all;
messages, distinct ones, recipients by domain; and every connection and message beyond
the limits that it was told. On SIGTERM or SIGINT the counts are printed as one JSON
object on standard output, or written to --report.`,
		Example: `  sluice sink --listen 127.0.0.21:2526 --max-connections-per-ip 8 --latency 5ms
  sluice sink --fault rcpt-4xx=5% --fault close-after-dot=0.01 --seed 42 --report report.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return wrongUse("sink: %w", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return runSink(ctx, o, file, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Listen, "listen", []string{"127.0.0.1:2526"}, "listen on `ADDR`; may be given again")
	f.StringVar(&o.Hostname, "hostname", "sink.test", "`NAME` in the greeting")
	f.IntVar(&o.MaxConnections, "max-connections", 0, "connections at one instant, `N` in all (0: no limit)")
	f.IntVar(&o.MaxConnectionsPerIP, "max-connections-per-ip", 0, "connections at one instant, `N` from one source address (0: no limit)")
	f.Var(&rateFlag{&o.ConnRate}, "conn-rate", "new connections, as in 10/s or 60/1m")
	f.Var(&rateFlag{&o.MsgRate}, "msg-rate", "messages, as in 100/s or 600/1m,burst=10")
	f.StringVar((*string)(&o.Over), "over", string(sink.OverReply), "what becomes of a client over a limit: `reply` (421) or drop")
	f.DurationVar(&o.Latency, "latency", 0, "a line of this round-trip `TIME`")
	f.DurationVar(&o.Think, "think", 0, "a pause of this `TIME` before each reply")
	f.Var(&faultFlag{&o.Faults}, "fault", "`KIND=SHARE` of sessions or messages that meet it; may be given again. Kinds: "+kinds())
	f.DurationVar(&o.SlowEvery, "slow-every", 0, "`TIME` between the octets of slow-replies (default 1s)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the faults (0: one is chosen and printed)")
	f.StringVar(&o.IDHeader, "id-header", "Message-ID", "`NAME` of the header that tells messages apart")
	f.Int64Var(&o.MaxSize, "max-size", 100<<20, "largest message, `BYTES`")
	f.StringSliceVar(&o.Without, "without", nil, "`EXTENSIONS` that are not offered: pipelining, chunking")
	f.BoolVar(&o.TLS, "tls", false, "offer STARTTLS with a certificate made at start")
	f.StringVar(&o.Certificate, "certificate", "", "offer STARTTLS with the certificate in `FILE`, PEM")
	f.StringVar(&o.Key, "key", "", "private key of --certificate, in `FILE`, PEM")
	f.StringVar(&o.Ledger, "ledger", "", "append the id of each accepted message to `FILE`, before its 250")
	f.StringVar(&o.Dump, "dump", "", "keep the first messages in `DIR`, N.eml and N.json")
	f.IntVar(&o.DumpMax, "dump-max", 100, "how many messages --dump keeps, `N`")
	f.StringVar(&file, "report", "", "write the report to `FILE` instead of standard output")
	f.StringVar(&o.Status, "status", "", "answer an HTTP GET on `ADDR` with the report so far")
	f.Bool("json", true, "the report is always JSON")
	_ = f.MarkHidden("json") // accepted because every command that prints data has it
	return cmd
}

// runSink serves until ctx ends, then reports.
func runSink(ctx context.Context, o sink.Options, file string, out, log io.Writer) error {
	s, err := sink.Start(o)
	if err != nil {
		return err
	}
	for _, a := range s.Addrs() {
		fmt.Fprintf(log, "sink: listening on %s\n", a)
	}
	if a := s.StatusAddr(); a != "" {
		fmt.Fprintf(log, "sink: status on http://%s/\n", a)
	}
	fmt.Fprintf(log, "sink: seed %d\n", s.Seed())
	<-ctx.Done()
	counts := s.Report() // before Close: open connections are told as they are
	trouble := s.Close()
	b, err := counts.JSON()
	if err != nil {
		return errors.Join(err, trouble)
	}
	if file == "" {
		_, err = out.Write(b)
	} else {
		err = renameio.WriteFile(file, b, 0o644)
	}
	if err != nil {
		err = fmt.Errorf("write report: %w", err)
	}
	return errors.Join(err, trouble)
}

func kinds() string {
	var names []string
	for _, k := range sink.FaultKinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// rateFlag is a rate on the command line.
type rateFlag struct{ rate *sink.Rate }

func (f *rateFlag) Set(s string) (err error) { *f.rate, err = sink.ParseRate(s); return err }
func (f *rateFlag) Type() string             { return "RATE" }
func (f *rateFlag) String() string {
	if f.rate == nil || f.rate.IsZero() {
		return "" // no default to be shown
	}
	return f.rate.String()
}

// faultFlag collects faults.
type faultFlag struct{ faults *[]sink.Fault }

func (f *faultFlag) Set(s string) error {
	fault, err := sink.ParseFault(s)
	if err == nil {
		*f.faults = append(*f.faults, fault)
	}
	return err
}
func (f *faultFlag) Type() string   { return "KIND=SHARE" }
func (f *faultFlag) String() string { return "" }
