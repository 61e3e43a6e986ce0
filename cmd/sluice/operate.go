package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin"
)

// queueVerb is an operator's verb on queues.
type queueVerb struct {
	name, short string
	long        string
	destructive bool // it shows what it would meet first, and asks
	jobs        bool // it takes --job
	reason      string
	to          bool
	example     string
}

var queueVerbs = []queueVerb{
	{
		name: "suspend", short: "Deliver nothing from the queues that match, until resumed", reason: "why; shown with the queue",
		long:    "Deliver nothing from the queues that match, until resumed, also after a restart. The order holds for queues that come later too.",
		example: "  sluice queue suspend example.com\n  sluice queue suspend /ip-1 --reason \"listed\"\n  sluice queue suspend --tenant shop",
	},
	{
		name: "resume", short: "Deliver again after suspend",
		long:    "Take back the suspensions that match, and narrower ones. What a broader one holds stays held, and so does what the configuration suspends (suspend_delivery).",
		example: "  sluice queue resume example.com\n  sluice queue resume --all",
	},
	{
		name: "retry", short: "Try everything that waits for a later time now", jobs: true,
		long:    "Try everything that waits for a later time now, and forget that its hosts have failed.",
		example: "  sluice queue retry example.com\n  sluice queue retry --job spring",
	},
	{
		name: "fail", short: "End the mail that matches, with a report to each sender", jobs: true, destructive: true, reason: "what senders are told",
		long: "End the mail that matches: each recipient fails, and the sender gets a report. It shows how much mail that is and asks first, or takes --yes. " +
			"Messages that are on a connection at that moment are left alone.",
		example: "  sluice queue fail example.com --reason \"the domain does not exist any more\"\n  sluice queue fail --job spring --yes",
	},
	{
		name: "rebind", short: "Give the mail that matches to another binding or group", jobs: true, destructive: true, to: true,
		long: "Give the mail that matches to another binding, or to a binding group, which spreads it by weight. That is recorded and holds after a restart. " +
			"It shows how much mail that is and asks first, or takes --yes. Messages that are on a connection at that moment, and mail that comes later, are left alone.",
		example: "  sluice queue rebind /ip-1 --to ip-2\n  sluice queue rebind example.com --tenant shop --to pool --yes",
	},
}

func (v *queueVerb) command(g *globals) *cobra.Command {
	c := control{globals: g}
	op := admin.Operation{Verb: v.name, By: or(os.Getenv("SUDO_USER"), os.Getenv("USER"))}
	var all, yes bool
	cmd := c.command(&cobra.Command{
		Use: v.name + " [DOMAIN][/BINDING[/TENANT]]", Args: cobra.MaximumNArgs(1), Short: v.short, Long: v.long, Example: v.example,
	}, func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			if err := selectQueue(&op, args[0]); err != nil {
				return err
			}
		}
		if op.Domain+op.Binding+op.Tenant+op.Job == "" && !all {
			return wrongUse("name what to %s: a queue (domain/binding[/tenant]), --domain, --binding, --tenant; --all for everything", v.name)
		}
		if v.to && op.To == "" {
			return wrongUse("--to names the binding or the group that gets the mail")
		}
		if v.destructive {
			if goOn, err := v.confirm(cmd, &c, op, yes); err != nil || !goOn {
				return err
			}
		}
		r, err := c.client.Operate(op)
		if err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), r)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", v.name, v.met(&r))
		return nil
	})
	f := cmd.Flags()
	f.StringVar(&op.Domain, "domain", "", "queues of this domain")
	f.StringVar(&op.Binding, "binding", "", "queues of this binding")
	f.StringVar(&op.Tenant, "tenant", "", "queues of this tenant")
	f.BoolVar(&all, "all", false, "every queue")
	if v.jobs {
		f.StringVar(&op.Job, "job", "", "mail of this job")
	}
	if v.reason != "" {
		f.StringVar(&op.Reason, "reason", "", v.reason)
	}
	if v.to {
		f.StringVar(&op.To, "to", "", "the binding or binding group that gets the mail")
	}
	if v.destructive {
		f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return cmd
}

// selectQueue takes a queue as it is written, in parts or whole.
func selectQueue(op *admin.Operation, queue string) error {
	domain, rest, _ := strings.Cut(queue, "/")
	binding, tenant, _ := strings.Cut(rest, "/")
	for _, x := range [...]struct {
		to         *string
		name, flag string
	}{{&op.Domain, domain, "domain"}, {&op.Binding, binding, "binding"}, {&op.Tenant, tenant, "tenant"}} {
		switch {
		case x.name == "":
		case *x.to != "" && *x.to != x.name:
			return wrongUse("%q names the %s %q, and --%s another one", queue, x.flag, x.name, x.flag)
		default:
			*x.to = x.name
		}
	}
	return nil
}

// met says in words what a verb meets.
func (v *queueVerb) met(r *admin.Operated) string {
	if v.name == "suspend" || v.name == "resume" {
		return fmt.Sprintf("%d queues", r.Queues)
	}
	s := fmt.Sprintf("%d messages to %d recipients in %d queues", r.Messages, r.Recipients, r.Queues)
	if r.Flying > 0 {
		s += fmt.Sprintf("; %d more are on connections and left alone", r.Flying)
	}
	return s
}

// confirm shows what a destructive verb would meet and asks; false: it is not to go on.
func (v *queueVerb) confirm(cmd *cobra.Command, c *control, op admin.Operation, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	in, terminal := cmd.InOrStdin().(*os.File)
	if terminal = terminal && isTerminal(in); !terminal || c.json {
		return false, wrongUse("%s asks before it does anything; without a terminal, and with --json, it takes --yes", v.name)
	}
	op.DryRun = true
	r, err := c.client.Operate(op)
	if err != nil {
		return false, err
	}
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "%s would meet %s.\n", v.name, v.met(&r))
	if r.Messages == 0 {
		return false, nil
	}
	fmt.Fprint(w, "Go on? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	if answer != "y" && answer != "yes" {
		fmt.Fprintln(w, "Nothing was done.")
		return false, nil
	}
	return true, nil
}

// printSuspensions lists the orders that stand: a queue that has no mail now may come
// under one.
func printSuspensions(w io.Writer, c *control) error {
	list, err := c.client.Suspensions()
	if err != nil || len(list) == 0 {
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "\nSUSPENDED\tSINCE\tBY\tREASON")
	for _, s := range list {
		name := or(s.Domain, "*") + "/" + or(s.Binding, "*")
		if s.Tenant != "" {
			name += "/" + s.Tenant
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(name), s.Since, printable(s.By), printable(s.Reason))
	}
	return t.Flush()
}
