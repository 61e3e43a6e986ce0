package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestReloadUnderLoad lowers and raises a limit while mail flows, as the receiver sees it;
// a broken file changes nothing.
func TestReloadUnderLoad(t *testing.T) {
	port := rig.Port(t, "127.0.0.37")
	sink := rig.StartSink(t, port, []string{"127.0.0.37"}, "--latency", "5ms", "--think", "10ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.37"), port, eight).Start(t)
	sender := rig.StartSender(t, server.SMTP, "u@one.test", 20, 1000, 0)
	open := func() int { return sink.Now(t).Connections.Open }
	limit := func(n int) {
		server.Append(t, fmt.Sprintf("max_outbound_connections = %d\n", n))
		server.Ctl(t, "reload")
	}
	rig.Until(t, 20*time.Second, "8 connections", func() bool { return open() == 8 })
	limit(3)
	rig.Until(t, 10*time.Second, "3 connections or fewer", func() bool { return open() <= 3 })
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if n := open(); n > 3 {
			t.Fatalf("%d connections after the limit went down to 3", n)
		}
	}
	limit(5)
	rig.Until(t, 20*time.Second, "5 connections", func() bool { return open() == 5 })
	sound, err := os.ReadFile(server.Conf())
	if err != nil {
		t.Fatal(err)
	}
	server.Append(t, "max_outbound_conections = 1\n")
	out, err := exec.Command(rig.Sluice(t), "reload", "--admin", "unix:"+server.Control).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "did you mean max_outbound_connections") {
		t.Errorf("reload of a broken file: %v\n%s", err, out)
	}
	server.Write(t, "sluice.conf", string(sound))
	if n := open(); n > 5 {
		t.Errorf("%d connections after the refused reload, 5 are allowed", n)
	}
	accepted := sender.Stop()
	if peak := sink.Now(t).Connections.Peak; peak != 8 {
		t.Errorf("peak %d, want 8", peak)
	}
	limit(100) // what is left need not take long
	idle(t, server)
	server.Stop(t, 20*time.Second)
	sink.Stop(t)
	if a := rig.Compare(accepted, sink.Received(t)); a.Lost != 0 || a.Repeated != 0 {
		t.Error(a)
	}
}

// TestExplain: at a limit the server says which counter blocks, where its limit was set,
// and how much is in use.
func TestExplain(t *testing.T) {
	port := rig.Port(t, "127.0.0.38")
	sink := rig.StartSink(t, port, []string{"127.0.0.38"}, "--think", "50ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.38"), port, eight).Start(t)
	rig.Load(t, server.SMTP, 200, "u@one.test", "")
	type counter struct {
		Option string
		Use    int
		Limit  int
		File   string
		Line   int
		Since  string
	}
	var got struct {
		Queue     string
		WaitingOn *counter `json:"waiting_on"`
		Path      []counter
	}
	rig.Until(t, 10*time.Second, "a queue that waits", func() bool {
		if err := json.Unmarshal([]byte(server.Ctl(t, "explain", "one.test/default", "--json")), &got); err != nil {
			t.Fatal(err)
		}
		return got.WaitingOn != nil
	})
	w := got.WaitingOn
	if got.Queue != "one.test/default" || w.Option != "max_outbound_connections" || w.Use != 8 || w.Limit != 8 || w.File != server.Conf() || w.Line == 0 || w.Since == "" {
		t.Errorf("explain says %+v of %q", *w, got.Queue)
	}
	if len(got.Path) < 2 { // the domain's and the server's at least
		t.Errorf("the path has %d counters", len(got.Path))
	}
	sink.Distinct(t, 200, time.Minute)
	idle(t, server)
	server.Stop(t, 20*time.Second)
	exactlyOnce(t, sink.Stop(t), 200)
}

// TestTroubleStaysWhereItIs: a receiver that never answers holds up nobody else.
func TestTroubleStaysWhereItIs(t *testing.T) {
	port := rig.Port(t, "127.0.0.39", "127.0.0.40")
	stuck := rig.StartSink(t, port, []string{"127.0.0.39"}, "--fault", "stall-at-dot=1")
	well := rig.StartSink(t, port, []string{"127.0.0.40"})
	zone := rig.Zone{
		MX:    map[string]string{"stuck.test": "mx.stuck.test", "well.test": "mx.well.test"},
		Hosts: map[string][]string{"mx.stuck.test": {"127.0.0.39"}, "mx.well.test": {"127.0.0.40"}},
	}
	server := rig.NewServer(t, zone, port, eight+"drain_timeout = 1\n").Start(t)
	rig.Load(t, server.SMTP, 1000, "u@stuck.test", "")
	rig.Until(t, 20*time.Second, "8 connections that hang", func() bool { return stuck.Now(t).Connections.Open == 8 })
	begin := time.Now()
	rig.Load(t, server.SMTP, 1000, "u@well.test", "")
	well.Distinct(t, 1000, 30*time.Second)
	t.Logf("1000 messages arrived within %v beside a receiver that hangs", time.Since(begin).Round(time.Millisecond))
	if r := stuck.Now(t); r.Connections.Peak != 8 {
		t.Errorf("the receiver that hangs saw %d connections, 8 are allowed", r.Connections.Peak)
	}
	server.Stop(t, 20*time.Second)
	exactlyOnce(t, well.Stop(t), 1000)
}

// TestFewFiles: limits that ask for more files than the system gives are said, and are no
// trouble for the mail.
func TestFewFiles(t *testing.T) {
	const files = 256
	port := rig.Port(t, "127.0.0.41")
	sink := rig.StartSink(t, port, []string{"127.0.0.41"}, "--think", "50ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.41"), port, "max_outbound_connections = 1000\nretry_interval = ( 1 )\n")
	server.With(func(c *exec.Cmd) {
		c.Args = append([]string{"sh", "-c", fmt.Sprintf("ulimit -n %d; exec \"$0\" \"$@\"", files), c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
	})
	server.Start(t)
	if !strings.Contains(server.Output(), "open files") {
		t.Errorf("nothing is said of open files:\n%s", server.Output())
	}
	accepted := rig.StartSender(t, server.SMTP, "u@one.test", 20, 1000, 3000).Wait()
	sink.Distinct(t, len(accepted), 2*time.Minute)
	idle(t, server)
	server.Stop(t, 20*time.Second)
	r := sink.Stop(t)
	if len(accepted) != 3000 {
		t.Errorf("%d of 3000 messages were accepted", len(accepted))
	}
	exactlyOnce(t, r, len(accepted))
	if r.Connections.Peak >= files {
		t.Errorf("%d connections with %d files", r.Connections.Peak, files)
	}
	t.Logf("peak of connections with %d files: %d", files, r.Connections.Peak)
}

// TestDamagedSpool: bytes that changed on the disk cost the messages in them at most, are
// named, and never stop a start.
func TestDamagedSpool(t *testing.T) {
	port := rig.Port(t, "127.0.0.42")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.42"), port, eight+"suspend_delivery = on\n").Start(t)
	accepted := rig.StartSender(t, server.SMTP, "u@one.test", 10, 2048, 500).Wait()
	server.Kill()
	damaged := damage(t, filepath.Join(server.Dir, "spool"))
	server.Start(t)
	t.Logf("%s damaged; the server holds %d of %d messages", damaged, server.Status(t).Queue.Messages, len(accepted))
	if n := server.Status(t).Queue.Messages; n < len(accepted)*9/10 || n >= len(accepted) {
		t.Errorf("of %d messages %d are left after 64 octets were damaged", len(accepted), n)
	}
	segment, _, _ := strings.Cut(filepath.Base(damaged), "-")
	for _, want := range []string{"damaged record", "of segment " + segment, "quarantine"} {
		if !strings.Contains(server.Output(), want) {
			t.Errorf("nothing says %q:\n%s", want, server.Output())
		}
	}
	server.Stop(t, 20*time.Second)
}

// damage changes 64 octets in the middle of the largest file below dir.
func damage(t *testing.T, dir string) string {
	t.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil || largest == "" {
		t.Fatalf("no file in the spool (%v)", err)
	}
	b, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	written := len(strings.TrimRight(string(b), "\x00")) // files may be allocated ahead
	for i := range 64 {
		b[written/2+i] ^= 0x55
	}
	if err := os.WriteFile(largest, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return largest
}
