package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/tests/rig"
)

// terminal is a terminal with a program in it.
type terminal struct {
	keys *os.File // what is typed; what is shown is read from it
	line *os.File // the program's side
	cmd  *exec.Cmd
	mu   sync.Mutex
	seen strings.Builder
}

func inTerminal(t *testing.T, argv ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	if err := unix.IoctlSetWinsize(int(line.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	x := &terminal{keys: keys, line: line, cmd: exec.Command(argv[0], argv[1:]...)}
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = line, line, line
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill() }) // it may have ended
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := keys.Read(b)
			if err != nil {
				return
			}
			x.mu.Lock()
			x.seen.Write(b[:n])
			x.mu.Unlock()
		}
	}()
	return x
}

func (x *terminal) shown() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

func (x *terminal) typed(t *testing.T, s string) {
	t.Helper()
	if _, err := x.keys.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

func (x *terminal) shows(t *testing.T, want string) {
	t.Helper()
	rig.Until(t, 30*time.Second, fmt.Sprintf("the terminal to show %q", want), func() bool { return strings.Contains(x.shown(), want) })
}

// settings are those of the terminal that a program in raw mode changes.
func (x *terminal) settings(t *testing.T) uint32 {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(x.line.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return s.Lflag & (unix.ICANON | unix.ECHO | unix.ISIG)
}

const leftScreen = "\x1b[?25h\x1b[?1049l"

// TestTop watches a server and finds the terminal as it was, however top ends.
func TestTop(t *testing.T) {
	port := rig.Port(t, "127.0.0.41")
	rig.StartSink(t, port, []string{"127.0.0.41"}, "--think", "100ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.41"), port, eight).Start(t)
	rig.Load(t, server.SMTP, 500, "u@one.test", "")
	for _, end := range []struct {
		name string
		end  func(x *terminal)
		ok   bool
	}{
		{"q", func(x *terminal) { x.typed(t, "q") }, true},
		{"control-c", func(x *terminal) { x.typed(t, "\x03") }, true},
		{"SIGTERM", func(x *terminal) { _ = x.cmd.Process.Signal(syscall.SIGTERM) }, false}, // its end is looked at below
	} {
		x := inTerminal(t, rig.Sluice(t), "top", "--admin", "unix:"+server.Control)
		const cooked = unix.ICANON | unix.ECHO | unix.ISIG
		x.shows(t, "QUEUE, by ready")
		x.shows(t, "max_outbound_connections default/one.test")
		if x.settings(t) == cooked {
			t.Errorf("%s: the terminal does not pass keys on", end.name)
		}
		x.typed(t, "o")
		x.shows(t, "QUEUE, by oldest")
		end.end(x)
		if err := x.cmd.Wait(); (err == nil) != end.ok {
			t.Errorf("%s: %v", end.name, err)
		}
		if got := x.settings(t); got != cooked {
			t.Errorf("%s: the terminal is left with %o", end.name, got)
		}
		x.shows(t, leftScreen)
	}
}

// TestConsoleOnATerminal edits lines and gets answers.
func TestConsoleOnATerminal(t *testing.T) {
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.42"), 25, eight).Start(t)
	x := inTerminal(t, rig.Sluice(t), "console", "--admin", "unix:"+server.Control)
	x.shows(t, server.Control+"> ")
	x.typed(t, "config eval max_outbound_connectionx\x7fs\r")
	x.shows(t, "Max_Outbound_Connections = 8\r\n")
	x.typed(t, "domain one.test\r")
	x.shows(t, "Domain 'one.test' has 1 MXs and a TTL of 300 seconds\r\n  [10 mx.one.test. TTL:300]\r\n")
	x.typed(t, "\x1b[A\x1b[A\r") // the line before the last again
	rig.Until(t, 20*time.Second, "the second answer", func() bool { return strings.Count(x.shown(), "Connections = 8") == 2 })
	x.typed(t, "exit\r")
	if err := x.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if x.settings(t)&unix.ICANON == 0 {
		t.Error("the terminal is left without lines")
	}
}
