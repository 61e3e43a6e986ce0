package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/load"
	"github.com/sluice-mta/sluice/internal/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func receiver(t *testing.T, o sink.Options) *sink.Sink {
	t.Helper()
	s, err := sink.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func run(t *testing.T, o load.Options) load.Result {
	t.Helper()
	r, err := load.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryMessageOnce(t *testing.T) {
	for _, newConnections := range []bool{false, true} {
		s := receiver(t, sink.Options{})
		r := run(t, load.Options{To: s.Addr(), Sessions: 8, Messages: 500, Size: 2048, From: "a@b.test", NewConnections: newConnections})
		got := s.Report()
		if !r.Clean() || r.Accepted != 500 || r.Bytes != 500*2048 || got.Messages.Accepted != 500 || got.Messages.Distinct != 500 ||
			got.Recipients.ByDomain["one.test"] != 500 || got.Connections.Peak > 8 {
			t.Errorf("new connections %t: result %+v, report %+v", newConnections, r, got)
		}
		if newConnections != (got.Connections.Accepted == 500) || got.Connections.Accepted != r.Connections {
			t.Errorf("new connections %t: %d connections, result says %d", newConnections, got.Connections.Accepted, r.Connections)
		}
	}
}

func TestDomainsAreEvenAndInSeededOrder(t *testing.T) {
	order := func(seed uint64) string {
		s := receiver(t, sink.Options{Dump: t.TempDir(), DumpMax: 40})
		run(t, load.Options{To: s.Addr(), Messages: 40, Domains: 10, DomainSuffix: "many.test", Seed: seed, Rcpt: "u@x.test"})
		got := s.Report().Recipients.ByDomain
		for i := range 10 {
			if d := fmt.Sprintf("d%d.many.test", i+1); got[d] != 4 || len(got) != 10 {
				t.Errorf("%s has %d of 40 messages, %d domains", d, got[d], len(got))
			}
		}
		return fmt.Sprint(recipients(t, s))
	}
	a := order(1)
	if a != order(1) || a == order(2) {
		t.Error("the same seed must give the same order, another another")
	}
}

// recipients returns who received the dumped messages, in order.
func recipients(t *testing.T, s *sink.Sink) (out []string) {
	t.Helper()
	for n := 1; ; n++ {
		b, err := os.ReadFile(filepath.Join(s.DumpDir(), fmt.Sprint(n)+".json"))
		if err != nil {
			return out
		}
		var e struct{ Recipients []string }
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Recipients...)
	}
}

func TestContent(t *testing.T) {
	for size := range 400 {
		size += 100
		dir := t.TempDir()
		if size > 103 && size < 260 { // the header alone takes that much
			continue
		}
		s := receiver(t, sink.Options{Dump: dir})
		r := run(t, load.Options{To: s.Addr(), Size: size, Headers: []string{"X-Binding: example", "Subject: mine"}})
		b, err := os.ReadFile(filepath.Join(dir, "1.eml"))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(b)) != r.Bytes || size >= 260 && len(b) != size {
			t.Fatalf("size %d: %d octets came, result says %d", size, len(b), r.Bytes)
		}
		text := string(b)
		if strings.Count(text, "\r\n") != strings.Count(text, "\n") || strings.Count(text, "\r") != strings.Count(text, "\n") {
			t.Fatalf("size %d: a bare line end in %q", size, text)
		}
		want := "Message-ID: <1." + r.Run + "@load.test>\r\nX-Binding: example\r\nSubject: mine\r\nDate: "
		if !strings.HasPrefix(text, want) || strings.Count(text, "Subject") != 1 || !strings.HasSuffix(text, "\r\n") {
			t.Fatalf("size %d: content %q", size, text)
		}
		_ = s.Close()
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		fault      sink.FaultKind
		reason     string
		unanswered bool
	}{
		{sink.Mail4xx, "451 4.7.1 sender deferred", false},
		{sink.Rcpt5xx, "550 5.1.1 no such mailbox", false},
		{sink.Data4xx, "451 4.3.0 not now", false},
		{sink.Dot4xx, "451 4.7.1 message deferred", false},
		{sink.Dot5xx, "554 5.7.1 message refused", false},
		{sink.CloseAfterDot, "no answer to the content", true},
	} {
		s := receiver(t, sink.Options{Faults: []sink.Fault{{Kind: tt.fault, Share: 1}}})
		r := run(t, load.Options{To: s.Addr(), Sessions: 2, Messages: 20})
		if r.Clean() || r.Accepted != 0 || r.Refused+r.Unanswered != 20 || (r.Unanswered == 20) != tt.unanswered {
			t.Errorf("%s: result %+v", tt.fault, r)
		}
		found := false
		for reason := range r.Reasons {
			found = found || strings.HasPrefix(reason, tt.reason)
		}
		if !found {
			t.Errorf("%s: reasons %v, want %q", tt.fault, r.Reasons, tt.reason)
		}
	}
}

func TestRetryAndLedger(t *testing.T) {
	dir := t.TempDir()
	mine, theirs := filepath.Join(dir, "load"), filepath.Join(dir, "sink")
	s := receiver(t, sink.Options{Ledger: theirs, Seed: 3, Faults: []sink.Fault{
		{Kind: sink.Greeting4xx, Share: 0.2}, {Kind: sink.Rcpt4xx, Share: 0.2}, {Kind: sink.Dot4xx, Share: 0.2}, {Kind: sink.CloseAfterDot, Share: 0.1},
	}})
	r := run(t, load.Options{To: s.Addr(), Sessions: 4, Messages: 100, Retry: true, Ledger: mine})
	got := s.Report()
	if r.Retries == 0 || r.Unanswered == 0 || r.Accepted+r.Unanswered != 100 || got.Messages.Accepted != r.Accepted || got.Messages.Distinct != r.Accepted {
		t.Errorf("result %+v, report %+v", r, got)
	}
	a, b := lines(t, mine), lines(t, theirs)
	if len(a) != r.Accepted || len(b) != r.Accepted {
		t.Errorf("ledgers of %d and %d lines, want %d", len(a), len(b), r.Accepted)
	}
	for id := range a {
		if !b[id] {
			t.Errorf("%s was acknowledged and is not in the sink's ledger", id)
		}
	}
}

func lines(t *testing.T, name string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for l := range strings.FieldsSeq(string(b)) {
		out[l] = true
	}
	return out
}

// Sessions beyond a server's limit are turned away; the messages go through the others.
func TestSessionsTurnedAway(t *testing.T) {
	s := receiver(t, sink.Options{MaxConnections: 2})
	r := run(t, load.Options{To: s.Addr(), Sessions: 6, Messages: 50, Rate: 500})
	if r.Accepted != 50 || r.NotGreeted == 0 || r.Clean() {
		t.Errorf("result %+v", r)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	r := run(t, load.Options{To: l.Addr().String(), Sessions: 3, Messages: 10})
	if r.NotSent != 10 || r.NotGreeted != 3 || r.Clean() || r.Reasons["dial: connect: connection refused"] != 3 {
		t.Errorf("result %+v", r)
	}
}

func TestRateAndCancel(t *testing.T) {
	s := receiver(t, sink.Options{})
	r := run(t, load.Options{To: s.Addr(), Messages: 11, Rate: 100})
	if r.Seconds < 0.1 {
		t.Errorf("11 messages at 100 a second took %g s", r.Seconds)
	}
	ctx, cancel := context.WithCancel(t.Context())
	progress := make(chan struct{})
	go func() { <-progress; cancel() }()
	told := false
	r, err := load.Run(ctx, load.Options{To: s.Addr(), Messages: 1000, Rate: 10, Progress: func(load.Result) {
		if !told {
			told = true
			close(progress)
		}
	}})
	if err != nil || r.NotSent == 0 || r.Clean() {
		t.Errorf("cancelled: %+v, %v", r, err)
	}
}

// What is no SMTP, without pipelining, and without EHLO.
func TestOddServers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		says   []string // the greeting, then one answer for each line of the client
		accept int
		reason string
	}{
		{"HELO only", []string{"220 hi", "502 what", "250 hi", "250 ok", "250 ok", "354 go", "", "", "", "", "", "", "", "250 ok", "221 bye"}, 1, ""},
		{"no SMTP", []string{"HTTP/1.1 400 Bad Request"}, 0, "the server's reply is not SMTP"},
		{"endless line", []string{"220 " + strings.Repeat("x", 10000)}, 0, "the server's reply is not SMTP"},
		{"endless reply", []string{"220-" + strings.Repeat("x\r\n220-", 1000)}, 0, "the server's reply is not SMTP"},
		{"text for a terminal", []string{"554 \x1b[2Jgone"}, 0, "554 ?[2Jgone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			done := make(chan struct{})
			go func() { defer close(done); script(l, tt.says) }()
			r := run(t, load.Options{To: l.Addr().String(), Timeout: 10 * time.Second})
			if r.Accepted != tt.accept || tt.reason != "" && r.Reasons[tt.reason] != 1 {
				t.Errorf("result %+v", r)
			}
			<-done
		})
	}
}

// script answers each line with the next entry; an empty one is no answer.
func script(l net.Listener, says []string) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, 1)
	for i, s := range says {
		if i > 0 {
			for buf[0] = 0; buf[0] != '\n'; {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		}
		if s != "" {
			_, _ = c.Write([]byte(s + "\r\n"))
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []load.Options{
		{},
		{To: "x", Sessions: -1},
		{To: "x", Messages: -1},
		{To: "x", Size: -1},
		{To: "x", Rate: -1},
		{To: "x", From: "a>b"},
		{To: "x", Headers: []string{"no colon"}},
		{To: "x", Headers: []string{"A: b\r\nC: d"}},
		{To: "x", Headers: []string{"message-id: <1>"}},
		{To: "x", Ledger: "/nowhere/at/all"},
	} {
		if r, err := load.Run(t.Context(), o); err == nil {
			t.Errorf("Run(%+v) = %+v, want an error", o, r)
		}
	}
}
