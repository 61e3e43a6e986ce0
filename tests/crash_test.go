package tests

import (
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// seed chooses the random moments; SLUICE_SEED repeats a run.
func seed(t *testing.T) *rand.Rand {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SLUICE_SEED: %v", err)
		}
	}
	t.Logf("SLUICE_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// TestKilledUnderLoad kills the server at random moments while mail comes in and goes out,
// and starts it again at once. Nothing that was answered 250 is lost, and no more than two
// messages of each open connection arrive again.
func TestKilledUnderLoad(t *testing.T) {
	const connections = 8
	random := seed(t)
	kills := rig.Sample(50, 6)
	port := rig.Port(t, "127.0.0.23")
	sink := rig.StartSink(t, port, []string{"127.0.0.23"}, "--latency", "5ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.23"), port, eight).Start(t)
	sender := rig.StartSender(t, server.SMTP, "u@one.test", 10, 2048, 0)
	for range kills {
		before := sender.Accepted()
		time.Sleep(time.Duration(100+random.IntN(900)) * time.Millisecond) // the random moment
		rig.Until(t, 20*time.Second, "the server to accept mail", func() bool { return sender.Accepted() > before })
		server.Kill()
		server.Start(t)
	}
	accepted := sender.Stop()
	idle(t, server)
	server.Stop(t, 30*time.Second)
	report := sink.Stop(t)
	audit := rig.Compare(accepted, sink.Received(t))
	t.Logf("%d kills: %v; at most %d may be delivered again; peak of connections at the receiver %d",
		kills, audit, 2*connections*kills, report.Connections.Peak)
	if audit.Lost != 0 {
		t.Errorf("%d accepted messages are lost", audit.Lost)
	}
	if audit.Repeated > 2*connections*kills {
		t.Errorf("%d deliveries repeated, at most two of each of %d connections at each of %d kills may be", audit.Repeated, connections, kills)
	}
	if report.Connections.Peak > connections {
		t.Errorf("the receiver saw %d connections at once, %d are allowed", report.Connections.Peak, connections)
	}
	if audit.Accepted < 100*kills {
		t.Errorf("only %d messages were accepted: that was no load", audit.Accepted)
	}
	if refused := sender.Refused(); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}

// TestStoppedUnderLoad: SIGTERM finishes what waits for its final reply, within
// drain_timeout; the rest is sent after the next start. Nothing is lost, nothing comes twice.
func TestStoppedUnderLoad(t *testing.T) {
	random := seed(t)
	port := rig.Port(t, "127.0.0.24")
	sink := rig.StartSink(t, port, []string{"127.0.0.24"}, "--latency", "5ms", "--think", "5ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.24"), port, eight+"drain_timeout = 5\n").Start(t)
	sender := rig.StartSender(t, server.SMTP, "u@one.test", 10, 2048, 0)
	for range rig.Sample(20, 3) {
		before := sender.Accepted()
		time.Sleep(time.Duration(200+random.IntN(800)) * time.Millisecond) // the random moment
		rig.Until(t, 20*time.Second, "the server to accept mail", func() bool { return sender.Accepted() > before })
		// Beyond the drain there are the files to close.
		if took := server.Stop(t, 30*time.Second); took > 8*time.Second {
			t.Errorf("the stop took %v with drain_timeout 5s", took)
		} else {
			t.Logf("stopped within %v", took.Round(time.Millisecond))
		}
		server.Start(t)
	}
	accepted := sender.Stop()
	server.Append(t, "max_outbound_connections = 64\n") // what is left need not take long
	server.Ctl(t, "reload")
	idle(t, server)
	server.Stop(t, 30*time.Second)
	sink.Stop(t)
	audit := rig.Compare(accepted, sink.Received(t))
	t.Log(audit)
	if audit.Lost != 0 || audit.Repeated != 0 {
		t.Errorf("want 0 lost and 0 delivered again")
	}
}

// TestSecondServerOnOneSpool: a spool belongs to one server.
func TestSecondServerOnOneSpool(t *testing.T) {
	port := rig.Port(t, "127.0.0.24")
	first := rig.NewServer(t, oneHost("one.test", "127.0.0.24"), port, "").Start(t)
	second := rig.NewServer(t, oneHost("one.test", "127.0.0.24"), port, "spool { directory = \""+first.Dir+"/spool\" }\n")
	second.Launch(t)
	if status := second.Wait(t, 20*time.Second); status != 1 {
		t.Errorf("a second server on the same spool ended with status %d, want 1:\n%s", status, second.Output())
	}
	if !first.Running() {
		t.Error("the first server ended")
	}
	first.Signal(t, syscall.SIGTERM)
	first.Wait(t, 20*time.Second)
}

// idle waits until the server has no message left.
func idle(t *testing.T, server *rig.Server) {
	t.Helper()
	rig.Until(t, 3*time.Minute, "the queue to be empty", func() bool { return server.Status(t).Queue.Messages == 0 })
}
