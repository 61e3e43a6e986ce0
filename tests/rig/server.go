package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is `sluice serve` over a directory of its own. It can be stopped, killed and
// started again over the same spool.
type Server struct {
	*Proc
	Dir     string
	SMTP    string // address that takes mail
	Control string // path of the control socket
	binary  string // a copy of the binary; empty: the built one
	options []Option
}

// Zone writes a zone file in which every domain of mx has one MX record for its host, and
// every host the addresses of hosts.
type Zone struct {
	MX    map[string]string   // domain -> host
	Hosts map[string][]string // host -> addresses
}

func (z Zone) String() string {
	var b strings.Builder
	b.WriteString("$TTL 300\n")
	for domain, host := range z.MX {
		fmt.Fprintf(&b, "%s. IN MX 10 %s.\n", domain, host)
	}
	for host, addrs := range z.Hosts {
		for _, a := range addrs {
			kind := "A"
			if strings.Contains(a, ":") {
				kind = "AAAA"
			}
			fmt.Fprintf(&b, "%s. IN %s %s\n", host, kind, a)
		}
	}
	return b.String()
}

// NewServer writes a configuration and does not start it. Mail for the zone's hosts goes
// to port; text is added to the configuration and wins over what stands before it.
func NewServer(t testing.TB, zone Zone, port int, text string) *Server {
	t.Helper()
	dir := Dir(t)
	s := &Server{Dir: dir, SMTP: fmt.Sprintf("127.0.0.1:%d", Port(t)), Control: filepath.Join(dir, "control.sock")}
	conf := fmt.Sprintf(`hostname = "mta.test"
spool { directory = "spool" }
accounting { directory = "accounting" }
ESMTP_Listener { Listen %q { binding_header = on  max_message_size = 16MB } }
Control_Listener { Listen %q { } }
dns { zone_file = "zone" }
remote_smtp_port = %d
prohibited_hosts = ( )
tls = no
`, s.SMTP, "unix:"+s.Control, port)
	s.Write(t, "zone", zone.String())
	s.Write(t, "sluice.conf", conf+text)
	return s
}

// Dir is a directory for one server: short enough for a socket's path, on the disk that
// temporary files live on.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the server's directory: %v", err)
		}
	})
	return dir
}

// Write writes a file of the server's directory.
func (s *Server) Write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Append adds text to the configuration; it wins over what stands before it.
func (s *Server) Append(t testing.TB, text string) {
	t.Helper()
	b, err := os.ReadFile(s.Conf())
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "sluice.conf", string(b)+text)
}

// Conf is the path of the configuration.
func (s *Server) Conf() string { return filepath.Join(s.Dir, "sluice.conf") }

// With adds options for every later start.
func (s *Server) With(o ...Option) *Server {
	s.options = append(s.options, o...)
	return s
}

// Start starts the server and waits until it takes mail.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	s.Launch(t)
	Listening(t, s.Proc, s.SMTP)
	// It listens before it has opened its spool; it greets when it is ready.
	Until(t, 60*time.Second, "the server's greeting", func() bool {
		if !s.Running() {
			t.Fatalf("the server ended at its start:\n%s", Tail(s.Output(), 4000))
		}
		c, err := Dial(s.SMTP)
		if err != nil {
			return false
		}
		defer c.Close()
		return strings.HasPrefix(c.Reply(), "220")
	})
	return s
}

// Launch starts the server and does not wait.
func (s *Server) Launch(t testing.TB) {
	t.Helper()
	binary := s.binary
	if binary == "" {
		binary = Sluice(t)
	}
	s.Proc = Start(t, []string{binary, "serve", "--config", s.Conf()}, append([]Option{In(s.Dir)}, s.options...)...)
}

// Stop sends SIGTERM and returns how long the server took to end; it must end well.
func (s *Server) Stop(t testing.TB, limit time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	s.Signal(t, syscall.SIGTERM)
	if status := s.Wait(t, limit); status != 0 {
		t.Errorf("the server ended with status %d after SIGTERM:\n%s", status, Tail(s.Output(), 4000))
	}
	return time.Since(begin)
}

// Share gives the directory, with a copy of the binary, to another user when the tests
// run as root; see As.
func (s *Server) Share(t testing.TB, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	b, err := os.ReadFile(Sluice(t))
	if err != nil {
		t.Fatal(err)
	}
	s.binary = filepath.Join(s.Dir, "sluice")
	if err := os.WriteFile(s.binary, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(s.Dir, uid, uid); err != nil {
		t.Fatal(err)
	}
}

// Ctl runs a subcommand against the server and returns its standard output.
func (s *Server) Ctl(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, Sluice(t), append(args, "--admin", "unix:"+s.Control)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sluice %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// Status is what `sluice status --json` says, as far as tests ask.
type Status struct {
	Queue struct {
		Messages    int `json:"messages"`
		Connections int `json:"connections"`
	} `json:"queue"`
	Pressure string `json:"pressure"`
}

// Status asks the running server.
func (s *Server) Status(t testing.TB) Status {
	t.Helper()
	var st Status
	if err := json.Unmarshal([]byte(s.Ctl(t, "status", "--json")), &st); err != nil {
		t.Fatalf("sluice status: %v", err)
	}
	return st
}
