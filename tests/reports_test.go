package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestRefusedMailIsReported: a receiver's 5xx becomes a report to the sender, which is
// delivered as any mail; a null sender gets none; each recipient and event has its record.
func TestRefusedMailIsReported(t *testing.T) {
	port := rig.Port(t, "127.0.0.33", "127.0.0.34")
	refuses := rig.StartSink(t, port, []string{"127.0.0.33"}, "--fault", "rcpt-5xx=1")
	takes := rig.StartSink(t, port, []string{"127.0.0.34"})
	zone := rig.Zone{
		MX:    map[string]string{"refuses.test": "mx.refuses.test", "source.test": "mx.source.test"},
		Hosts: map[string][]string{"mx.refuses.test": {"127.0.0.33"}, "mx.source.test": {"127.0.0.34"}},
	}
	server := rig.NewServer(t, zone, port, "").Start(t)
	c := dial(t, server.SMTP)
	for _, from := range []string{"a@source.test", ""} {
		if r := c.Send(from, "u@refuses.test", "Message-ID: <refused@source.test>\r\nSubject: x\r\n\r\nx"); !strings.HasPrefix(r, "250") {
			t.Fatal(r)
		}
	}
	takes.Distinct(t, 1, 20*time.Second)
	idle(t, server)
	server.Stop(t, 20*time.Second)
	if r := takes.Stop(t); r.Messages.Accepted != 1 || r.Recipients.ByDomain["source.test"] != 1 {
		t.Errorf("the sender's host got %d messages, want one report", r.Messages.Accepted)
	}
	if r := refuses.Stop(t); r.Messages.Accepted != 0 {
		t.Errorf("the receiver that refuses accepted %d messages", r.Messages.Accepted)
	}
	records := accounting(t, server)
	for what, want := range map[string]int{"r": 3, "b": 2, "d": 1} {
		if records[what] != want {
			t.Errorf("%d accounting records %q, want %d; all: %v", records[what], what, want, records)
		}
	}
}

// accounting counts the server's CSV records by their first column: d delivered, b bounced,
// t deferred, r received.
func accounting(t *testing.T, server *rig.Server) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.Dir, "accounting", "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no accounting files (%v)", err)
	}
	counts := map[string]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			kind, _, _ := strings.Cut(line, ",")
			counts[kind]++
		}
	}
	return counts
}
