package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/sched"
)

func explainCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "explain QUEUE, DOMAIN or MESSAGE-ID", Args: cobra.ExactArgs(1),
		Short:   "Say why mail moves or waits: every limit on its path, which one blocks, since when",
		Example: "  sluice explain example.com/ip-1\n  sluice explain example.com",
	}, func(cmd *cobra.Command, args []string) error {
		list, err := c.client.Explain(args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if c.json {
			if len(list) == 1 {
				return printJSON(w, list[0])
			}
			return printJSON(w, list)
		}
		for i := range list {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := printExplanation(w, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func printExplanation(w io.Writer, e *sched.Explanation) error {
	fmt.Fprintf(w, "%s: %s\n", printable(e.Queue), printable(e.State))
	fmt.Fprintf(w, "  queued %d, ready %d, connections %d\n", e.Queued, e.Ready, e.Conns)
	if e.Rollup != "" {
		fmt.Fprintf(w, "  %s\n", printable(e.Rollup))
	}
	if c := e.WaitingOn; c != nil {
		fmt.Fprintf(w, "  waits on %s %s (%d of %d) since %s, set at %s\n", c.Option, printable(c.Key), c.Use, c.Limit, c.Since, place(c))
	}
	if e.Next != "" {
		fmt.Fprintf(w, "  next: %s\n", e.Next)
	}
	if e.LastReply != "" {
		fmt.Fprintf(w, "  last reply: %s\n", printable(e.LastReply))
	}
	for _, key := range slices.Sorted(maps.Keys(e.Waited)) {
		fmt.Fprintf(w, "  waited on %s: %s\n", printable(key), seconds(e.Waited[key]))
	}
	t := table(w)
	if len(e.Path) > 0 {
		fmt.Fprintln(t, "  LIMIT\tKEY\tUSE/LIMIT\tWAITERS\tSTANZA\tSET AT")
	}
	for i := range e.Path {
		c := &e.Path[i]
		fmt.Fprintf(t, "  %s\t%s\t%d/%d\t%d\t%s\t%s\n", c.Option, printable(c.Key), c.Use, c.Limit, c.Waiters, printable(or(c.Stanza, "-")), place(c))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(e.Hosts) > 0 {
		fmt.Fprintln(t, "  HOST\tPREFERENCE\tADDRESSES\tCONNECTIONS\tSTATE")
	}
	for _, h := range e.Hosts {
		fmt.Fprintf(t, "  %s\t%d\t%s\t%d\t%s\n", printable(h.Host), h.Preference, h.Addresses, h.Conns, printable(h.State))
	}
	return t.Flush()
}
