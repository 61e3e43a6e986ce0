package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// eight is the configuration of most tests here: one domain, eight connections.
const eight = `max_outbound_connections = 8
retry_interval = 1
`

// receiver is where the mail of a test goes, and who counts there.
type receiver interface {
	// has waits until so many different messages are there.
	has(t *testing.T, server *rig.Server, messages int)
	// ends stops it and returns its own count.
	ends(t *testing.T) counted
}

// counted is what was seen from the receiver's end.
type counted struct{ messages, distinct, connections, peak, violations int }

func (c counted) String() string {
	return fmt.Sprintf("%d messages, %d connections, peak %d, violations %d", c.messages, c.connections, c.peak, c.violations)
}

// ourSink is `sluice sink`, which counts everything for itself.
type ourSink struct{ *rig.Sink }

func (s ourSink) has(t *testing.T, _ *rig.Server, messages int) {
	s.Distinct(t, messages, 5*time.Minute)
}

func (s ourSink) ends(t *testing.T) counted {
	r := s.Stop(t)
	return counted{r.Messages.Accepted, r.Messages.Distinct, r.Connections.Accepted, r.Connections.Peak, r.Violations + r.Connections.Refused}
}

// postfixSink is smtp-sink, which keeps every message and counts no connections: the line
// to it does.
type postfixSink struct {
	*rig.PostfixSink
	*rig.Line
	limit int
}

func (s postfixSink) has(t *testing.T, server *rig.Server, _ int) { idle(t, server) }

func (s postfixSink) ends(t *testing.T) counted {
	var c counted
	for _, n := range s.Received(t) {
		c.messages += n
		c.distinct++
	}
	_, c.peak, c.connections = s.Counts()
	c.violations = max(0, c.peak-s.limit)
	return c
}

// receivers are those that a limit is shown at, both 5 ms away.
var receivers = map[string]func(t *testing.T, addr string, port, limit int) receiver{
	"sluice-sink": func(t *testing.T, addr string, port, limit int) receiver {
		return ourSink{rig.StartSink(t, port, []string{addr}, "--latency", "5ms", "--max-connections", fmt.Sprint(limit))}
	},
	"smtp-sink": func(t *testing.T, addr string, port, limit int) receiver {
		behind := rig.Port(t, addr)
		sink := rig.StartPostfixSink(t, addr, behind)
		line := rig.StartLine(t, fmt.Sprintf("%s:%d", addr, port), fmt.Sprintf("%s:%d", addr, behind), 5*time.Millisecond)
		return postfixSink{sink, line, limit}
	},
}

// TestEightConnections: a receiver far enough away that the limit is wanted sees exactly
// eight connections at once, and every message exactly once, with connections that are kept
// and with connections that close and open all the time.
func TestEightConnections(t *testing.T) {
	for round := range rig.Sample(10, 1) {
		for _, at := range []string{"sluice-sink", "smtp-sink"} {
			for _, perConnection := range []int{0, 20} {
				t.Run(fmt.Sprintf("round%d/%s/per-connection%d", round, at, perConnection), func(t *testing.T) {
					messages := rig.Sample(20000, 4000)
					port := rig.Port(t, "127.0.0.21")
					there := receivers[at](t, "127.0.0.21", port, 8)
					server := rig.NewServer(t, oneHost("one.test", "127.0.0.21"), port,
						eight+fmt.Sprintf("max_deliveries_per_connection = %d\n", perConnection)).Start(t)
					rig.Source(t, server.SMTP, 50, 4096, messages, "u@one.test")
					there.has(t, server, messages)
					server.Stop(t, 30*time.Second)
					c := there.ends(t)
					t.Log(c)
					if c.distinct != messages || c.messages != messages {
						t.Errorf("%d messages were sent; %d arrived, %d of them different", messages, c.messages, c.distinct)
					}
					if c.peak != 8 || c.violations != 0 {
						t.Errorf("peak %d (want exactly 8), violations %d", c.peak, c.violations)
					}
					if perConnection > 0 && c.connections < messages/perConnection {
						t.Errorf("%d connections carried %d messages: more than %d on one", c.connections, messages, perConnection)
					}
				})
			}
		}
	}
}

// TestHostScope: a limit of a host holds for all domains whose mail goes there.
func TestHostScope(t *testing.T) {
	for _, perConnection := range []int{0, 20} {
		t.Run(fmt.Sprintf("per-connection%d", perConnection), func(t *testing.T) {
			messages := rig.Sample(10000, 500)
			port := rig.Port(t, "127.0.0.22")
			sink := rig.StartSink(t, port, []string{"127.0.0.22"}, "--latency", "5ms", "--max-connections", "3")
			zone := rig.Zone{
				MX:    map[string]string{"one.test": "mx.shared.test", "two.test": "mx.shared.test"},
				Hosts: map[string][]string{"mx.shared.test": {"127.0.0.22"}},
			}
			server := rig.NewServer(t, zone, port, fmt.Sprintf(`retry_interval = 1
max_deliveries_per_connection = %d
Host "mx.shared.test" { max_outbound_connections = 3 }
`, perConnection)).Start(t)
			rig.Source(t, server.SMTP, 20, 2048, messages, "u@one.test")
			rig.Source(t, server.SMTP, 20, 2048, messages, "u@two.test")
			sink.Distinct(t, 2*messages, 3*time.Minute)
			server.Stop(t, 30*time.Second)
			r := sink.Stop(t)
			exactlyOnce(t, r, 2*messages)
			t.Logf("%d messages to two domains, %d connections, peak %d, violations %d", r.Messages.Accepted, r.Connections.Accepted, r.Connections.Peak, r.Violations)
			if r.Connections.Peak != 3 || r.Violations != 0 {
				t.Errorf("peak %d (want exactly 3), violations %d", r.Connections.Peak, r.Violations)
			}
			for _, d := range []string{"one.test", "two.test"} {
				if r.Recipients.ByDomain[d] != messages {
					t.Errorf("%s has %d recipients, want %d", d, r.Recipients.ByDomain[d], messages)
				}
			}
		})
	}
}

// oneHost is a zone with one domain at one address.
func oneHost(domain, addr string) rig.Zone {
	return rig.Zone{MX: map[string]string{domain: "mx." + domain}, Hosts: map[string][]string{"mx." + domain: {addr}}}
}

func exactlyOnce(t *testing.T, r rig.Report, messages int) {
	t.Helper()
	if r.Messages.Distinct != messages || r.Messages.Accepted != messages {
		t.Errorf("%d messages were sent; %d arrived, %d of them different", messages, r.Messages.Accepted, r.Messages.Distinct)
	}
}
