package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func explainCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "explain QUEUE, DOMAIN, BINDING, HOST, MESSAGE-ID or OPTION KEY", Args: cobra.MinimumNArgs(1),
		Short: "Say why mail moves or waits: every limit on its path, which one blocks, since when, and when it moves",
		Long: `Say why mail moves or waits: every limit on its path with its use, its limit and where that is
set; the one that blocks and since when; what the waiting time of the last ten minutes and in all went
to; an estimate of when it moves; and why other hosts are not used.

The subject is a queue (domain/binding, with a tenant domain/binding/tenant), a domain, a binding, a
host, a message id, or a counter as it is printed (OPTION KEY). A name that could be several of these is
a domain before a binding before a host; domain:NAME, binding:NAME and host:NAME tell which.

--json prints one object whatever was asked: that of the queue asked about, or, of several, of the one
that has waited longest; "queues" has all of them, "kind" says what the subject was.`,
		Example: "  sluice explain example.com/ip-1\n  sluice explain example.com\n  sluice explain max_outbound_connections ip-1/example.com",
	}, func(cmd *cobra.Command, args []string) error {
		x, err := c.client.Explain(strings.Join(args, " "))
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if c.json {
			return printJSON(w, x)
		}
		x.Text(w, style(w))
		return nil
	})
}
