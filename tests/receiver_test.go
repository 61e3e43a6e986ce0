package tests

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestFaultyReceivers: whatever a receiver does to some of its sessions and messages, every
// message arrives in the end, and once, as none of these faults hides an acceptance.
func TestFaultyReceivers(t *testing.T) {
	const messages = 100
	for _, fault := range []string{
		"greeting-4xx=0.3", "close-at-greeting=0.3", "mail-4xx=0.3", "rcpt-4xx=0.3", "data-4xx=0.3", "dot-4xx=0.3",
		"close-in-data=0.2", "close-after-dot=0.2", "endless-reply=0.3", "bare-lf-reply=0.3",
		"stall-at-greeting=0.1", "stall-at-ehlo=0.1", "stall-at-mail=0.05", "stall-at-rcpt=0.05", "stall-at-data=0.05", "stall-at-dot=0.05",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			port := rig.Port(t, "127.0.0.27")
			sink := rig.StartSink(t, port, []string{"127.0.0.27"}, "--fault", fault)
			server := rig.NewServer(t, oneHost("one.test", "127.0.0.27"), port, `max_outbound_connections = 4
max_deliveries_per_connection = 5
retry_interval = ( 1 )
host_failure_retry = 1
greeting_timeout = 1
ehlo_timeout = 1
mailfrom_timeout = 1
rcptto_timeout = 1
data_timeout = 1
body_timeout = 1
`).Start(t)
			accepted := rig.StartSender(t, server.SMTP, "u@one.test", 2, 1000, messages).Wait()
			if len(accepted) != messages {
				t.Fatalf("%d of %d messages were accepted", len(accepted), messages)
			}
			sink.Distinct(t, messages, 2*time.Minute)
			idle(t, server)
			server.Stop(t, 30*time.Second)
			r := sink.Stop(t)
			exactlyOnce(t, r, messages)
			if r.Connections.Peak > 4 {
				t.Errorf("the receiver saw %d connections at once, 4 are allowed", r.Connections.Peak)
			}
			t.Logf("%d connections, %d refused, %d messages refused", r.Connections.Accepted, r.Connections.Refused, r.Messages.Refused)
		})
	}
}
