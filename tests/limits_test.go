package tests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// eight is the configuration of most tests here: one domain, eight connections.
const eight = `max_outbound_connections = 8
retry_interval = 1
`

// TestEightConnections: a receiver far enough away that the limit is wanted sees exactly
// eight connections at once, and every message exactly once.
func TestEightConnections(t *testing.T) {
	for round := range rig.Sample(10, 1) {
		for _, perConnection := range []int{0, 20} {
			t.Run(fmt.Sprintf("round%d/per-connection%d", round, perConnection), func(t *testing.T) {
				messages := rig.Sample(20000, 4000)
				port := rig.Port(t, "127.0.0.21")
				sink := rig.StartSink(t, port, []string{"127.0.0.21"}, "--latency", "5ms", "--max-connections", "8")
				server := rig.NewServer(t, oneHost("one.test", "127.0.0.21"), port,
					eight+fmt.Sprintf("max_deliveries_per_connection = %d\n", perConnection)).Start(t)
				rig.Source(t, server.SMTP, 50, 4096, messages, "u@one.test")
				sink.Distinct(t, messages, 3*time.Minute)
				server.Stop(t, 30*time.Second)
				r := sink.Stop(t)
				t.Logf("%d messages, %d connections, peak %d, violations %d", r.Messages.Accepted, r.Connections.Accepted, r.Connections.Peak, r.Violations)
				exactlyOnce(t, r, messages)
				if r.Connections.Peak != 8 || r.Violations != 0 || r.Connections.Refused != 0 {
					t.Errorf("peak %d (want exactly 8), violations %d, refused %d (want 0)", r.Connections.Peak, r.Violations, r.Connections.Refused)
				}
				if perConnection > 0 && r.Connections.Accepted < messages/perConnection {
					t.Errorf("%d connections carried %d messages: more than %d on one", r.Connections.Accepted, messages, perConnection)
				}
			})
		}
	}
}

// TestEveryMessageOnceAtSmtpSink sends the same to Postfix's receiver, which keeps every
// message.
func TestEveryMessageOnceAtSmtpSink(t *testing.T) {
	messages := rig.Sample(20000, 4000)
	port := rig.Port(t, "127.0.0.21")
	sink := rig.StartPostfixSink(t, "127.0.0.21", port)
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.21"), port, eight).Start(t)
	rig.Source(t, server.SMTP, 50, 4096, messages, "u@one.test")
	idle(t, server)
	server.Stop(t, 30*time.Second)
	got := sink.Received(t)
	for id, n := range got {
		if n != 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
	if len(got) != messages {
		t.Errorf("%d different messages arrived, %d were sent", len(got), messages)
	}
}

// TestHostScope: a limit of a host holds for all domains whose mail goes there.
func TestHostScope(t *testing.T) {
	for _, perConnection := range []int{0, 20} {
		t.Run(fmt.Sprintf("per-connection%d", perConnection), func(t *testing.T) {
			messages := rig.Sample(5000, 500)
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

// TestCases holds the mail of each NAME.limits in testdata against what the receiver
// counts, with connections kept and with connections that close all the time.
func TestCases(t *testing.T) {
	for _, name := range []string{"seed000-yahoo", "seed001-each"} {
		expected := readLimits(t, filepath.Join("testdata", name+".limits"))
		for _, perConnection := range []int{0, 20} {
			t.Run(fmt.Sprintf("%s/per-connection%d", name, perConnection), func(t *testing.T) {
				runCase(t, name, expected, perConnection)
			})
		}
	}
}

// expectation is one line of a .limits file: so many connections at most, and no fewer
// when there is mail enough, from one binding (or "": any) to some domains together.
type expectation struct {
	binding string
	domains string // joined by " + "
	limit   int
}

func readLimits(t *testing.T, path string) []expectation {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []expectation
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var e expectation
		if rest, ok := strings.CutPrefix(line, "from "); ok {
			e.binding, line, _ = strings.Cut(rest, " ")
		}
		what, limit, _ := strings.Cut(strings.TrimPrefix(line, "to "), ": ")
		e.domains = what
		if e.limit, err = strconv.Atoi(limit); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		out = append(out, e)
	}
	return out
}

// runCase gives every group of domains a receiver of its own and every named binding a
// source address of its own, so that the receiver can tell them apart.
func runCase(t *testing.T, name string, expected []expectation, perConnection int) {
	conf, err := os.ReadFile(filepath.Join("testdata", name+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	source := map[string]string{"": "127.0.0.1"}
	receiver := map[string]string{} // domains -> address
	zone := rig.Zone{MX: map[string]string{}, Hosts: map[string][]string{}}
	text := string(conf) + fmt.Sprintf("\nretry_interval = 1\nmax_deliveries_per_connection = %d\n", perConnection)
	for _, e := range expected {
		if _, ok := source[e.binding]; !ok {
			source[e.binding] = fmt.Sprintf("127.0.0.%d", 10+len(source))
			text += fmt.Sprintf("Binding %q { bind_address = %q }\n", e.binding, source[e.binding])
		}
		if _, ok := receiver[e.domains]; !ok {
			receiver[e.domains] = fmt.Sprintf("127.0.0.%d", 30+len(receiver))
			for d := range strings.SplitSeq(e.domains, " + ") {
				zone.MX[d] = "mx." + d
				zone.Hosts["mx."+d] = []string{receiver[e.domains]}
			}
		}
	}
	port := rig.Port(t, slices.Collect(maps.Values(receiver))...)
	sinks := map[string]*rig.Sink{}
	for domains, addr := range receiver {
		sinks[domains] = rig.StartSink(t, port, []string{addr}, "--latency", "5ms", "--think", "20ms")
	}
	server := rig.NewServer(t, zone, port, text).Start(t)
	sent := map[string]int{}
	for _, e := range expected {
		for d := range strings.SplitSeq(e.domains, " + ") {
			n := 60 * e.limit
			rig.Load(t, server.SMTP, n, "u@"+d, e.binding)
			sent[e.domains] += n
		}
	}
	reports := map[string]rig.Report{}
	for domains, n := range sent {
		sinks[domains].Distinct(t, n, 3*time.Minute)
	}
	server.Stop(t, 30*time.Second)
	for domains, n := range sent {
		reports[domains] = sinks[domains].Stop(t)
		exactlyOnce(t, reports[domains], n)
	}
	for _, e := range expected {
		got := reports[e.domains].Connections.PeakBySource[source[e.binding]]
		if got != e.limit {
			t.Errorf("from %q to %s: peak %d, want exactly %d", e.binding, e.domains, got, e.limit)
		}
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
