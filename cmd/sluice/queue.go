package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin/client"
	"github.com/sluice-mta/sluice/internal/sched"
)

func queueCommand(g *globals) *cobra.Command {
	cmd := group("queue", "List, show, suspend, resume, retry, fail and rebind queues")
	cmd.AddCommand(queueList(g), queueShow(g))
	for i := range queueVerbs {
		cmd.AddCommand(queueVerbs[i].command(g))
	}
	return cmd
}

// listed is how many queues `queue list` prints unless told otherwise.
const listed = 1000

func queueList(g *globals) *cobra.Command {
	c := control{globals: g}
	var l lister
	cmd := c.command(&cobra.Command{
		Use: "list", Args: cobra.NoArgs,
		Short:   "List the queues with what each waits for",
		Example: "  sluice queue list\n  sluice queue list --sort waiting --limit 20",
	}, func(cmd *cobra.Command, _ []string) error {
		if l.order != "" && (l.n < 1 || l.n > listed) {
			return wrongUse("--sort takes a --limit from 1 to %d", listed)
		}
		w := cmd.OutOrStdout()
		l.client = c.client
		print := l.table
		if c.json {
			print = l.json
		}
		more, err := print(w)
		if more && err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "sluice: there are more than %d queues; --limit 0 lists all\n", l.n)
		}
		if err != nil || c.json {
			return err
		}
		return printSuspensions(w, &c)
	})
	cmd.Flags().IntVar(&l.n, "limit", listed, "at most so many queues; 0: all")
	cmd.Flags().StringVar(&l.order, "sort", "", "those with most first: mail, ready, queued, connections, oldest, waiting")
	return cmd
}

// lister prints queues as they come.
type lister struct {
	client *client.Client
	n      int
	order  string
}

func (l *lister) queues(each func(sched.QueueView) error) (more bool, err error) {
	if l.order == "" {
		return l.client.Queues(l.n, each)
	}
	rows, err := l.client.TopQueues(l.order, l.n)
	for i := 0; err == nil && i < len(rows); i++ {
		err = each(rows[i])
	}
	return false, err
}

func (l *lister) table(w io.Writer) (more bool, err error) {
	t := table(w)
	title := sync.OnceFunc(func() { fmt.Fprintln(t, "QUEUE\tQUEUED\tREADY\tCONNECTIONS\tOLDEST\tSTATE") })
	more, err = l.queues(func(q sched.QueueView) error {
		title()
		_, err := fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\n", printable(q.Queue), q.Queued, q.Ready, q.Conns, seconds(q.Oldest), printable(queueState(&q)))
		return err
	})
	if err != nil {
		return false, err
	}
	title()
	return more, t.Flush()
}

// json streams one array over all pages.
func (l *lister) json(w io.Writer) (more bool, err error) {
	sep := "[\n"
	more, err = l.queues(func(q sched.QueueView) error {
		b, err := json.Marshal(q)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s", sep, b)
		sep = ",\n"
		return err
	})
	if err != nil {
		return false, err
	}
	if sep == "[\n" {
		_, err = fmt.Fprintln(w, "[]")
		return false, err
	}
	_, err = fmt.Fprintln(w, "\n]")
	return more, err
}

func queueState(q *sched.QueueView) string {
	if c := q.WaitingOn; c != nil {
		if c.Rate != "" {
			return fmt.Sprintf("waits on %s %s (%s)", c.Option, c.Key, c.Rate)
		}
		return fmt.Sprintf("waits on %s %s (%d/%d)", c.Option, c.Key, c.Use, c.Limit)
	}
	return q.State
}

func queueShow(g *globals) *cobra.Command {
	c := control{globals: g}
	return c.command(&cobra.Command{
		Use: "show QUEUE", Args: cobra.ExactArgs(1),
		Short:   "Show one queue, domain/binding, with the limits on its path",
		Example: "  sluice queue show example.com/default",
	}, func(cmd *cobra.Command, args []string) error {
		if !strings.Contains(args[0], "/") {
			return wrongUse("%q is not a queue: a queue is written domain/binding, with a tenant domain/binding/tenant", args[0])
		}
		x, err := c.client.Explain(args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if c.json {
			return printJSON(w, x.Explanation)
		}
		x.Text(w, style(w))
		return nil
	})
}
