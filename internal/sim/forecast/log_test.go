package forecast

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// records is an hour of mail: a message a second with two recipients at one domain, each
// delivered in 300 ms to a host of it.
func records() []account.Record {
	var out []account.Record
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).UnixNano()
	for i := range 600 {
		at := start + int64(i)*int64(time.Second)
		r := account.Record{
			Kind: sched.RecordReceived, Logged: at, Queued: at, Message: mail.NewID(at/1e6, [10]byte{byte(i), byte(i >> 8)}),
			Sender: "a@shop.test", Recipient: "b@two.test", Binding: "old-1", Group: "pool", Domain: "two.test", Tenant: "shop", Job: "spring", Size: 3000,
		}
		out = append(out, r, r)
		r.Kind, r.Host, r.Remote = sched.RecordDelivered, "MX1.two.test", netip.MustParseAddr("198.51.100.7")
		r.Started, r.Ended = at, at+int64(300*time.Millisecond)
		out = append(out, r, r)
	}
	return out
}

func write(t *testing.T, name string, line func([]byte, *account.Record) []byte, head string) string {
	t.Helper()
	b := []byte(head)
	all := records()
	for i := range all {
		b = line(b, &all[i])
	}
	b = append(b, "this is no record\n"...)
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFromLog(t *testing.T) {
	path := write(t, "log.jsonl", account.AppendJSON, "")
	l, err := FromLog(path)
	if err != nil {
		t.Fatal(err)
	}
	if l.Count() != 600 || l.Messages[0].Recipients != 2 || l.Passed != 1 || l.Tenants[l.Messages[5].Tenant] != "shop" || l.Jobs[l.Messages[5].Job] != "spring" {
		t.Errorf("%d messages, the first %+v; %d lines passed over", l.Count(), l.Messages[0], l.Passed)
	}
	d := l.Domains[0]
	if d.Name != "two.test" || d.Service != 300*time.Millisecond || len(d.Hosts) != 1 || d.Hosts[0].Name != "mx1.two.test" {
		t.Errorf("the domain is %+v", d)
	}
	if at := l.Messages[599].At; at != 599*time.Second {
		t.Errorf("the last message came after %v", at)
	}
	o := Options{Snapshot: parse(t, "binding_group pool { binding new-1 { } binding new-2 { } }\n"), Load: l, Receivers: model, Seed: 1}
	o.Measured = true
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Delivered != 1200 || r.Transactions != 600 || r.Moved != 600 || r.Finished < 599 || r.Finished > 602 {
		t.Errorf("%+v", r)
	}
	found := false
	for _, x := range r.Limits {
		found = found || strings.Contains(x.PeakKey, "new-")
	}
	if !found {
		t.Errorf("the group's bindings did not stand in: %+v", r.Limits)
	}
}

// TestCSV: CSV does not say which message a recipient belongs to: each is one of its own.
func TestCSV(t *testing.T) {
	head := "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat," +
		"srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,envId,queue,vmtaPool\n"
	l, err := FromLog(write(t, "log.csv", account.AppendCSV, head))
	if err != nil {
		t.Fatal(err)
	}
	if l.Count() != 1200 || l.Bindings[l.Messages[0].Binding].Name != "old-1" || l.Passed != 1 {
		t.Errorf("%d messages, %d lines passed over", l.Count(), l.Passed)
	}
}

func TestNoLog(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Dir(empty), filepath.Join(t.TempDir(), "none")} {
		if l, err := FromLog(path); err == nil {
			t.Errorf("%s holds %+v", path, l)
		}
	}
}
