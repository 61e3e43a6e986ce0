package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin"
)

func domainCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "domain NAME", Args: cobra.ExactArgs(1),
		Short: "Show a domain's MX records, and the hosts, connections and queues of its mail",
		Long: `Show a domain's MX records, best first, each with its preference and how long the server's resolver
keeps the addresses of its host; how long it keeps the MX records themselves; what each host asks of
connections by MTA-STS and DANE; what the domain is counted under; and, when there is mail for it, the hosts that its queues use, with their addresses, connections and
state, and the queues. sluice dig shows the addresses of a domain without mail.`,
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

func digCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "dig NAME", Args: cobra.ExactArgs(1),
		Short: "Look up a domain's MX records and their addresses as the server sees them",
		Long: `Look up a domain's MX records and the addresses of their hosts through the server's resolver: each with
what is left of its TTL and where it came from: the cache, the network (it was asked for just now), the
cache beyond its time (nothing newer could be had), or the zone file.`,
		Example: "  sluice dig example.com",
	}, func(cmd *cobra.Command, args []string) error {
		d, err := c.client.Dig(args[0])
		if err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), d)
		}
		return printDig(cmd.OutOrStdout(), &d)
	})
}

func printDig(w io.Writer, d *admin.Dig) error {
	name := printable(d.Domain)
	switch {
	case d.Failure != "":
		fmt.Fprintf(w, "%s: %s\n", name, printable(d.Failure))
	case d.Null:
		fmt.Fprintf(w, "%s takes no mail: it has a null MX\n", name)
	case d.NoMX:
		fmt.Fprintf(w, "%s has no MX record: it is its own host\n", name)
	}
	t := table(w)
	for _, r := range d.Records {
		fmt.Fprintf(t, "%s.\t%d\t%s\t%s\t%s\n", printable(r.Name), r.TTL, r.Type, or(printable(r.Data), printable(r.Failure)), r.Source)
	}
	return t.Flush()
}

func printDomain(w io.Writer, d *admin.Domain) error {
	switch {
	case d.Failure != "":
		fmt.Fprintf(w, "Domain '%s' has no route: %s\n", printable(d.Domain), printable(d.Failure))
	case d.Null:
		fmt.Fprintf(w, "Domain '%s' takes no mail: it has a null MX, with a TTL of %d seconds\n", printable(d.Domain), d.TTL)
	default:
		fmt.Fprintf(w, "Domain '%s' has %d MXs and a TTL of %d seconds\n", printable(d.Domain), len(d.MX), d.TTL)
	}
	for _, mx := range d.MX {
		fmt.Fprintf(w, "  [%d %s. TTL:%d]", mx.Preference, printable(mx.Host), mx.AddressTTL)
		if mx.Failure != "" {
			fmt.Fprintf(w, " %s", printable(mx.Failure))
		}
		fmt.Fprintln(w)
	}
	for _, line := range d.TLS {
		fmt.Fprintf(w, "  %s\n", printable(line))
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
	for _, h := range d.Hosts {
		if h.Broken != "" {
			fmt.Fprintf(w, "  host %s: %s\n", printable(h.Host), printable(h.Broken))
		}
	}
	for _, q := range d.Queues {
		fmt.Fprintf(t, "  %s\tqueued %d\tready %d\tconnections %d\t%s\n", printable(q.Queue), q.Queued, q.Ready, q.Conns, printable(queueState(&q)))
	}
	return t.Flush()
}
