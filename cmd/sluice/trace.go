package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin"
)

func init() { commands = append(commands, traceCommand) }

// errEnough ends a trace that has told what was asked for.
var errEnough = errors.New("enough")

func traceCommand(g *globals) *cobra.Command {
	var f admin.TraceFilter
	var lines int
	var last time.Duration
	c := control{globals: g}
	cmd := c.command(&cobra.Command{
		Use: "trace", Args: cobra.NoArgs,
		Short: "Show conversations with receivers, live",
		Long: `Show conversations with receivers, live, until it is interrupted: what we say (C:), what they
say (S:) and what happens to connections (-). Connections that are open already are shown from
their next line on. Without a filter all are shown; several filters must all be met.

Logins are hidden, and so is the content of messages unless --body asks for it. A reader that is
too slow loses lines and is told how many; delivery never waits for it. While nobody
traces, tracing costs nothing.`,
		Example: "  sluice trace --domain example.com\n  sluice trace --binding ip-1 --host mx.example.com --body --lines 100",
	}, func(cmd *cobra.Command, _ []string) error {
		if lines < 0 || last < 0 {
			return wrongUse("trace: --lines and --for cannot be negative")
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if last > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, last)
			defer cancel()
		}
		p := tracePrinter{w: cmd.OutOrStdout(), json: c.json, known: map[uint64]bool{}}
		begun := func() { fmt.Fprintln(cmd.ErrOrStderr(), "tracing; interrupt to end it") }
		n := 0
		err := c.client.Trace(ctx, f, begun, func(l admin.TraceLine) error {
			if err := p.print(&l); err != nil {
				return err
			}
			if n++; n == lines {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	cmd.Flags().StringVar(&f.Domain, "domain", "", "connections for mail to this `DOMAIN`")
	cmd.Flags().StringVar(&f.Binding, "binding", "", "connections through this `BINDING`")
	cmd.Flags().StringVar(&f.Host, "host", "", "connections to this `HOST`, by name or address")
	cmd.Flags().BoolVar(&f.Body, "body", false, "show the content of messages")
	cmd.Flags().IntVar(&lines, "lines", 0, "end after `N` lines")
	cmd.Flags().DurationVar(&last, "for", 0, "end after this `TIME`")
	return cmd
}

// mostKnown bounds the connections that a trace remembers having named.
const mostKnown = 10_000

// tracePrinter writes lines for people, or for programs.
type tracePrinter struct {
	w     io.Writer
	json  bool
	known map[uint64]bool
}

func (p *tracePrinter) print(l *admin.TraceLine) error {
	if p.json {
		return json.NewEncoder(p.w).Encode(l)
	}
	at := l.Time.Local().Format("15:04:05.000")
	if l.Lost > 0 {
		if _, err := fmt.Fprintf(p.w, "%s -- %d lines were lost: this reader was too slow\n", at, l.Lost); err != nil {
			return err
		}
	}
	if !p.known[l.Conn] {
		if len(p.known) >= mostKnown {
			clear(p.known)
		}
		p.known[l.Conn] = true
		if _, err := fmt.Fprintf(p.w, "%s #%d -- %s through %s to %s, %s\n", at, l.Conn, printable(l.Domain), printable(l.Binding), printable(l.Host), l.Address); err != nil {
			return err
		}
	}
	who := l.Who
	if who != "-" {
		who += ":"
	}
	_, err := fmt.Fprintf(p.w, "%s #%d %-2s %s\n", at, l.Conn, who, printable(l.Text))
	return err
}
