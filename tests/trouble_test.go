package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/tests/rig"
)

func TestPortInUse(t *testing.T) {
	first := rig.NewServer(t, oneHost("one.test", "127.0.0.28"), 25, "").Start(t)
	second := rig.NewServer(t, oneHost("one.test", "127.0.0.28"), 25, "")
	conf, err := os.ReadFile(second.Conf())
	if err != nil {
		t.Fatal(err)
	}
	second.Write(t, "sluice.conf", strings.ReplaceAll(string(conf), second.SMTP, first.SMTP))
	second.Launch(t)
	if status := second.Wait(t, 20*time.Second); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	for _, want := range []string{first.SMTP, "in use"} {
		if !strings.Contains(second.Output(), want) {
			t.Errorf("the message does not say %q: %s", want, second.Output())
		}
	}
	first.Stop(t, 20*time.Second)
}

// twentyErrors has one error in each line but the first.
const twentyErrors = `hostname = "mta.test"
max_outbound_conections = 5
max_outbound_connections = many
max_mx_hosts = -3
max_outbound_connections = -2
connect_timeout = soon
idle_timeout = -5s
Domian "a.test" { }
Domain "b.test" { bind_address = 127.0.0.1 }
Host "c.test" { max_recipients_per_batch = 5 }
Binding "d d" { }
Binding "e:e" { }
Binding_Group "f1" { Binding "f" { } } Binding_Group "f2" { Binding "f" { } }
Domain "/(/" { max_mx_hosts = 2 }
tls = maybe
suspend_delivery = perhaps
max_message_rate = fast
Binding_Group "g" { cluster_max_outbound_connections = 4 }
Binding "h" { bind_address = "not an address" }
prohibited_hosts = ( "10.0.0.0/99" )
dns { resolvr = ( "127.0.0.1:53" ) }
`

func TestTwentyErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.conf")
	if err := os.WriteFile(path, []byte(twentyErrors), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{{"config", "check", path}, {"serve", "--config", path}} {
		out, status := rig.Run(t, 20*time.Second, append([]string{rig.Sluice(t)}, argv...)...)
		if status != 1 {
			t.Errorf("sluice %s: status %d, want 1", argv[0], status)
		}
		for line := 2; line <= 21; line++ {
			named := regexp.MustCompile(fmt.Sprintf(`(?m)^%s:%d:\d+: error: \S`, regexp.QuoteMeta(path), line))
			if n := len(named.FindAllString(out, -1)); n != 1 {
				t.Errorf("sluice %s names line %d %d times, want once:\n%s", argv[0], line, n, out)
			}
		}
		if !strings.Contains(out, "(did you mean max_outbound_connections?)") {
			t.Errorf("sluice %s has no nearest name:\n%s", argv[0], out)
		}
	}
}

// TestFullDisk takes all room away from the server's files: mail is refused for the time
// being, and when there is room again everything goes on without a restart; what was
// accepted arrives, once.
func TestFullDisk(t *testing.T) {
	port := rig.Port(t, "127.0.0.29")
	sink := rig.StartSink(t, port, []string{"127.0.0.29"}, "--latency", "5ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.29"), port, eight).Start(t)
	sender := rig.StartSender(t, server.SMTP, "u@one.test", 10, 2048, 0)
	for range rig.Sample(10, 2) {
		before := sender.Accepted()
		rig.Until(t, 30*time.Second, "mail to be accepted", func() bool { return sender.Accepted() > before+100 })
		fileSize(t, server, 1)
		refused := total(sender.Refused())
		rig.Until(t, 30*time.Second, "mail to be refused", func() bool { return total(sender.Refused()) > refused })
		full := sender.Accepted()
		time.Sleep(300 * time.Millisecond) // while nothing may be accepted
		if now := sender.Accepted(); now > full+10 {
			t.Errorf("%d messages were accepted while no file could be written", now-full)
		}
		fileSize(t, server, unix.RLIM_INFINITY)
	}
	before := sender.Accepted()
	rig.Until(t, 30*time.Second, "mail to be accepted again", func() bool { return sender.Accepted() > before+100 })
	accepted := sender.Stop()
	for reply, n := range sender.Refused() {
		if !regexp.MustCompile(`^45[12] 4\.3\.[01] `).MatchString(reply) {
			t.Errorf("%d replies %q, want 452 4.3.1 or 451 4.3.0", n, reply)
		}
	}
	idle(t, server)
	server.Stop(t, 30*time.Second)
	sink.Stop(t)
	audit := rig.Compare(accepted, sink.Received(t))
	t.Logf("%v; refused meanwhile: %v", audit, sender.Refused())
	if audit.Lost != 0 || audit.Repeated != 0 {
		t.Error("want 0 lost and 0 delivered again")
	}
}

func total(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// fileSize bounds the files of a running server, as a full disk would.
func fileSize(t *testing.T, server *rig.Server, limit uint64) {
	t.Helper()
	r := unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(server.Pid(), unix.RLIMIT_FSIZE, &r, nil); err != nil {
		t.Fatalf("set RLIMIT_FSIZE: %v", err)
	}
}

// TestReadOnlySpool: a server that cannot write its spool says so and does not start.
func TestReadOnlySpool(t *testing.T) {
	const nobody = 65534
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.29"), 25, "").With(rig.As(nobody))
	spool := filepath.Join(server.Dir, "spool")
	if err := os.Mkdir(spool, 0o555); err != nil {
		t.Fatal(err)
	}
	server.Share(t, nobody)
	server.Launch(t)
	if status := server.Wait(t, 20*time.Second); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	for _, want := range []string{spool, "permission denied"} {
		if !strings.Contains(server.Output(), want) {
			t.Errorf("the message does not say %q: %s", want, server.Output())
		}
	}
}
