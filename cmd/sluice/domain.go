package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin"
)

func domainCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "domain NAME", Args: cobra.ExactArgs(1),
		Short:   "Show a domain's MX records, addresses and connections",
		Example: "  sluice domain example.com",
	}, func(cmd *cobra.Command, args []string) error {
		d, err := c.client.Domain(args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if c.json {
			return printJSON(w, d)
		}
		return printDomain(w, &d)
	})
}

func printDomain(w io.Writer, d *admin.Domain) error {
	if d.Failure != "" {
		fmt.Fprintf(w, "Domain '%s' has no route: %s\n", printable(d.Domain), printable(d.Failure))
	} else {
		fmt.Fprintf(w, "Domain '%s' has %d MXs and a TTL of %d seconds\n", printable(d.Domain), len(d.MX), d.TTL)
	}
	for _, mx := range d.MX {
		fmt.Fprintf(w, "  [%d %s. TTL:%d]", mx.Preference, printable(mx.Host), mx.TTL)
		if mx.Failure != "" {
			fmt.Fprintf(w, " %s", printable(mx.Failure))
		}
		fmt.Fprintf(w, " %s\n", strings.Join(mx.Addresses, " "))
	}
	if d.Gateway != "" {
		fmt.Fprintf(w, "  gateway %s: its mail goes there instead\n", printable(d.Gateway))
	}
	for _, r := range d.Rollups {
		fmt.Fprintf(w, "  %s\n", printable(r))
	}
	t := table(w)
	for _, h := range d.Hosts {
		fmt.Fprintf(t, "  host %s\t%s\tconnections %d\t%s\n", printable(h.Host), h.Addresses, h.Conns, printable(h.State))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, q := range d.Queues {
		fmt.Fprintf(t, "  %s\tqueued %d\tready %d\tconnections %d\t%s\n", printable(q.Queue), q.Queued, q.Ready, q.Conns, printable(queueState(&q)))
	}
	return t.Flush()
}
