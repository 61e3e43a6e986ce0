package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/sluice-mta/sluice/internal/admin"
)

func init() { commands = append(commands, topCommand) }

const (
	topEvery = time.Second
	topMost  = 100
	topOnce  = 10 // rows of each list in a single frame
	keyPoll  = 200 * time.Millisecond
)

// What is written to a terminal: its other screen without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// orders are the keys that choose the order of the queues.
var orders = map[byte]string{'r': "ready", 'w': "waiting", 'm': "mail", 'd': "queued", 'c': "connections", 'o': "oldest"}

func topCommand(g *globals) *cobra.Command {
	var once bool
	var order string
	c := control{globals: g}
	cmd := c.command(&cobra.Command{
		Use: "top", Args: cobra.NoArgs,
		Short: "Watch what moves and what waits, every second",
		Long: `Watch what moves and what waits, anew every second: mail and rates, connections, what queues wait for, the
limits that are nearly full, the bindings with most connections, and the queues with most mail that is ready.

Keys: q ends it; the queues are ordered by r ready, w waiting time, m mail, d queued (mail that waits for
its time), c connections, o the oldest message. In a pipe, and with --once or --json, one frame is printed; it
takes a second, because rates need two looks.`,
		Example: "  sluice top\n  sluice top --once --sort waiting",
	}, func(cmd *cobra.Command, _ []string) error {
		w := cmd.OutOrStdout()
		out, isFile := w.(*os.File)
		if once || c.json || !isFile || !isTerminal(out) || !isTerminal(os.Stdin) {
			return topFrameOnce(w, &c, order)
		}
		return watchTop(&c, order)
	})
	cmd.Flags().BoolVar(&once, "once", false, "print one frame and end")
	cmd.Flags().StringVar(&order, "sort", "ready", "order of the queues: ready, waiting, mail, queued, connections, oldest")
	return cmd
}

// Rates are recipients per second.
type Rates struct {
	Received  float64 `json:"received"`
	Delivered float64 `json:"delivered"`
	Deferred  float64 `json:"deferred"`
	Bounced   float64 `json:"bounced"`
}

// ratesOf are those between two looks at one server.
func ratesOf(before, now *admin.Top) Rates {
	took := now.Uptime - before.Uptime
	if took <= 0 { // it was started anew
		return Rates{}
	}
	per := func(a, b uint64) float64 {
		if b < a {
			return 0
		}
		return float64(b-a) / took
	}
	a, b := &before.Counts, &now.Counts
	return Rates{per(a.Received, b.Received), per(a.Delivered, b.Delivered), per(a.Deferred, b.Deferred), per(a.Bounced, b.Bounced)}
}

func topFrameOnce(w io.Writer, c *control, order string) error {
	before, err := c.client.Top(order, topOnce)
	if err != nil {
		return err
	}
	time.Sleep(topEvery)
	now, err := c.client.Top(order, topOnce)
	if err != nil {
		return err
	}
	r := ratesOf(&before, &now)
	if c.json {
		return printJSON(w, struct {
			admin.Top
			Rates Rates `json:"rates"`
		}{now, r})
	}
	_, err = fmt.Fprintln(w, strings.Join(topLines(&now, r, 0), "\n"))
	return err
}

// watchTop draws frames until a key ends it.
func watchTop(c *control, order string) error {
	before, err := c.client.Top(order, topMost)
	if err != nil {
		return err
	}
	s, err := takeScreen(os.Stdin, enterScreen, leaveScreen)
	if err != nil {
		return err
	}
	defer s.Close()
	pressed, stop := keys(os.Stdin)
	defer stop()
	tick := time.NewTicker(topEvery)
	defer tick.Stop()
	now, rates, trouble := before, Rates{}, ""
	for {
		draw(os.Stdout, &now, rates, trouble)
		select {
		case k, ok := <-pressed:
			if !ok || k == 'q' || k == 'Q' || k == 3 || k == 4 { // ^C, ^D
				return nil
			}
			if o := orders[k]; o != "" {
				order = o
			} else {
				continue
			}
		case <-tick.C:
		}
		next, err := c.client.Top(order, topMost)
		if err != nil {
			trouble = err.Error()
			continue
		}
		if trouble = ""; next.Uptime-before.Uptime >= topEvery.Seconds()/2 || next.Uptime < before.Uptime {
			rates, before = ratesOf(&before, &next), next
		}
		now = next
	}
}

// keys passes on what is typed, until stop or the end of the input.
func keys(f *os.File) (pressed <-chan byte, stop func()) {
	out, done, ended := make(chan byte), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		for {
			fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, int(keyPoll/time.Millisecond))
			select {
			case <-done:
				return
			default:
			}
			if err == unix.EINTR || n == 0 {
				continue
			}
			var b [1]byte
			if n, err := f.Read(b[:]); n == 0 || err != nil {
				return
			}
			select {
			case out <- b[0]:
			case <-done:
				return
			}
		}
	}()
	return out, func() { close(done); <-ended }
}

// draw fills the terminal.
func draw(f *os.File, t *admin.Top, r Rates, trouble string) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	lines := topLines(t, r, height-1)
	if trouble != "" {
		lines[0] = "! " + printable(trouble)
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, l := range lines[:min(len(lines), height-1)] {
		b.WriteString(clip(l, width) + "\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(f, b.String()) // a terminal that has gone ends us by a signal
}

// clip cuts a line to so many characters.
func clip(s string, width int) string {
	for i := range s {
		if width--; width < 0 {
			return s[:i]
		}
	}
	return s
}
