package sched

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Style says how a text is set off: nothing but the terminal that shows it may be told
// more than its letters.
type Style struct{ Color bool }

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

func (s Style) paint(code, text string) string {
	if !s.Color || code == "" || text == "" {
		return text
	}
	return code + text + plain
}

// grid is rows of cells that are written below each other in columns. Cells are escaped;
// of a row's paint only the letters are set off.
type grid struct {
	rows  [][]string
	paint []string
}

func (g *grid) row(paint string, cells ...string) {
	for i := range cells {
		cells[i] = mail.Printable(cells[i])
	}
	g.rows, g.paint = append(g.rows, cells), append(g.paint, paint)
}

// write writes the rows, each after the indent, and begins anew.
func (g *grid) write(w io.Writer, s Style, indent string) {
	var width []int
	for _, r := range g.rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, r := range g.rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		fmt.Fprintf(w, "%s%s\n", indent, s.paint(g.paint[n], strings.TrimRight(line.String(), " ")))
	}
	*g = grid{}
}

// Text writes an explanation as it is read by people: the same text in the command, in the
// control API and where a test fails.
func (x *Explained) Text(w io.Writer, s Style) {
	switch {
	case x.Counter != nil:
		x.Counter.text(w, s)
	case x.Binding != nil:
		x.Binding.text(w, s)
	case x.Message != nil:
		x.Message.text(w, s)
	}
	for i := range x.Hosts {
		if i > 0 {
			fmt.Fprintln(w)
		}
		x.Hosts[i].text(w, s)
	}
	for i := range x.Queues {
		if i > 0 || x.Kind != "queue" && x.Kind != "domain" {
			fmt.Fprintln(w)
		}
		x.Queues[i].Text(w, s)
	}
	if x.More > 0 {
		fmt.Fprintf(w, "\n%d more queues; `sluice queue list` shows them\n", x.More)
	}
}

// Text writes the explanation of one queue.
func (e *Explanation) Text(w io.Writer, s Style) {
	fmt.Fprintf(w, "%s: %s\n", s.paint(bold, mail.Printable(e.Queue)), mail.Printable(e.State))
	if e.Rollup != "" {
		fmt.Fprintf(w, "  %s\n", mail.Printable(e.Rollup))
	}
	if e.Cause != "" {
		fmt.Fprintf(w, "  waits for %s%s, %s\n", s.paint(red, mail.Printable(e.Cause)), since(e.Since), spanOf(e.For))
	}
	if c := e.WaitingOn; c != nil {
		fmt.Fprintf(w, "  set by %s at %s\n", mail.Printable(stanza(c)), mail.Printable(setAt(c)))
	}
	if t := e.Estimate; t != nil {
		fmt.Fprintf(w, "  moves in about %s: %s\n", spanOf(t.Seconds), mail.Printable(t.Basis))
	} else if e.WaitingOn != nil {
		fmt.Fprintln(w, "  nothing was given there in the last minute: when it moves cannot be told")
	} else if e.Next != "" {
		fmt.Fprintf(w, "  next: %s\n", e.Next)
	}
	fmt.Fprintf(w, "  %d ready, %d queued for later, %d connections%s; the oldest message is %s old\n", e.Ready, e.Queued, e.Conns, wanted(e), spanOf(e.Oldest))
	if e.LastReply != "" {
		fmt.Fprintf(w, "  last reply: %s\n", mail.Printable(e.LastReply))
		e.LastClass.write(w)
	}
	var g grid
	if len(e.Causes) > 0 {
		g.row(faint, "WAITED FOR", "LAST 10 MIN", "", "IN ALL", "")
	}
	for _, c := range e.Causes {
		g.row("", c.Cause, spanOf(c.Recent), percent(c.RecentShare), spanOf(c.Seconds), percent(c.Share))
	}
	g.write(w, s, "  ")
	counters(w, s, e.Path)
	if len(e.Hosts) > 0 {
		g.row(faint, "HOST", "PREFERENCE", "ADDRESSES", "CONNECTIONS", "STATE", "")
	}
	for _, h := range e.Hosts {
		g.row("", h.Host, fmt.Sprint(h.Preference), h.Addresses, fmt.Sprint(h.Conns), h.State, h.Why)
	}
	g.write(w, s, "  ")
	for _, h := range e.Hosts {
		broken(w, h.Host, h.Broken)
	}
}

// broken says what a host offers and does not do.
func broken(w io.Writer, host, what string) {
	if what != "" {
		fmt.Fprintf(w, "  %s: %s\n", mail.Printable(host), mail.Printable(what))
	}
}

// counters writes a path, the counter that blocks set off.
func counters(w io.Writer, s Style, path []CounterView) {
	var g grid
	if len(path) > 0 {
		g.row(faint, "LIMIT", "KEY", "USE/LIMIT", "WAITERS", "PER MIN", "STATE", "STANZA", "SET AT")
	}
	for i := range path {
		c := &path[i]
		paint := ""
		switch c.State {
		case "blocks":
			paint = red
		case "full", "contended":
			paint = yellow
		}
		g.row(paint, c.Option, c.Key, c.use(), fmt.Sprint(c.Waiters), fmt.Sprintf("%.3g", 60*c.Grants), c.State, or(c.Stanza, "-"), setAt(c))
	}
	g.write(w, s, "  ")
}

// use is USE/LIMIT; of a throttle its rate.
func (c *CounterView) use() string {
	switch {
	case c.Rate != "":
		return c.Rate
	case c.Limit < 0:
		return fmt.Sprintf("%d/unlimited", c.Use)
	case c.Reserve > 0:
		return fmt.Sprintf("%d/%d+%d", c.Use, c.Limit, c.Reserve)
	}
	return fmt.Sprintf("%d/%d", c.Use, c.Limit)
}

func (x *CounterExplanation) text(w io.Writer, s Style) {
	fmt.Fprintf(w, "%s: %s\n", s.paint(bold, mail.Printable(x.Name())), x.State)
	what := "connections"
	if x.Rate != "" {
		what = "tokens"
		if x.NextToken != "" {
			fmt.Fprintf(w, "  next token at %s\n", x.NextToken)
		}
	}
	fmt.Fprintf(w, "  %s, %d waiters, %.3g %s a second in the last minute\n", x.use(), x.Waiters, x.Grants, what)
	fmt.Fprintf(w, "  set by %s at %s\n", mail.Printable(stanza(&x.CounterView)), mail.Printable(setAt(&x.CounterView)))
	if x.Blocked > 0 {
		fmt.Fprintf(w, "  has made queues wait for %s in all\n", spanOf(x.Blocked))
	}
	if x.Drain != nil {
		fmt.Fprintf(w, "  all who wait have had their turn in about %s: %s\n", spanOf(x.Drain.Seconds), x.Drain.Basis)
	}
	var g grid
	if len(x.Holders) > 0 {
		g.row(faint, "HELD BY", "CONNECTIONS")
	}
	for _, h := range x.Holders {
		g.row("", h.Queue, fmt.Sprint(h.Conns))
	}
	if x.Others > 0 {
		g.row("", fmt.Sprintf("%d more queues", x.Others))
	}
	g.write(w, s, "  ")
	if len(x.First) > 0 {
		g.row(faint, "WAITS, IN TURN", "FOR", "CONNECTIONS")
	}
	for _, q := range x.First {
		g.row("", q.Queue, spanOf(q.For), fmt.Sprint(q.Conns))
	}
	if n := x.Waiters - len(x.First); n > 0 {
		g.row("", fmt.Sprintf("%d more", n))
	}
	g.write(w, s, "  ")
}

func (x *BindingExplanation) text(w io.Writer, s Style) {
	fmt.Fprintf(w, "binding %s: %s\n", s.paint(bold, mail.Printable(x.Binding)), mail.Printable(x.State))
	if x.Group != "" {
		fmt.Fprintf(w, "  of the group %s\n", mail.Printable(x.Group))
	}
	fmt.Fprintf(w, "  %d ready, %d queued for later, %d connections\n", x.Ready, x.Queued, x.Conns)
	counters(w, s, x.Path)
	var g grid
	if len(x.Waiting) > 0 {
		g.row(faint, "ITS QUEUES WAIT FOR", "QUEUES", "TOGETHER")
	}
	for _, c := range x.Waiting {
		g.row("", c.Cause, fmt.Sprint(c.Queues), spanOf(c.Seconds))
	}
	g.write(w, s, "  ")
}

func (x *HostExplanation) text(w io.Writer, s Style) {
	fmt.Fprintf(w, "host %s from binding %s: %s\n", s.paint(bold, mail.Printable(x.Host)), mail.Printable(x.Binding), mail.Printable(x.State))
	fmt.Fprintf(w, "  %d connections, %d of them being opened\n", x.Conns, x.Opening)
	counters(w, s, x.Path)
	var g grid
	if len(x.Addresses) > 0 {
		g.row(faint, "ADDRESS", "CONNECTIONS", "STATE")
	}
	for _, a := range x.Addresses {
		g.row("", a.Address, fmt.Sprint(a.Conns), a.State)
	}
	g.write(w, s, "  ")
	for _, a := range x.Addresses {
		broken(w, x.Host, a.Broken)
	}
	if n := len(x.Waiting) + x.More; n > 0 {
		fmt.Fprintf(w, "  %d queues wait before it\n", n)
	}
}

func (x *MessageExplanation) text(w io.Writer, s Style) {
	fmt.Fprintf(w, "message %s\n", s.paint(bold, mail.Printable(x.ID)))
	var g grid
	if len(x.Parts) > 0 {
		g.row(faint, "QUEUE", "RECIPIENTS", "ATTEMPTS", "STATE", "NEXT")
	}
	for _, p := range x.Parts {
		g.row("", p.Queue, fmt.Sprint(p.Recipients), fmt.Sprint(p.Attempts), p.State, p.Next)
	}
	if x.More > 0 {
		g.row("", fmt.Sprintf("%d more parts", x.More))
	}
	g.write(w, s, "  ")
}

func wanted(e *Explanation) string {
	if e.Wanted == 0 {
		return ""
	}
	return fmt.Sprintf(", %d wanted", e.Wanted)
}

func since(t string) string {
	if t == "" {
		return ""
	}
	return " since " + t
}

func stanza(c *CounterView) string { return or(c.Stanza, "the defaults") }

func setAt(c *CounterView) string {
	if c.File == "" {
		return "the default"
	}
	return fmt.Sprintf("%s:%d", c.File, c.Line)
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// spanOf prints seconds, the small ones with a digit behind the point.
func spanOf(s float64) string {
	unit := time.Second
	if s < 10 {
		unit = 100 * time.Millisecond
	}
	return time.Duration(s * float64(time.Second)).Round(unit).String()
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// write says what the last reply is about.
func (c *ReplyClass) write(w io.Writer) {
	switch {
	case c == nil:
	case c.Scope == "":
		fmt.Fprintln(w, "    no reply rule knows what it complains of")
	default:
		fmt.Fprintf(w, "    about: %s, scope %s; bounce class %d %s\n", c.Class, c.Scope, c.BounceClass, c.Bounce)
	}
}
