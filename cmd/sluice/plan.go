package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
)

func init() { commands = append(commands, planCommand) }

// exitChanges is the status of a plan that would change something.
const exitChanges = 3

func planCommand(g *globals) *cobra.Command {
	var against string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "plan", Args: cobra.NoArgs,
		Short: "Say what a reload with a new configuration would change",
		Long: `Say what a reload with a new configuration would change: effective values that differ, for
everything that has mail or connections now and for every name that a stanza of either configuration
speaks of; connections that would have to end because a limit would be below its use; domains that would
be counted under another name; bindings that come and go; what takes effect only at the next start. Equal
changes are said once, with how many names they are for.

The new configuration is read and checked here, as sluice config check does. What it sets, without secrets,
is sent to the running server, which compares it with what is in force and changes nothing. Relative paths
in it count from its own directory. Passwords are not compared. --against compares two files without a
server, by their stanzas.

The exit status is 3 when something would change, 0 when nothing would, 1 on an error.`,
		Example: "  sluice plan --config new.conf\n  sluice plan --config new.conf --against sluice.conf --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			next, err := g.planned(cmd)
			if err != nil {
				return err
			}
			var p admin.Plan
			if against != "" {
				p, err = planAgainst(cmd, against, next)
			} else {
				p, err = g.planRunning(next)
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), p)
			} else {
				err = printPlan(cmd.OutOrStdout(), &p)
			}
			if err == nil && p.Changed {
				return &exitError{status: exitChanges}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&against, "against", "", "a configuration file to compare with, instead of the running server")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// planned reads the new configuration, the one of --config.
func (g *globals) planned(cmd *cobra.Command) (*policy.Snapshot, error) {
	file, err := g.fileOf(nil)
	if err != nil {
		return nil, err
	}
	return load(cmd, file, true)
}

func (g *globals) planRunning(next *policy.Snapshot) (admin.Plan, error) {
	c, err := g.connect()
	if err != nil {
		return admin.Plan{}, err
	}
	return c.Plan(next.Show(false))
}

// planAgainst compares two files.
func planAgainst(cmd *cobra.Command, file string, next *policy.Snapshot) (admin.Plan, error) {
	old, err := load(cmd, file, false)
	if err != nil {
		return admin.Plan{}, err
	}
	// As the server would, so that both say the same.
	after, err := (&config.Loader{}).Restore(old.File, next.Show(false))
	if err != nil {
		return admin.Plan{}, err
	}
	p := admin.Plan{
		Against: file, Changes: []admin.PlanChange{}, Drains: []admin.PlanDrain{}, Routes: []admin.PlanRoute{},
		Removed: []admin.PlanGone{}, Added: []string{}, Restart: []string{},
	}
	for _, d := range policy.Compare(old, after) {
		p.Changes = append(p.Changes, admin.PlanChange{
			Option: d.Option, Old: d.Old, New: d.New, Stanza: d.Subject, File: d.Origin.File, Line: d.Origin.Line,
			Of: "name", Examples: []string{},
		})
	}
	p.Changed = len(p.Changes) > 0
	return p, nil
}

// printPlan says it in lines, the widest changes first.
func printPlan(w io.Writer, p *admin.Plan) error {
	if !p.Changed {
		fmt.Fprintf(w, "nothing would change against %s\n", or(printable(p.Against), "the running configuration"))
	} else {
		looked := "by their stanzas"
		if p.Queues+p.Hosts > 0 {
			looked = fmt.Sprintf("looking at %s and %s with mail or connections, and at all stanzas", thousands(p.Queues, "queue"), thousands(p.Hosts, "host"))
		}
		fmt.Fprintf(w, "against %s, %s:\n", or(printable(p.Against), "the defaults"), looked)
	}
	for i := range p.Changes {
		fmt.Fprintln(w, "  "+printable(changeText(&p.Changes[i])))
	}
	more(w, p.More, "changes")
	for _, r := range p.Routes {
		fmt.Fprintln(w, "  "+printable(routeText(&r)))
	}
	for _, b := range p.Removed {
		fmt.Fprintf(w, "  binding %q would go, with %s, %d queued and %d ready\n", b.Binding, count(b.Connections, "connection"), b.Queued, b.Ready)
	}
	for _, b := range p.Added {
		fmt.Fprintf(w, "  binding %q would come\n", b)
	}
	for _, d := range p.Drains {
		fmt.Fprintf(w, "  %s: %s open, the limit would be %d: %d would end after their message\n", printable(d.Counter), count(d.Connections, "connection"), d.Limit, d.Over)
	}
	more(w, p.MoreOver, "limits below their use")
	for _, r := range p.Restart {
		fmt.Fprintf(w, "  not by a reload: %s\n", printable(r))
	}
	return nil
}

func more(w io.Writer, n int, what string) {
	if n > 0 {
		fmt.Fprintf(w, "  %d more %s are not shown\n", n, what)
	}
}

// changeText is COUNT SUBJECTS under STANZA (FILE:LINE): OPTION OLD -> NEW (EXAMPLES).
func changeText(c *admin.PlanChange) string {
	where := ""
	if c.File != "" {
		where = fmt.Sprintf(" (%s:%d)", c.File, c.Line)
	}
	what := c.Option + " " + c.Old + " -> " + c.New
	if c.Option == "" {
		what = map[bool]string{true: "would come", false: "would go"}[c.Old == "-"]
	}
	switch {
	case c.Of == "name" || c.Of == "stanza":
		return fmt.Sprintf("%s%s: %s", c.Stanza, where, what)
	case c.Of == "server":
		return fmt.Sprintf("the server, %s%s: %s", or(c.Stanza, "default"), where, what)
	}
	few := strings.Join(c.Examples, ", ")
	if c.Count > len(c.Examples) {
		few += ", ..."
	}
	return fmt.Sprintf("%s under %s%s: %s (%s)", thousands(c.Count, strings.ReplaceAll(c.Of, "_", " ")), or(c.Stanza, "the defaults"), where, what, few)
}

func routeText(r *admin.PlanRoute) string {
	name := func(s string) string {
		if s == "" {
			return "by themselves"
		}
		return fmt.Sprintf("under %q", s)
	}
	few := strings.Join(r.Examples, ", ")
	if r.Domains > len(r.Examples) {
		few += ", ..."
	}
	if r.From == r.To {
		return fmt.Sprintf("%s: counted under what shows only when the hosts have been looked up (%s)", thousands(r.Domains, "domain"), few)
	}
	text := fmt.Sprintf("%s: counted %s -> %s (%s)", thousands(r.Domains, "domain"), name(r.From), name(r.To), few)
	if r.Unknown > 0 {
		text += fmt.Sprintf("; the hosts of %d have to be looked up first", r.Unknown)
	}
	return text
}

// thousands prints 12,034 domains.
func thousands(n int, what string) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n == 1 {
		return s + " " + what
	}
	return s + " " + what + "s"
}
