package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/sched"
)

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func size(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/unit)
}

// printable escapes what a remote could have put into a text: control characters and
// bytes that are not UTF-8, so that a terminal never obeys them.
func printable(s string) string {
	clean := utf8.ValidString(s)
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] != 0x7f
	}
	if clean && !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 && r < 0xa0 }) {
		return s
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}

// use prints USE/LIMIT; no limit is "unlimited".
func use(n, limit int) string {
	if limit < 0 {
		return fmt.Sprintf("%d/unlimited", n)
	}
	return fmt.Sprintf("%d/%d", n, limit)
}

func place(c *sched.CounterView) string {
	if c.File == "" {
		return "default"
	}
	return fmt.Sprintf("%s:%d", printable(c.File), c.Line)
}
