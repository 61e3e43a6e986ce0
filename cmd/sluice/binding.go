package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func bindingCommand(g *globals) *cobra.Command {
	cmd := group("binding", "List and show bindings with their connections")
	cmd.AddCommand(bindingList(g), bindingShow(g))
	return cmd
}

func bindingList(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "list", Args: cobra.NoArgs,
		Short:   "List the bindings with connections, limit and mail",
		Example: "  sluice binding list",
	}, func(cmd *cobra.Command, _ []string) error {
		list, err := c.client.Bindings()
		if err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), list)
		}
		t := table(cmd.OutOrStdout())
		fmt.Fprintln(t, "BINDING\tGROUP\tCONNECTIONS\tQUEUED\tREADY\tSTATE")
		for _, b := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\n", printable(b.Binding), or(printable(b.Group), "-"), use(b.Conns, b.Limit), b.Queued, b.Ready, or(printable(b.Trouble), "ok"))
		}
		return t.Flush()
	})
}

func bindingShow(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "show NAME", Args: cobra.ExactArgs(1),
		Short:   "Show a binding's connections, in all and by domain",
		Example: "  sluice binding show ip-1",
	}, func(cmd *cobra.Command, args []string) error {
		b, err := c.client.Binding(args[0])
		if err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), b)
		}
		t := table(cmd.OutOrStdout())
		fmt.Fprintf(t, "binding: %s\n", printable(b.Binding))
		fmt.Fprintf(t, "connections: %s\n", use(b.Conns, b.Limit))
		fmt.Fprintf(t, "queued: %d\nready: %d\n", b.Queued, b.Ready)
		if b.Trouble != "" {
			fmt.Fprintf(t, "trouble: %s\n", printable(b.Trouble))
		}
		for _, d := range b.Domains {
			fmt.Fprintf(t, "  %s\tconnections: %s\n", printable(d.Domain), use(d.Conns, d.Limit))
		}
		return t.Flush()
	})
}
