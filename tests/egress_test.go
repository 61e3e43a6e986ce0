package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestProxies: mail of a binding goes through its proxy; the receiver sees the proxy's
// address, and never more connections than are allowed. When the proxy refuses, that is
// trouble of our own: mail waits, no attempt is counted, and it goes when the proxy works again.
func TestProxies(t *testing.T) {
	for name, haproxy := range map[string]bool{"socks5": false, "haproxy": true} {
		t.Run(name, func(t *testing.T) {
			port := rig.Port(t, "127.0.0.47")
			sink := rig.StartSink(t, port, []string{"127.0.0.47"}, "--think", "5ms", "--max-connections-per-ip", "4")
			user, password, login := "us", "secret", "proxy_user = us proxy_password = secret"
			if haproxy {
				user, password, login = "", "", ""
			}
			proxy := rig.StartProxy(t, haproxy, "127.0.0.48", user, password)
			server := rig.NewServer(t, oneHost("one.test", "127.0.0.47"), port, `
				Binding "out" { bind_address = 127.0.0.49  proxy = "`+name+`://`+proxy.Addr+`" `+login+` max_outbound_connections = 4 }
			`).Start(t)
			if !haproxy {
				proxy.Refuse.Store(1)
			}
			rig.Load(t, server.SMTP, 200, "u@one.test", "out")
			if !haproxy {
				rig.Until(t, 20*time.Second, "the refusal to be seen", func() bool {
					return strings.Contains(server.Ctl(t, "explain", "one.test/out"), "the proxy answers: general failure")
				})
				var queues []struct{ Queued, Ready int }
				if err := json.Unmarshal([]byte(server.Ctl(t, "queue", "list", "--json")), &queues); err != nil || len(queues) != 1 || queues[0].Queued != 0 || queues[0].Ready != 200 {
					t.Errorf("mail was deferred for it: %v, %v", queues, err)
				}
				proxy.Refuse.Store(0)
			}
			r := sink.Distinct(t, 200, 90*time.Second)
			if r.Connections.Peak > 4 || r.Violations != 0 || r.Connections.PeakBySource["127.0.0.48"] == 0 || len(r.Connections.PeakBySource) != 1 {
				t.Errorf("peak %d, %d violations, by source %v", r.Connections.Peak, r.Violations, r.Connections.PeakBySource)
			}
			made, peak := proxy.Counts()
			if peak > 4 || made == 0 {
				t.Errorf("the proxy made %d connections, %d at a time", made, peak)
			}
			if sources := proxy.Sources(); haproxy && (len(sources) != 1 || sources["127.0.0.49:0"] != made) {
				t.Errorf("PROXY headers name %v, want the binding's address", sources)
			}
		})
	}
}

// TestBothFamilies: a binding with an address of each family uses both, in turn, from its own
// addresses, and its connections are counted together.
func TestBothFamilies(t *testing.T) {
	port := rig.Port(t, "127.0.0.51", "::1")
	sink := rig.StartSink(t, port, []string{"127.0.0.51", "::1"}, "--think", "5ms", "--max-connections", "4")
	zone := rig.Zone{MX: map[string]string{"one.test": "mx.one.test"}, Hosts: map[string][]string{"mx.one.test": {"127.0.0.51", "::1"}}}
	server := rig.NewServer(t, zone, port, `
		Binding "both" { bind_address = 127.0.0.52  bind_address_secondary = "::1"  max_outbound_connections = 4 }
		Binding "four" { bind_address = 127.0.0.53  max_outbound_connections = 4 }
	`).Start(t)
	rig.Load(t, server.SMTP, 300, "u@one.test", "both")
	r := sink.Distinct(t, 300, 90*time.Second)
	by := r.Connections.PeakBySource
	if r.Connections.Peak > 4 || r.Violations != 0 || by["127.0.0.52"] == 0 || by["::1"] == 0 || len(by) != 2 {
		t.Errorf("peak %d, %d violations, by source %v", r.Connections.Peak, r.Violations, by)
	}
	idle(t, server)
	rig.Load(t, server.SMTP, 50, "u@one.test", "four")
	if by := sink.Distinct(t, 350, 90*time.Second).Connections.PeakBySource; by["127.0.0.53"] == 0 || len(by) != 3 {
		t.Errorf("a binding with an IPv4 address alone, by source: %v", by)
	}
}
