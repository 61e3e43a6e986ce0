package tests

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// twoDomains is a zone with a host for one.test and one for everybody else who is named.
func twoDomains(one, others string, names ...string) rig.Zone {
	z := rig.Zone{MX: map[string]string{"one.test": "mx.one.test"}, Hosts: map[string][]string{"mx.one.test": {one}, "mx.others.test": {others}}}
	for _, n := range names {
		z.MX[n] = "mx.others.test"
	}
	return z
}

// TestSuspendOverARestart: what was suspended before a kill is suspended after it, and
// `queue list` says by whom; resume brings it all, once.
func TestSuspendOverARestart(t *testing.T) {
	port := rig.Port(t, "127.0.0.41", "127.0.0.42")
	one := rig.StartSink(t, port, []string{"127.0.0.41"})
	others := rig.StartSink(t, port, []string{"127.0.0.42"})
	server := rig.NewServer(t, twoDomains("127.0.0.41", "127.0.0.42", "two.test"), port, eight).Start(t)
	server.Ctl(t, "queue", "suspend", "one.test", "--reason", "listed today")
	rig.Load(t, server.SMTP, 40, "u@one.test", "")
	rig.Load(t, server.SMTP, 40, "u@two.test", "")
	others.Distinct(t, 40, 20*time.Second)
	server.Kill()
	server.Start(t)
	rig.Load(t, server.SMTP, 10, "u@two.test", "")
	others.Distinct(t, 50, 20*time.Second)
	if n := one.Now(t).Connections.Accepted; n != 0 {
		t.Errorf("%d connections to a suspended domain", n)
	}
	list := server.Ctl(t, "queue", "list")
	if !strings.Contains(list, "one.test/*") || strings.Count(list, "listed today") != 2 {
		t.Errorf("queue list does not say what is suspended:\n%s", list)
	}
	server.Ctl(t, "queue", "resume", "one.test")
	one.Distinct(t, 40, 20*time.Second)
	idle(t, server)
	server.Stop(t, 20*time.Second)
	if r := one.Stop(t); r.Messages.Accepted != 40 {
		t.Errorf("%d messages accepted, want each of 40 once", r.Messages.Accepted)
	}
	others.Stop(t)
}

// TestQueueFail: without --yes and a terminal nothing happens; with it what matches is
// reported to its sender, the rest is not.
func TestQueueFail(t *testing.T) {
	port := rig.Port(t, "127.0.0.43", "127.0.0.44")
	one := rig.StartSink(t, port, []string{"127.0.0.43"})
	others := rig.StartSink(t, port, []string{"127.0.0.44"})
	server := rig.NewServer(t, twoDomains("127.0.0.43", "127.0.0.44", "source.test"), port, eight).Start(t)
	server.Ctl(t, "queue", "suspend", "--domain", "one.test")
	c := dial(t, server.SMTP)
	for i := range 6 {
		job := []string{"spring", "autumn"}[i%2]
		if r := c.Send("a@source.test", "u@one.test", fmt.Sprintf("X-Job: %s\r\nMessage-ID: <%d@source.test>\r\n\r\nx", job, i)); !strings.HasPrefix(r, "250") {
			t.Fatal(r)
		}
	}
	out, err := exec.Command(rig.Sluice(t), "queue", "fail", "--job", "spring", "--admin", "unix:"+server.Control).CombinedOutput()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 2 || !strings.Contains(string(out), "--yes") {
		t.Errorf("fail without --yes: %v\n%s", err, out)
	}
	var met struct{ Queues, Messages, Recipients int }
	answer := server.Ctl(t, "queue", "fail", "--job", "spring", "--reason", "the campaign is over", "--yes", "--json")
	if err := json.Unmarshal([]byte(answer), &met); err != nil || met.Messages != 3 || met.Recipients != 3 {
		t.Errorf("%v: %s", err, answer)
	}
	rig.Until(t, 20*time.Second, "three reports", func() bool { return others.Now(t).Recipients.ByDomain["source.test"] == 3 })
	server.Ctl(t, "queue", "resume", "--all")
	one.Distinct(t, 3, 20*time.Second)
	idle(t, server)
	server.Stop(t, 20*time.Second)
	one.Stop(t)
	others.Stop(t)
	if n := accounting(t, server); n["b"] != 3 || n["d"] != 6 {
		t.Errorf("accounting %v, want 3 bounced; 3 messages and 3 reports delivered", n)
	}
}

// TestQueueRebind: mail moved to another binding leaves through it, after a kill too.
func TestQueueRebind(t *testing.T) {
	port := rig.Port(t, "127.0.0.45")
	sink := rig.StartSink(t, port, []string{"127.0.0.45"})
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.45"), port, `
Binding "ip-1" { bind_address = 127.0.0.46 }
Binding "ip-2" { bind_address = 127.0.0.47 }
`).Start(t)
	server.Ctl(t, "queue", "suspend", "/ip-1")
	rig.Load(t, server.SMTP, 30, "u@one.test", "ip-1")
	if out := server.Ctl(t, "queue", "rebind", "one.test/ip-1", "--to", "ip-2", "--yes"); !strings.Contains(out, "30 messages to 30 recipients in 1 queues") {
		t.Error(out)
	}
	sink.Distinct(t, 30, 20*time.Second)
	server.Ctl(t, "queue", "suspend", "/ip-2")
	rig.Load(t, server.SMTP, 20, "u@one.test", "ip-1")
	server.Ctl(t, "queue", "rebind", "one.test/ip-1", "--to", "ip-2", "--yes")
	rig.Until(t, 20*time.Second, "20 messages at ip-2", func() bool {
		return strings.Contains(server.Ctl(t, "queue", "list"), "one.test/ip-2")
	})
	rig.Until(t, 20*time.Second, "none at ip-1", func() bool {
		return !strings.Contains(server.Ctl(t, "queue", "list"), "one.test/ip-1")
	})
	server.Stop(t, 20*time.Second)
	server.Start(t)
	server.Ctl(t, "queue", "resume", "/ip-2")
	sink.Distinct(t, 50, 20*time.Second)
	idle(t, server)
	server.Stop(t, 20*time.Second)
	if r := sink.Stop(t); r.Messages.Accepted != 50 || r.Connections.PeakBySource["127.0.0.46"] != 0 || r.Connections.PeakBySource["127.0.0.47"] == 0 {
		t.Errorf("%+v", r)
	}
}

// TestPasswordResetsBehindBulk: ten messages of another job, behind thousands of one, on
// one connection, are there at once; high goes first of all.
func TestPasswordResetsBehindBulk(t *testing.T) {
	port := rig.Port(t, "127.0.0.48")
	sink := rig.StartSink(t, port, []string{"127.0.0.48"}, "--think", "2ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.48"), port, "max_outbound_connections = 1\n").Start(t)
	server.Ctl(t, "queue", "suspend", "one.test")
	bulk := []string{rig.Sluice(t), "load", "--to", server.SMTP, "--sessions", "10", "--messages", "3000", "--rcpt", "u@one.test", "--header", "X-Job: spring"}
	if out, status := rig.Run(t, 2*time.Minute, bulk...); status != 0 {
		t.Fatal(rig.Tail(out, 1000))
	}
	c := dial(t, server.SMTP)
	for i := range 10 {
		if r := c.Send("a@source.test", "u@one.test", fmt.Sprintf("X-Job: resets\r\nX-Queue-Priority: %s\r\nMessage-ID: <reset-%d@source.test>\r\n\r\nx", []string{"normal", "high"}[i%2], i)); !strings.HasPrefix(r, "250") {
			t.Fatal(r)
		}
	}
	server.Ctl(t, "queue", "resume", "one.test")
	rig.Until(t, 20*time.Second, "the first message", func() bool { return sink.Now(t).Messages.Accepted > 0 })
	rig.Until(t, 60*time.Second, "no resets in the queue", func() bool {
		var met struct{ Messages int }
		answer := server.Ctl(t, "queue", "retry", "--job", "resets", "--json")
		return json.Unmarshal([]byte(answer), &met) == nil && met.Messages == 0
	})
	if n := sink.Now(t).Messages.Accepted; n > 2000 {
		t.Errorf("%d messages of 3010 went before ten password resets had", n)
	}
	server.Ctl(t, "queue", "fail", "--job", "spring", "--yes")
	idle(t, server)
	server.Stop(t, 20*time.Second)
	sink.Stop(t)
}
