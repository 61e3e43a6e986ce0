package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// bigZone has two domains with hosts of different names at one provider, and a third
// domain elsewhere.
var bigZone = rig.Zone{
	MX: map[string]string{"one.test": "mx1.big.test", "two.test": "mx.eu.big.test", "three.test": "mx.small.test"},
	Hosts: map[string][]string{
		"mx1.big.test": {"127.0.0.91"}, "mx.eu.big.test": {"127.0.0.92"}, "mx.small.test": {"127.0.0.93"},
	},
}

const bigRollup = `max_outbound_connections = 4
retry_interval = 1
Rollup "big.rollup" { mx = ( "*.big.test" ) }
Domain "big.rollup" { max_outbound_connections = 6 }
`

// TestRollup: two domains under a Rollup share one limit as their provider counts; a third
// domain keeps its own; explain and domain say why.
func TestRollup(t *testing.T) {
	messages := rig.Sample(3000, 500)
	port := rig.Port(t, "127.0.0.91", "127.0.0.92", "127.0.0.93")
	big := rig.StartSink(t, port, []string{"127.0.0.91", "127.0.0.92"}, "--latency", "5ms", "--max-connections", "6")
	small := rig.StartSink(t, port, []string{"127.0.0.93"}, "--latency", "5ms", "--max-connections", "4")
	server := rig.NewServer(t, bigZone, port, "suspend_delivery = on\n"+bigRollup).Start(t)
	for _, d := range []string{"one.test", "two.test", "three.test"} {
		rig.Load(t, server.SMTP, messages, "u@"+d, "")
	}
	server.Append(t, "suspend_delivery = off\n")
	server.Ctl(t, "reload")
	big.Distinct(t, 1, time.Minute) // so that the hosts are known
	if out := server.Ctl(t, "explain", "two.test/default"); !strings.Contains(out, "rolled up under big.rollup by ") || !strings.Contains(out, "default/big.rollup") {
		t.Errorf("explain says\n%s", out)
	}
	if out := server.Ctl(t, "domain", "one.test"); !strings.Contains(out, "rolled up under big.rollup by ") {
		t.Errorf("domain says\n%s", out)
	}
	big.Distinct(t, 2*messages, 3*time.Minute)
	small.Distinct(t, messages, 3*time.Minute)
	server.Stop(t, 30*time.Second)
	r, own := big.Stop(t), small.Stop(t)
	t.Logf("under the rollup: peak %d, by host %v; the third: peak %d", r.Connections.Peak, r.Connections.PeakByListener, own.Connections.Peak)
	exactlyOnce(t, r, 2*messages)
	exactlyOnce(t, own, messages)
	if r.Connections.Peak != 6 || r.Violations != 0 || r.Connections.Refused != 0 {
		t.Errorf("under the rollup: peak %d (want exactly 6), violations %d, refused %d", r.Connections.Peak, r.Violations, r.Connections.Refused)
	}
	if own.Connections.Peak != 4 || own.Violations != 0 || own.Recipients.ByDomain["three.test"] != messages {
		t.Errorf("the third domain: peak %d (want exactly 4), violations %d, %v", own.Connections.Peak, own.Violations, own.Recipients.ByDomain)
	}
}

// TestRollupKeepsHostsApart: what shares a limit shares no host.
func TestRollupKeepsHostsApart(t *testing.T) {
	messages := rig.Sample(2000, 300)
	port := rig.Port(t, "127.0.0.91", "127.0.0.92")
	sinks := map[string]*rig.Sink{
		"one.test": rig.StartSink(t, port, []string{"127.0.0.91"}, "--latency", "2ms"),
		"two.test": rig.StartSink(t, port, []string{"127.0.0.92"}, "--latency", "2ms"),
	}
	server := rig.NewServer(t, bigZone, port, bigRollup).Start(t)
	for d := range sinks {
		rig.Load(t, server.SMTP, messages, "u@"+d, "")
	}
	idle(t, server)
	server.Stop(t, 30*time.Second)
	for d, sink := range sinks {
		r := sink.Stop(t)
		exactlyOnce(t, r, messages)
		if len(r.Recipients.ByDomain) != 1 || r.Recipients.ByDomain[d] != messages {
			t.Errorf("the host of %s has recipients of %v", d, r.Recipients.ByDomain)
		}
	}
}

// TestRollupReload: a Rollup that a reload brings, or takes away, moves the connections
// that are open, as the provider counts them.
func TestRollupReload(t *testing.T) {
	port := rig.Port(t, "127.0.0.91", "127.0.0.92")
	sink := rig.StartSink(t, port, []string{"127.0.0.91", "127.0.0.92"}, "--latency", "5ms", "--think", "10ms")
	plain := "max_outbound_connections = 4\nretry_interval = 1\n"
	server := rig.NewServer(t, bigZone, port, plain).Start(t)
	var senders []*rig.Sender
	for _, d := range []string{"one.test", "two.test"} {
		senders = append(senders, rig.StartSender(t, server.SMTP, "u@"+d, 10, 1000, 0))
	}
	open := func() int { return sink.Now(t).Connections.Open }
	sound, err := os.ReadFile(server.Conf())
	if err != nil {
		t.Fatal(err)
	}
	rig.Until(t, 20*time.Second, "8 connections", func() bool { return open() == 8 })
	server.Append(t, strings.ReplaceAll(bigRollup, "= 6", "= 3"))
	server.Ctl(t, "reload")
	rig.Until(t, 10*time.Second, "3 connections or fewer", func() bool { return open() <= 3 })
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if n := open(); n > 3 {
			t.Fatalf("%d connections under a rollup with a limit of 3", n)
		}
	}
	server.Write(t, "sluice.conf", string(sound))
	server.Ctl(t, "reload")
	rig.Until(t, 20*time.Second, "8 connections again", func() bool { return open() == 8 })
	var accepted []string
	for _, s := range senders {
		accepted = append(accepted, s.Stop()...)
	}
	server.Append(t, "max_outbound_connections = 100\n")
	server.Ctl(t, "reload")
	idle(t, server)
	server.Stop(t, 20*time.Second)
	sink.Stop(t)
	if a := rig.Compare(accepted, sink.Received(t)); a.Lost != 0 || a.Repeated != 0 {
		t.Error(a)
	}
}

// TestGatewayCounts: mail of all domains through a gateway is counted by the gateway's name;
// with routes it keeps its own domain's limit.
func TestGatewayCounts(t *testing.T) {
	for name, c := range map[string]struct {
		option string
		peak   int
	}{
		"gateway": {`gateway = "MX1.big.test"
Domain "mx1.big.test" { max_outbound_connections = 3 }`, 3},
		"routes": {`routes = ( mx1.big.test )
max_outbound_connections = 2`, 4},
	} {
		t.Run(name, func(t *testing.T) {
			messages := rig.Sample(1000, 200)
			port := rig.Port(t, "127.0.0.91")
			sink := rig.StartSink(t, port, []string{"127.0.0.91"}, "--latency", "5ms", "--max-connections", fmt.Sprint(c.peak))
			server := rig.NewServer(t, bigZone, port, "suspend_delivery = on\nretry_interval = 1\n"+c.option+"\n").Start(t)
			rig.Load(t, server.SMTP, messages, "u@one.test", "")
			rig.Load(t, server.SMTP, messages, "u@two.test", "")
			server.Append(t, "suspend_delivery = off\n")
			server.Ctl(t, "reload")
			sink.Distinct(t, 2*messages, 3*time.Minute)
			server.Stop(t, 30*time.Second)
			r := sink.Stop(t)
			exactlyOnce(t, r, 2*messages)
			if r.Connections.Peak != c.peak || r.Violations != 0 {
				t.Errorf("peak %d (want exactly %d), violations %d", r.Connections.Peak, c.peak, r.Violations)
			}
		})
	}
}
