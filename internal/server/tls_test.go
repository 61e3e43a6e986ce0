package server

import (
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sink"
)

// TestReportLeaves: a TLS report goes out through the binding of its own, to a receiver whose
// TLS does not satisfy what it demands.
func TestReportLeaves(t *testing.T) {
	w := newWorld(t)
	w.file("zone", "*.test. 60 MX 10 mx.test.\none.test. 60 MX 10 mx.test.\nmx.test. 60 A 127.0.0.1\n_smtp._tls.one.test. TXT \"v=TLSRPTv1; rua=mailto:tls@reports.test\"\n")
	dir := t.TempDir()
	receiver := w.sink(sink.Options{Dump: dir})
	s := w.start("tls = required\ntls_verify = host\ntls_reports = on\n")
	defer stop(t, s)
	content := "From: <postmaster@mta.test>\r\nSubject: Report Domain: one.test\r\n\r\nhello\r\n"
	if err := s.mailReport("postmaster@mta.test", mail.Address{Local: "tls", Domain: "reports.test"}, []byte(content)); err != nil {
		t.Fatal(err)
	}
	until(t, "the report to arrive", func() bool { return receiver.Report().Messages.Accepted == 1 })
	until(t, "its record", func() bool { return len(w.records("d")) == 1 })
	if line := w.records("d")[0]; !strings.Contains(line, ","+policy.TLSReportBinding+",") || !strings.Contains(line, "tls@reports.test") {
		t.Errorf("accounted as %s", line)
	}
}

// TestFailuresAreCounted: what deliver says of a handshake becomes a count of the domain
// that asked for reports.
func TestFailuresAreCounted(t *testing.T) {
	w := newWorld(t)
	w.file("zone", "*.test. 60 MX 10 mx.test.\none.test. 60 MX 10 mx.test.\nmx.test. 60 A 127.0.0.1\n_smtp._tls.one.test. TXT \"v=TLSRPTv1; rua=mailto:tls@reports.test\"\n")
	w.sink(sink.Options{})
	s := w.start("tls = required\ntls_reports = on\nretry_interval = ( 1 )\n")
	send(t, s, "one", "a@one.test")
	until(t, "an attempt", func() bool { return len(w.records("t")) > 0 })
	stop(t, s)
	s = w.start("tls_reports = on\n")
	defer stop(t, s)
	keys := s.tls.store.Keys("tls-rpt\x00")
	if len(keys) != 1 || !strings.HasSuffix(keys[0], "\x00one.test") {
		t.Fatalf("kept %q", keys)
	}
	if b, _ := s.tls.store.Get(keys[0]); !strings.Contains(string(b), `"result":"starttls-not-supported","local":"127.0.0.1","host":"mx.test","remote":"127.0.0.1"`) {
		t.Errorf("kept %s", b)
	}
}
