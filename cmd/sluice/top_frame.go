package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/sched"
)

// topLines is a frame: what there is in sum, then lists. height is how many lines there
// is room for; 0: as many as it takes.
func topLines(t *admin.Top, r Rates, height int) []string {
	q := &t.Queue
	c := &t.Connections
	out := []string{
		fmt.Sprintf("sluice %s on %s, up %s; new mail %s", printable(t.Version), printable(t.Hostname), seconds(t.Uptime), or(printable(t.Pressure), "accepted")),
		fmt.Sprintf("mail         %s: %d parts queued, %d ready, %d in delivery; %s; oldest %s",
			count(q.Messages, "message"), q.Queued, q.Ready, q.Flying, count(q.Queues, "queue"), seconds(q.OldestSecs)),
		fmt.Sprintf("per second   received %.1f, delivered %.1f, deferred %.1f, bounced %.1f", r.Received, r.Delivered, r.Deferred, r.Bounced),
		fmt.Sprintf("connections  %d: %d opening, %d delivering, %d idle, %d closing",
			c.Opening+c.Delivering+c.Idle+c.Closing, c.Opening, c.Delivering, c.Idle, c.Closing),
	}
	room := shares(height - len(out))
	out = append(out, section(room[0], causeRows(t))...)
	out = append(out, section(room[1], limitRows(t))...)
	out = append(out, section(room[2], bindingRows(t))...)
	if t.Sort != "waiting" {
		out = append(out, section(room[3], queueRows("QUEUE, by "+t.Sort, t.Queues))...)
	}
	rest := 0
	if height > 0 {
		rest = max(height-len(out), 1)
	}
	return append(out, section(rest, queueRows("QUEUE, by time waited", t.Waiting))...)
}

// shares cuts the lines that are left into those of each list; 0 for no bound.
func shares(left int) (room [4]int) {
	if left <= 0 {
		return room
	}
	for i, percent := range [...]int{18, 20, 16, 26} {
		room[i] = max(left*percent/100, 3)
	}
	return room
}

// section is a list under an empty line, of at most so many lines; nothing when the list
// has no rows.
func section(most int, rows [][]string) []string {
	if len(rows) < 2 || most == 1 {
		return nil
	}
	if most > 0 {
		rows = rows[:min(len(rows), most-1)]
	}
	var b strings.Builder
	t := table(&b)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	_ = t.Flush() // to memory
	return append([]string{""}, strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")...)
}

func causeRows(t *admin.Top) [][]string {
	causes := slices.Clone(t.Queue.Waiting)
	slices.SortFunc(causes, func(a, b sched.CauseTotal) int {
		return cmp.Or(cmp.Compare(b.Queues, a.Queues), cmp.Compare(a.Cause, b.Cause))
	})
	rows := [][]string{{"WAITING FOR", "QUEUES"}}
	for _, x := range causes {
		if x.Queues > 0 {
			rows = append(rows, []string{printable(x.Cause), fmt.Sprint(x.Queues)})
		}
	}
	return rows
}

func limitRows(t *admin.Top) [][]string {
	rows := [][]string{{"LIMIT NEARLY FULL", "USE", "WAITING"}}
	for _, x := range t.Limits {
		in := use(x.Use, x.Limit)
		if x.Throttle {
			in = "rate"
		}
		rows = append(rows, []string{printable(x.Option + " " + x.Key), in, fmt.Sprint(x.Waiters)})
	}
	return rows
}

func bindingRows(t *admin.Top) [][]string {
	rows := [][]string{{"BINDING", "CONNECTIONS", "QUEUED", "READY", "STATE"}}
	for _, x := range t.Bindings {
		rows = append(rows, []string{printable(x.Binding), use(x.Conns, x.Limit), fmt.Sprint(x.Queued), fmt.Sprint(x.Ready), or(printable(x.Trouble), "ok")})
	}
	return rows
}

func queueRows(title string, queues []sched.QueueView) [][]string {
	rows := [][]string{{title, "QUEUED", "READY", "CONNECTIONS", "OLDEST", "WAITED", "STATE"}}
	for i := range queues {
		x := &queues[i]
		rows = append(rows, []string{
			printable(x.Queue), fmt.Sprint(x.Queued), fmt.Sprint(x.Ready), fmt.Sprint(x.Conns), seconds(x.Oldest), seconds(x.For), printable(queueState(x)),
		})
	}
	return rows
}
