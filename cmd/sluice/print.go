package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/internal/mail"
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

// printable escapes what a remote could have put into a text.
func printable(s string) string { return mail.Printable(s) }

// style sets texts off where a terminal shows them.
func style(w io.Writer) sched.Style {
	f, ok := w.(*os.File)
	return sched.Style{Color: ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(f)}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// use prints USE/LIMIT; no limit is "unlimited".
func use(n, limit int) string {
	if limit < 0 {
		return fmt.Sprintf("%d/unlimited", n)
	}
	return fmt.Sprintf("%d/%d", n, limit)
}
