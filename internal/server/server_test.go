package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
	"github.com/sluice-mta/sluice/internal/sink"
)

// world is a directory with a configuration, and what the tests reach from it.
type world struct {
	t    *testing.T
	dir  string
	wall atomic.Int64 // offset of the wall clock, ns
	port int          // of receivers
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), port: freePort(t)}
	w.file("zone", "*.test. 60 MX 10 mx.test.\nmx.test. 60 A 127.0.0.1\nsender.test. 60 MX 10 mx.test.\n")
	return w
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// text is a configuration with further lines.
func (w *world) text(more string) string {
	return fmt.Sprintf(`
hostname = "mta.test"
spool { directory = "spool" }
accounting { directory = "log" }
dns { zone_file = "zone" }
remote_smtp_port = %d
prohibited_hosts = ( )
ESMTP_Listener { Listen "127.0.0.1:0" { binding_header = on } }
Control_Listener { Listen "unix:%s/control.sock" { } }
%s
`, w.port, w.dir, more)
}

// start runs a server with further lines of configuration.
func (w *world) start(more string) *Server {
	w.t.Helper()
	path := w.file("sluice.conf", w.text(more))
	load := func() (*policy.Snapshot, []string, error) {
		snap, found := config.Load(path)
		return snap, nil, found.Err()
	}
	snap, _, err := load()
	if err != nil {
		w.t.Fatal(err)
	}
	clock := live.SystemClock()
	clock.Wall = func() int64 { return time.Now().UnixNano() + w.wall.Load() }
	s, err := Start(Options{
		Version: "test", Snapshot: snap, Load: load, Clock: clock,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) sink(o sink.Options) *sink.Sink {
	w.t.Helper()
	o.Listen = []string{fmt.Sprintf("127.0.0.1:%d", w.port)}
	s, err := sink.Start(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

// send hands one message in over SMTP.
func send(t *testing.T, s *Server, id string, to ...string) {
	t.Helper()
	sendVia(t, s, id, "default", to...)
}

// sendVia names a binding.
func sendVia(t *testing.T, s *Server, id, binding string, to ...string) {
	t.Helper()
	err := smtp.SendMail(s.Addresses(policy.ListenESMTP)[0], nil, "a@sender.test", to,
		fmt.Appendf(nil, "X-Binding: "+binding+"\r\nFrom: a@sender.test\r\nSubject: %s\r\nMessage-ID: <%s@sender.test>\r\n\r\nHello.\r\n", id, id))
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition; the bound is generous, nothing is measured by it.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func queued(s *Server) int {
	var n int
	s.driver.View(func(m *sched.Machine, now int64) { n = m.Totals(now).Messages })
	return n
}

// records returns the lines of the CSV accounting of a type.
func (w *world) records(kind string) []string {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "log", "*.csv"))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, kind+",") {
				out = append(out, line)
			}
		}
	}
	return out
}

func TestDeliversWithinTheLimit(t *testing.T) {
	w := newWorld(t)
	k := w.sink(sink.Options{Latency: 2 * time.Millisecond, MaxConnections: 4})
	s := w.start("domain \"one.test\" { max_outbound_connections = 4 }")
	for i := range 60 {
		send(t, s, fmt.Sprint("m", i), "u@one.test")
	}
	until(t, "60 messages delivered", func() bool { return k.Report().Messages.Distinct == 60 })
	until(t, "queue empty", func() bool { return queued(s) == 0 })
	stop(t, s)
	r := k.Report()
	if r.Messages.Accepted != 60 || r.Violations != 0 || r.Connections.Peak > 4 {
		t.Errorf("report %+v", r)
	}
	if n := len(w.records("d")); n != 60 {
		t.Errorf("%d delivered records, want 60", n)
	}
	if n := len(w.records("r")); n != 60 {
		t.Errorf("%d received records, want 60", n)
	}
	if n := s.spool.Stats().Messages; n != 0 {
		t.Errorf("%d messages left in the spool", n)
	}
}

func TestRefusalBecomesAReport(t *testing.T) {
	w := newWorld(t)
	k := w.sink(sink.Options{Faults: []sink.Fault{{Kind: sink.Rcpt5xx, Share: 1}}})
	s := w.start("")
	send(t, s, "m", "nobody@one.test")
	// The report itself is refused too, and never reported on.
	until(t, "two refusals", func() bool { return k.Report().Recipients.Refused == 2 })
	until(t, "queue empty", func() bool { return queued(s) == 0 })
	stop(t, s)
	b := w.records("b")
	if len(b) != 2 || !strings.Contains(b[0], "nobody@one.test") || !strings.Contains(b[1], ",a@sender.test,") {
		t.Errorf("bounced records:\n%s", strings.Join(b, ""))
	}
}

// Nothing expires unattempted and nothing waits longer than its schedule, whatever the
// wall clock did while the server was down.
func TestRestartWithAnotherWallClock(t *testing.T) {
	for _, c := range []struct {
		name   string
		offset time.Duration
	}{
		{"a year ahead", 365 * 24 * time.Hour},
		{"a year behind", -365 * 24 * time.Hour},
		{"after six days", 6 * 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("retry_interval = ( 20m )")
			send(t, s, "m", "u@one.test") // nothing listens: deferred
			until(t, "deferred", func() bool { return len(w.records("t")) == 1 })
			stop(t, s)

			w.wall.Store(int64(c.offset))
			k := w.sink(sink.Options{})
			s = w.start("retry_interval = ( 20m )")
			if c.offset > 0 {
				until(t, "delivered, not expired", func() bool { return k.Report().Messages.Accepted == 1 })
				until(t, "queue empty", func() bool { return queued(s) == 0 })
			} else {
				e, err := backend{s}.Explain("one.test/default")
				if err != nil {
					t.Fatal(err)
				}
				next, err := time.Parse(time.RFC3339, e.Next)
				if err != nil {
					t.Fatalf("%+v: %v", e, err)
				}
				if wait := next.Sub(s.wall()); wait > 23*time.Minute {
					t.Errorf("waits %v, its schedule says 20m", wait)
				}
			}
			stop(t, s)
			if b := w.records("b"); len(b) != 0 {
				t.Errorf("bounced:\n%s", strings.Join(b, ""))
			}
		})
	}
}

func TestExpiresAfterOneAttempt(t *testing.T) {
	w := newWorld(t)
	s := w.start("message_expiration = 1h retry_interval = ( 20m ) generate_bounces = off")
	send(t, s, "m", "u@one.test")
	until(t, "deferred", func() bool { return len(w.records("t")) == 1 })
	stop(t, s)
	w.wall.Store(int64(2 * time.Hour))
	s = w.start("message_expiration = 1h retry_interval = ( 20m ) generate_bounces = off")
	until(t, "expired", func() bool { return len(w.records("b")) == 1 })
	stop(t, s)
	if n := len(w.records("t")); n != 2 {
		t.Errorf("%d attempts recorded as deferred, want 2: the second after the restart", n)
	}
	if b := w.records("b")[0]; !strings.Contains(b, "4.4.7") || !strings.Contains(b, "connection refused") {
		t.Errorf("the record of an expired message does not tell why it was not delivered: %s", b)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	snap := config.Default()
	snap.Listeners = []policy.Listener{{Kind: policy.ListenESMTP, Address: l.Addr().String()}}
	snap.Spool.Directory = filepath.Join(t.TempDir(), "spool")
	_, err = Start(Options{Snapshot: snap, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(snap.Spool.Directory); err == nil {
		t.Error("the spool was touched before the port was known to be free")
	}
}

// A message whose content is damaged on disk is reported to its sender from the envelope
// alone, once, instead of being tried until it expires.
func TestDamagedContentIsReported(t *testing.T) {
	w := newWorld(t)
	s := w.start("")
	send(t, s, "m", "u@one.test") // nothing listens: deferred
	until(t, "deferred", func() bool { return len(w.records("t")) == 1 })
	stop(t, s)
	w.flip("Hello.")

	k := w.sink(sink.Options{})
	s = w.start("")
	b := backend{s}
	if _, err := b.Operate(admin.Operation{Verb: "retry", Domain: "one.test"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the report delivered", func() bool { return k.Report().Recipients.ByDomain["sender.test"] == 1 })
	until(t, "queue empty", func() bool { return queued(s) == 0 })
	if q := s.spool.Stats().Quarantined; q != 1 {
		t.Errorf("%d records quarantined, want 1", q)
	}
	stop(t, s)
	if b := w.records("b"); len(b) != 1 || !strings.Contains(b[0], ",a@sender.test,u@one.test,") || !strings.Contains(b[0], "5.3.0") {
		t.Errorf("bounced records:\n%s", strings.Join(b, ""))
	}
}

// flip changes one octet of a text wherever it stands in the spool.
func (w *world) flip(text string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "spool", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // a directory
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			n++
			b[i] ^= 1
			if err := os.WriteFile(f, b, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if n == 0 {
		w.t.Fatalf("%q is nowhere in the spool", text)
	}
}

// A message that expires while it waits ends with the last thing that was said about it.
func TestExpiresWhileWaiting(t *testing.T) {
	w := newWorld(t)
	s := w.start("message_expiration = 2s retry_interval = ( 20m ) generate_bounces = off")
	send(t, s, "m", "u@one.test") // nothing listens: deferred
	until(t, "expired", func() bool { return len(w.records("b")) == 1 })
	stop(t, s)
	if n := len(w.records("t")); n != 1 {
		t.Errorf("%d attempts recorded as deferred, want 1", n)
	}
	if b := w.records("b")[0]; !strings.Contains(b, "4.4.7") || !strings.Contains(b, "connection refused") {
		t.Errorf("the record of an expired message does not tell why it was not delivered: %s", b)
	}
}
