package tests

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestRates: the receiver counts connections and messages in every window; none is one too
// many, and the mail takes no longer than the rate asks for.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		name, conf string
		sink       []string
		messages   int
		least      time.Duration // that the rate asks for
	}{
		{
			name: "messages", messages: 220, least: 10 * time.Second,
			conf: "max-msg-rate = \"20/s,burst=20\"\nmax_outbound_connections = 10\n",
			sink: []string{"--msg-rate", "20/s,burst=20", "--max-connections", "10"},
		},
		{
			name: "messages without a burst, over connections of one message", messages: 150, least: 10 * time.Second,
			conf: "max-msg-rate = \"15/s,burst=1\"\nmax_deliveries_per_connection = 1\n",
			sink: []string{"--msg-rate", "15/s,burst=1"},
		},
		{
			name: "connections", messages: 100, least: 9900 * time.Millisecond,
			conf: "max-conn-rate = 10/s\nmax_deliveries_per_connection = 1\n",
			sink: []string{"--conn-rate", "10/s"},
		},
		{
			name: "a shared throttle, and a host's own", messages: 240, least: 10 * time.Second,
			conf: "outbound_throttle_messages = 30/s\nHost \"mx.one.test\" { outbound_throttle_messages = \"20/s,burst=40\" }\n",
			sink: []string{"--msg-rate", "20/s,burst=40"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := rig.Port(t, "127.0.0.24")
			sink := rig.StartSink(t, port, []string{"127.0.0.24"}, append(c.sink, "--latency", "5ms")...)
			server := rig.NewServer(t, oneHost("one.test", "127.0.0.24"), port, c.conf).Start(t)
			begin := time.Now()
			rig.Load(t, server.SMTP, c.messages, "u@one.test", "")
			sink.Distinct(t, c.messages, time.Minute)
			took := time.Since(begin)
			server.Stop(t, 30*time.Second)
			r := sink.Stop(t)
			t.Logf("%d messages over %d connections in %v; the rate asks for %v; violations %d", r.Messages.Accepted, r.Connections.Accepted, took, c.least, r.Violations)
			exactlyOnce(t, r, c.messages)
			if r.Violations != 0 || r.Connections.Refused+r.Messages.Refused != 0 {
				t.Errorf("violations %d, refused %d connections and %d messages (want 0)", r.Violations, r.Connections.Refused, r.Messages.Refused)
			}
			// The start of the server's load, and polling, take their part of a second.
			if most := c.least + c.least/20 + time.Second; took > most {
				t.Errorf("it took %v: less than 95%% of the rate was used", took)
			}
		})
	}
}
