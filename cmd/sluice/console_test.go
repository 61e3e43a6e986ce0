package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/server"
)

// running starts a server without mail and returns the address of its control.
func running(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("zone", `messagesystems.com. 86394 MX 10 edge.omniti.com.
edge.omniti.com. 594 A 192.0.2.25
nothing.com. 60 MX 0 .
`)
	socket := "unix:" + filepath.Join(dir, "c")
	snap, found := config.Load(file("sluice.conf", fmt.Sprintf(`hostname = "mta.test"
spool { directory = "spool" }
accounting { directory = "log" }
dns { zone_file = "zone" }
ESMTP_Listener { Listen "127.0.0.1:0" { } }
Control_Listener { Listen %q { } }
Max_Outbound_Connections = 32
host "example.com" {}
`, socket)))
	if found.HasErrors() {
		t.Fatal(found.Err())
	}
	s, err := server.Start(server.Options{Version: "test", Snapshot: snap, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return socket
}

var spoken = regexp.MustCompile(`(?m)^(\d\d:\d\d:\d\d) (\S+)> (.*)$`)

// TestConsole holds sessions to what stands in testdata/console.
func TestConsole(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	files, err := filepath.Glob("testdata/console/*.txt")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	t.Run("sessions", func(t *testing.T) {
		address := running(t)
		for _, f := range files {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			c := newConsole(address, &out)
			c.echo = true
			var lines []string
			said := spoken.FindAllStringSubmatch(string(want), -1)
			for _, m := range said {
				c.endpoint = m[2]
				lines = append(lines, m[3])
			}
			n := 0
			c.now = func() time.Time {
				at, err := time.Parse("15:04:05", said[min(n, len(said)-1)][1])
				if err != nil {
					t.Fatal(err)
				}
				n++
				return at
			}
			_ = c.read(strings.NewReader(strings.Join(lines, "\n") + "\n")) // what failed stands in the session
			c.wait(10 * time.Second)
			if out.String() != string(want) {
				t.Errorf("%s\n%s\nwant\n%s", f, out.String(), want)
			}
		}
	})
}

// TestConsoleInAPipe answers without a prompt, and says by its status that a command failed.
func TestConsoleInAPipe(t *testing.T) {
	address := running(t)
	for _, c := range []struct {
		in, out string
		fails   bool
	}{
		{"config eval max_outbound_connections\n\nexit\nnonsense\n", "Max_Outbound_Connections = 32\n", false},
		{"binding show none", "not found", true},
		{"help", "End the session", false},
		{"help explain", "Usage:", false},
	} {
		root := newRoot(new(bool))
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetIn(strings.NewReader(c.in))
		root.SetArgs([]string{"console", "--admin", address})
		if err := root.Execute(); (err != nil) != c.fails {
			t.Errorf("%q: %v", c.in, err)
		}
		if !strings.Contains(out.String(), c.out) || strings.Contains(out.String(), "> ") {
			t.Errorf("%q:\n%s\nwant %q and no prompt", c.in, out.String(), c.out)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string][]string{
		``: nil, `  a  b `: {"a", "b"}, `a "b c" ''`: {"a", "b c", ""}, "a\t'\"'\r": {"a", `"`}, `x"y"z`: {"xyz"},
	} {
		if got, err := split(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := split(`a "b`); err == nil {
		t.Error("a quote that is not closed is taken")
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`queue list "a b" 'c'`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err == nil && len(strings.Join(words, "")) > len(line)*3 {
			t.Errorf("%q gave %q", line, words)
		}
	})
}
