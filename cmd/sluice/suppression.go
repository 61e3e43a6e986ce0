package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/mail"
)

func suppressionCommand(g *globals) *cobra.Command {
	cmd := group("suppression", "List, add, remove and check addresses to which nothing is sent")
	cmd.AddCommand(
		suppressionList(g),
		suppressionVerb(g, "add", "Send nothing to an address or a domain any more",
			"Put an address, or @domain for all of its addresses, on the suppression list. It holds at once, for mail that comes from now on, and after a restart.",
			"  sluice suppression add bob@example.org --why \"asked by phone\"\n  sluice suppression add @example.org"),
		suppressionVerb(g, "remove", "Take an address or a domain off the suppression list",
			"Take an entry off the suppression list. One that stands in the file suppression_list is to be removed there.",
			"  sluice suppression remove bob@example.org"),
		suppressionVerb(g, "check", "Say whether anything is sent to an address, and if not why",
			"Say whether an address is on the suppression list, itself or by its domain. Exit status 1: it is not.",
			"  sluice suppression check bob@example.org"),
	)
	return cmd
}

func suppressionList(g *globals) *cobra.Command {
	c := control{globals: g}
	var n int
	cmd := c.command(&cobra.Command{
		Use: "list", Args: cobra.NoArgs,
		Short:   "List what was added to the suppression list",
		Long:    "List what bounces, complaints and operators have added to the suppression list, in the order of the entries. Those of the file suppression_list are counted alone.",
		Example: "  sluice suppression list\n  sluice suppression list --limit 0 --json",
	}, func(cmd *cobra.Command, _ []string) error {
		var all admin.SuppressedPage
		all.Entries = []admin.Suppressed{}
		for after := ""; ; {
			p, err := c.client.Suppressed(after, listed)
			if err != nil {
				return err
			}
			all.File, all.InFile = p.File, p.InFile
			all.Entries = append(all.Entries, p.Entries...)
			if all.Next = p.Next; p.Next == "" || n > 0 && len(all.Entries) >= n {
				break
			}
			after = p.Next
		}
		if n > 0 && len(all.Entries) > n {
			all.Entries, all.Next = all.Entries[:n], all.Entries[n-1].Entry
		}
		w := cmd.OutOrStdout()
		if c.json {
			return printJSON(w, all)
		}
		t := table(w)
		if len(all.Entries) > 0 {
			fmt.Fprintln(t, "ENTRY\tWHY\tBY\tSINCE")
		}
		for _, e := range all.Entries {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", mail.Printable(e.Entry), mail.Printable(e.Why), mail.Printable(or(e.By, "server")), e.Since.Format(time.RFC3339))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if all.File != "" {
			fmt.Fprintf(w, "%d entries in %s\n", all.InFile, all.File)
		}
		if all.Next != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "sluice: there are more than %d entries; --limit 0 lists all\n", n)
		}
		return nil
	})
	cmd.Flags().IntVar(&n, "limit", listed, "at most so many entries; 0: all")
	return cmd
}

func suppressionVerb(g *globals, verb, short, long, example string) *cobra.Command {
	c := control{globals: g}
	op := admin.Suppression{Verb: verb, By: or(os.Getenv("SUDO_USER"), os.Getenv("USER"))}
	cmd := c.command(&cobra.Command{
		Use: verb + " ADDRESS|@DOMAIN", Args: cobra.ExactArgs(1), Short: short, Long: long, Example: example,
	}, func(cmd *cobra.Command, args []string) error {
		op.Entry = args[0]
		done, err := c.client.Suppress(op)
		if err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), done)
		}
		text := map[string][2]string{
			"add": {"is there already", "added"}, "remove": {"is not on the list", "removed"}, "check": {"is not on the list", ""},
		}[verb]
		w := cmd.OutOrStdout()
		switch {
		case verb == "check" && done.Listed:
			f := done.Found
			fmt.Fprintf(w, "%s is on the list: %s (%s", done.Entry, mail.Printable(f.Entry), mail.Printable(f.Why))
			if !f.Since.IsZero() {
				fmt.Fprintf(w, ", by %s, since %s", mail.Printable(or(f.By, "server")), f.Since.Format(time.RFC3339))
			}
			fmt.Fprintln(w, ")")
		case done.Changed:
			fmt.Fprintf(w, "%s %s\n", done.Entry, text[1])
		default:
			if verb != "add" {
				return fmt.Errorf("%s %s", done.Entry, text[0])
			}
			fmt.Fprintf(w, "%s %s\n", done.Entry, text[0])
		}
		return nil
	})
	if verb == "add" {
		cmd.Flags().StringVar(&op.Why, "why", "", "why; shown with the entry")
	}
	return cmd
}
