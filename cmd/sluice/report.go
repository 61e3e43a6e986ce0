package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/account"
	tally "github.com/sluice-mta/sluice/internal/report"
)

func init() { commands = append(commands, reportCommand) }

// accountReport is the flags of report.
type accountReport struct {
	ruleSource
	top       int
	json, csv bool
}

func reportCommand(g *globals) *cobra.Command {
	o := accountReport{ruleSource: ruleSource{globals: g}}
	cmd := &cobra.Command{
		Use: "report FILE...", Args: cobra.MinimumNArgs(1),
		Short: "Deferral rates and replies in accounting files: where there is trouble, and whose it is",
		Long: `Read accounting files (sluice's or PowerMTA's CSV, or JSON lines; - for standard input) and print the share of
attempts that were deferred, by domain, binding and source address, the highest first; the replies that
domains gave most often, with what the reply rules say about them; and, for domains above 5 %, whether all source
addresses fare alike (then it is the configuration) or some do (then it is those addresses). Above 5 % is
marked "investigate", above 15 % "reduce"; groups with fewer than 20 attempts are not marked.`,
		Example: `  sluice report /var/log/sluice/accounting.csv
  sluice report --csv accounting-*.csv > rates.csv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.json && o.csv {
				return wrongUse("report: --json or --csv, not both")
			}
			rules, err := o.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			rates := tally.NewRates()
			for _, name := range args {
				if err := readAccounting(name, cmd.ErrOrStderr(), func(r *account.Record) { rates.Add(r, rules) }); err != nil {
					return err
				}
			}
			rates.Finish()
			switch w := cmd.OutOrStdout(); {
			case o.json:
				return printJSON(w, rates)
			case o.csv:
				return ratesCSV(w, rates)
			default:
				return printRates(w, rates, o.top)
			}
		},
	}
	o.flag(cmd)
	f := cmd.Flags()
	f.IntVar(&o.top, "top", 10, "print the first `N` of each list (0: all)")
	f.BoolVar(&o.json, "json", false, "print everything as JSON")
	f.BoolVar(&o.csv, "csv", false, "print all rates as CSV")
	return cmd
}

func ratesCSV(w io.Writer, r *tally.Rates) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"group", "name", "attempts", "deferred", "bounced", "deferral_rate", "mark"}}
	for _, g := range []struct {
		name string
		list []tally.Rate
	}{{"domain", r.Domains}, {"binding", r.Bindings}, {"source", r.Sources}} {
		for _, e := range g.list {
			rows = append(rows, []string{
				g.name, printable(e.Name), strconv.Itoa(e.Attempts), strconv.Itoa(e.Deferred), strconv.Itoa(e.Bounced),
				strconv.FormatFloat(e.Rate, 'f', 4, 64), e.Mark,
			})
		}
	}
	return c.WriteAll(rows)
}

func printRates(w io.Writer, r *tally.Rates, top int) error {
	first := func(n int) int {
		if top > 0 {
			return min(n, top)
		}
		return n
	}
	t := table(w)
	for _, g := range []struct {
		title string
		list  []tally.Rate
	}{{"DOMAIN", r.Domains}, {"BINDING", r.Bindings}, {"SOURCE", r.Sources}} {
		fmt.Fprintf(t, "%s\tATTEMPTS\tDEFERRED\tBOUNCED\tRATE\n", g.title)
		for _, e := range g.list[:first(len(g.list))] {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f %%", printable(e.Name), e.Attempts, e.Deferred, e.Bounced, 100*e.Rate)
			if e.Deferred > 0 {
				fmt.Fprintf(t, "\t%s %s", bar(e.Rate), e.Mark)
			}
			fmt.Fprintln(t)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintln(t, "REPLIES\tDOMAIN\tCLASS\tSCOPE\tTEXT")
	for _, d := range r.Diagnostics[:first(len(r.Diagnostics))] {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", d.Count, printable(d.Domain), d.Class, or(d.Scope, "-"), printable(d.Text))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range r.Findings[:first(len(r.Findings))] {
		fmt.Fprintf(w, "%s, %.1f %%: %s\n", printable(f.Domain), 100*f.Rate, whose(&f))
	}
	return nil
}

// bar draws a rate: one # for each 5 %.
func bar(rate float64) string { return strings.Repeat("#", int(rate*20+0.5)) }

func whose(f *tally.Finding) string {
	switch f.Kind {
	case "addresses":
		return "some source addresses only (" + strings.Join(f.Sources, ", ") + "): their reputation, not the configuration"
	case "configuration":
		return "all source addresses alike: the configuration asks too much"
	}
	return "only one source address has enough attempts: there is nothing to compare it with"
}
