package report

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"hold 17 lines", "hold # lines"},
		{"<a@b.test>: hm\nx81", "<address> hm #"},
		{"ééééé ééééé ééééé ééééé ééééé ééééé ééééé ééééé ééééé é", "ééééé ééééé ééééé ééééé ééééé ééééé ééééé ééééé ééééé "},
	} {
		got := Pattern(c.in)
		if got != c.want {
			t.Errorf("%q: %q", c.in, got)
		}
	}
}

func TestRules(t *testing.T) {
	rules := config.BuiltinRules()
	n := NewRules()
	for _, r := range []account.Record{
		{Kind: sched.RecordDelivered, Diag: "smtp;250 ok"},
		{Kind: sched.RecordReceived},
		{Kind: sched.RecordDeferred, Diag: "x-sluice;connection refused", Status: "4.4.1"},
		{Kind: sched.RecordDeferred, Diag: "smtp;421 xq1 wait", Status: "4.0.0", Host: "MX.test"},
		{Kind: sched.RecordDeferred, Diag: "smtp;421 xq2 wait", Status: "4.0.0", Host: "mx.test"},
		{Kind: sched.RecordBounced, Diag: "smtp;452 mailbox is full", Status: classify.Expired},
		{Kind: sched.RecordBounced, Diag: "smtp;550 hm", Status: "5.1.1", Stage: "rcpt"},
	} {
		n.Add(&r, rules)
	}
	n.Finish()
	if n.Replies != 4 || n.Unknown != 2 || len(n.Texts) != 1 || n.Texts[0].Count != 2 || n.Texts[0].Host != "mx.test" || n.Texts[0].Example != "421 4.0.0 xq1 wait" {
		t.Errorf("%+v %+v", n, n.Texts)
	}
	if len(n.Rules) != 3 || n.Rules[0].Count != 2 || n.Rules[0].Class != "unknown" || n.Rules[1].Count != 1 {
		t.Errorf("%+v", n.Rules)
	}
	s := Subject(&account.Record{Diag: "smtp;550 hm", Status: "5.1.1", Stage: "rcpt"})
	if s.Reply.Stage != mail.StageRcpt || s.Reply.Enhanced != "5.1.1" {
		t.Errorf("%+v", s)
	}
}
