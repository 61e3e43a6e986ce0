package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func reloadCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "reload", Args: cobra.NoArgs,
		Short:   "Make the server read its configuration again: all of it or, on any error, nothing",
		Example: "  sluice reload",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := c.client.Reload()
		if err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), r)
		}
		for _, w := range r.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), w)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "reloaded: configuration %d is in force\n", r.Generation)
		return nil
	})
}

func statusCommand(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		Short:   "Show the server at a glance: queue, spool, open files, what holds it up",
		Example: "  sluice status",
	}, func(cmd *cobra.Command, _ []string) error {
		s, err := c.client.Status()
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if c.json {
			return printJSON(w, s)
		}
		t := table(w)
		fmt.Fprintf(t, "sluice\t%s on %s, up %s\n", s.Version, s.Hostname, seconds(s.Uptime))
		fmt.Fprintf(t, "configuration\t%s, generation %d\n", or(s.Config, "the defaults"), s.Generation)
		fmt.Fprintf(t, "queue\t%d messages, %d parts, %d queues, %d connections\n", s.Queue.Messages, s.Queue.Parts, s.Queue.Queues, s.Queue.Connections)
		fmt.Fprintf(t, "spool\t%d messages, %s live, %s on disk, %d quarantined\n", s.Spool.Messages, size(s.Spool.LiveBytes), size(s.Spool.DiskBytes), s.Spool.Quarantined)
		fmt.Fprintf(t, "open files\t%d, room for %d outbound connections\n", s.Files.Limit, s.Files.Connections)
		fmt.Fprintf(t, "accounting\t%s\n", or(s.Accounting, "written"))
		fmt.Fprintf(t, "new mail\t%s\n", or(s.Pressure, "accepted"))
		return t.Flush()
	})
}
