package rig

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// Sink is `sluice sink`: the referee that counts for itself.
type Sink struct {
	*Proc
	status string
	ledger string
	report string
}

// Report is what the sink has seen; the fields are the command's documented JSON.
type Report struct {
	Connections struct {
		Open           int            `json:"open"`
		Peak           int            `json:"peak"`
		PeakBySource   map[string]int `json:"peak_by_source"`
		PeakByListener map[string]int `json:"peak_by_listener"`
		Accepted       int            `json:"accepted"`
		Refused        int            `json:"refused"`
	} `json:"connections"`
	Messages struct {
		Accepted int `json:"accepted"`
		Refused  int `json:"refused"`
		Distinct int `json:"distinct"`
	} `json:"messages"`
	Recipients struct {
		Accepted int            `json:"accepted"`
		ByDomain map[string]int `json:"by_domain"`
	} `json:"recipients"`
	Violations int `json:"violations"`
}

// StartSink listens on port at every address, with further arguments.
func StartSink(t testing.TB, port int, addrs []string, args ...string) *Sink {
	t.Helper()
	dir := Dir(t)
	s := &Sink{status: fmt.Sprintf("127.0.0.1:%d", Port(t)), ledger: dir + "/ledger", report: dir + "/report.json"}
	argv := []string{Sluice(t), "sink", "--status", s.status, "--ledger", s.ledger, "--report", s.report}
	for _, a := range addrs {
		argv = append(argv, "--listen", net.JoinHostPort(a, fmt.Sprint(port)))
	}
	s.Proc = Start(t, append(argv, args...))
	Listening(t, s.Proc, s.status)
	return s
}

// Now is the report of this moment.
func (s *Sink) Now(t testing.TB) Report {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + s.status + "/")
	if err != nil {
		t.Fatalf("status of the sink: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("status of the sink: %v", err)
	}
	return parseReport(t, b)
}

// Stop ends the sink with SIGTERM and returns its last report.
func (s *Sink) Stop(t testing.TB) Report {
	t.Helper()
	s.Signal(t, syscall.SIGTERM)
	s.Wait(t, 30*time.Second)
	b, err := os.ReadFile(s.report)
	if err != nil {
		t.Fatalf("report of the sink: %v", err)
	}
	return parseReport(t, b)
}

func parseReport(t testing.TB, b []byte) Report {
	t.Helper()
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("report of the sink: %v in %q", err, Tail(string(b), 500))
	}
	return r
}

// Distinct waits until the sink has accepted n different messages.
func (s *Sink) Distinct(t testing.TB, n int, limit time.Duration) Report {
	t.Helper()
	var r Report
	Until(t, limit, fmt.Sprintf("the sink to hold %d messages", n), func() bool {
		r = s.Now(t)
		return r.Messages.Distinct >= n
	})
	return r
}
