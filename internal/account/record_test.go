package account

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 123e6, time.UTC)

func envelope(n byte) *mail.Envelope {
	return &mail.Envelope{
		ID:     mail.NewID(noon.UnixMilli(), [10]byte{n}),
		Sender: mail.Address{Local: "shop", Domain: "sender.test"},
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "a", Domain: "one.test"}, Domain: "one.test", Binding: "ip-1", Group: "pool", ORcpt: "rfc822;a@one.test"},
			{Address: mail.Address{Local: "b", Domain: "One.Test"}, Domain: "one.test", Binding: "ip-1"},
		},
		Received: noon.Add(-4 * time.Second).UnixNano(), Size: 5120, Tenant: "shop", Job: "job9", EnvID: "e-1",
		Source: mail.Source{Protocol: "smtp", Client: netip.MustParseAddrPort("10.0.0.5:4321"), Helo: "app1", Login: "shop", Listener: "127.0.0.1:2525"},
	}
}

func attempt(env *mail.Envelope) *mail.Attempt {
	return &mail.Attempt{
		Envelope: env, Started: noon.Add(-time.Second).UnixNano(), Ended: noon.UnixNano(), Host: "mx.one.test",
		Remote: netip.MustParseAddrPort("192.0.2.9:25"), Local: netip.MustParseAddr("198.51.100.7"),
		Ehlo: []string{"PIPELINING", "SIZE 1000", "8BITMIME"}, TLS: "TLS1.3/TLS_AES_128_GCM_SHA256",
	}
}

func record(kind sched.RecordKind, r mail.Reply, class mail.Class) *Record {
	env := envelope(1)
	a := &sched.Account{Kind: kind, Message: env.ID, Binding: "ip-1", Domain: "one.test", Attempts: 2}
	if kind != sched.RecordReceived {
		a.Attempt = attempt(env)
	}
	rec := &Record{Logged: noon.UnixNano()}
	rec.message(a, env)
	rec.recipient(a, env, 0)
	if kind != sched.RecordReceived {
		rec.outcome(&mail.Outcome{Class: class, Reply: r}, config.BuiltinRules().Judge)
	}
	return rec
}

var sampleJSON = mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections\n\"now\"\xff", Stage: mail.StageRcpt}

var samples = []struct {
	kind  sched.RecordKind
	reply mail.Reply
	class mail.Class
}{
	{sched.RecordDelivered, mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "OK queued as 4711", Stage: mail.StageDot}, mail.ClassDelivered},
	{sched.RecordDeferred, mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections, \"slow down\"\nTry later\x1b[31m", Stage: mail.StageRcpt}, mail.ClassDeferred},
	{sched.RecordBounced, mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "no such user", Stage: mail.StageRcpt}, mail.ClassRefused},
}

func TestSampleRows(t *testing.T) {
	for _, c := range []struct {
		rec  *Record
		want string
	}{
		{
			record(sched.RecordReceived, mail.Reply{}, 0),
			`r,2026-01-02 12:00:00+0000,2026-01-02 11:59:56+0000,shop@sender.test,a@one.test,rfc822;a@one.test,,,,,,smtp,app1 (10.0.0.5),,,,,5120,ip-1,job9,e-1,one.test/ip-1,pool`,
		},
		{
			record(sched.RecordDelivered, mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "OK queued as 4711", Stage: mail.StageDot}, mail.ClassDelivered),
			`d,2026-01-02 12:00:00+0000,2026-01-02 11:59:56+0000,shop@sender.test,a@one.test,rfc822;a@one.test,relayed,2.0.0 (success),smtp;250 2.0.0 OK queued as 4711,mx.one.test (192.0.2.9),,smtp,app1 (10.0.0.5),smtp,198.51.100.7,192.0.2.9,"PIPELINING,SIZE,8BITMIME",5120,ip-1,job9,e-1,one.test/ip-1,pool`,
		},
		{
			record(sched.RecordDeferred, mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections, \"slow down\"\nTry later\x1b[31m", Stage: mail.StageRcpt}, mail.ClassDeferred),
			`t,2026-01-02 12:00:00+0000,2026-01-02 11:59:56+0000,shop@sender.test,a@one.test,rfc822;a@one.test,delayed,4.7.0 (other or undefined security status),"smtp;421 4.7.0 Too many connections, ""slow down""\nTry later\x1b[31m",mx.one.test (192.0.2.9),policy-related,smtp,app1 (10.0.0.5),smtp,198.51.100.7,192.0.2.9,"PIPELINING,SIZE,8BITMIME",5120,ip-1,job9,e-1,one.test/ip-1,pool`,
		},
		{
			record(sched.RecordBounced, mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "no such user", Stage: mail.StageRcpt}, mail.ClassRefused),
			`b,2026-01-02 12:00:00+0000,2026-01-02 11:59:56+0000,shop@sender.test,a@one.test,rfc822;a@one.test,failed,5.1.1 (bad destination mailbox address),smtp;550 5.1.1 no such user,mx.one.test (192.0.2.9),bad-mailbox,smtp,app1 (10.0.0.5),smtp,198.51.100.7,192.0.2.9,"PIPELINING,SIZE,8BITMIME",5120,ip-1,job9,e-1,one.test/ip-1,pool`,
		},
	} {
		if got := string(AppendCSV(nil, c.rec)); got != c.want+"\n" {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
	got := string(AppendJSON(nil, record(sched.RecordDeferred, mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections\n\"now\"\xff", Stage: mail.StageRcpt}, mail.ClassDeferred)))
	want := `{"type":"deferred","time":"2026-01-02T12:00:00.123Z","message":"01KDZ98CKV0400000000000000","sender":"shop@sender.test","recipient":"a@one.test","orcpt":"rfc822;a@one.test","queued":"2026-01-02T11:59:56.123Z","tenant":"shop","job":"job9","envid":"e-1","binding":"ip-1","group":"pool","domain":"one.test","attempts":2,"action":"delayed","status":"4.7.0","diag":"smtp;421 4.7.0 Too many connections\n\"now\"\ufffd","category":"policy-related","bounce_class":70,"class":"connections","scope":"receiver","rule":"too-many-connections","stage":"rcpt","host":"mx.one.test","remote":"192.0.2.9","remote_port":25,"local":"198.51.100.7","tls":"TLS1.3/TLS_AES_128_GCM_SHA256","started":"2026-01-02T11:59:59.123Z","ended":"2026-01-02T12:00:00.123Z","extensions":["PIPELINING","SIZE","8BITMIME"],"protocol":"smtp","client":"10.0.0.5","helo":"app1","login":"shop","listener":"127.0.0.1:2525","size":5120}` + "\n"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestExpiredAndUnknown(t *testing.T) {
	r := record(sched.RecordBounced, mail.Reply{Code: 451, Enhanced: "4.2.1", Text: "later"}, mail.ClassDeferred)
	if r.Status != "4.4.7" || r.Diag != "smtp;451 4.2.1 later" || r.Category != "message-expired" {
		t.Errorf("%+v", r)
	}
	var bare Record
	a := &sched.Account{Kind: sched.RecordBounced, Domain: "one.test", Binding: "b"}
	bare.message(a, nil)
	bare.recipient(a, nil, 3)
	bare.outcome(&mail.Outcome{Class: mail.ClassRefused}, config.BuiltinRules().Judge)
	row := string(AppendCSV(nil, &bare))
	if n := strings.Count(row, ","); n != 22 || !strings.HasSuffix(row, ",one.test/b,\n") {
		t.Errorf("%s", row)
	}
}

// roundTrip checks that both formats give back what was put in (A2), as far as each
// format has it, and that other parsers agree.
func roundTrip(t *testing.T, r *Record) {
	t.Helper()
	row := AppendCSV(nil, r)
	if bytes.Count(row, []byte("\n")) != 1 || bytes.ContainsAny(row, "\r\x00\x1b") || !utf8.Valid(row) {
		t.Fatalf("no clean line: %q", row)
	}
	std, err := csv.NewReader(strings.NewReader(header + string(row))).ReadAll()
	if err != nil || len(std) != 2 || len(std[1]) != len(columnNames) {
		t.Fatalf("%v: %q", err, row)
	}
	var got Record
	if err := NewDecoder(strings.NewReader(header + string(row))).Decode(&got); err != nil {
		t.Fatalf("%v: %q", err, row)
	}
	for _, f := range []struct{ name, got, want string }{
		{"sender", got.Sender, r.Sender},
		{"recipient", got.Recipient, r.Recipient},
		{"orcpt", got.ORcpt, r.ORcpt},
		{"diag", got.Diag, r.Diag},
		{"binding", got.Binding, r.Binding},
		{"job", got.Job, r.Job},
		{"group", got.Group, r.Group},
	} {
		if f.got != f.want {
			t.Errorf("CSV %s: %q, want %q", f.name, f.got, f.want)
		}
	}
	line := AppendJSON(nil, r)
	if bytes.Count(line, []byte("\n")) != 1 || !json.Valid(line) || !utf8.Valid(line) {
		t.Fatalf("no clean line: %q", line)
	}
	got = Record{}
	if err := NewDecoder(bytes.NewReader(line)).Decode(&got); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	want := *r
	for _, s := range []*string{&want.Sender, &want.Recipient, &want.ORcpt, &want.Diag, &want.Binding, &want.Job, &want.Group} {
		*s = string([]rune(*s))
	}
	want.Logged, want.Queued, got.Logged, got.Queued = 0, 0, 0, 0
	if len(got.Extensions) == 0 && len(want.Extensions) == 0 {
		got.Extensions, want.Extensions = nil, nil
	}
	want.Started, want.Ended, got.Started, got.Ended = 0, 0, 0, 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("JSON\n got %+v\nwant %+v", got, want)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("a@b.test", "x@y.test", "rfc822;x", "smtp;250 OK", "b", "job", "pool")
	f.Add("\"q,\\\" \"@b.test", "ü@y.test", "", "smtp;421 \n\r\t\x00\x1b[1m\u2028\u0085\xff\xc3", "b,\"", "=1+1", "\\n\\x41")
	f.Add("", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, sender, rcpt, orcpt, diag, binding, job, group string) {
		r := record(sched.RecordDeferred, mail.Reply{Code: 450, Text: "x"}, mail.ClassDeferred)
		r.Sender, r.Recipient, r.ORcpt, r.Diag, r.Binding, r.Job, r.Group = sender, rcpt, orcpt, diag, binding, job, group
		roundTrip(t, r)
	})
}

func FuzzDecoder(f *testing.F) {
	for _, k := range []sched.RecordKind{sched.RecordReceived, sched.RecordBounced} {
		r := record(k, mail.Reply{Code: 550, Text: "no"}, mail.ClassRefused)
		f.Add([]byte(header + string(AppendCSV(nil, r))))
		f.Add(AppendJSON(nil, r))
	}
	f.Add([]byte("type,rcpt\nd,\"a\"\"\"\nb,\"x\n\nq,\n"))
	f.Add([]byte("{\"type\":\"deferred\",\"time\":\"x\"}\n{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(bytes.NewReader(in))
		d.Whole = true
		var r Record
		for range len(in) + 2 {
			err := d.Decode(&r)
			var bad *LineError
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil && !errors.As(err, &bad):
				t.Fatal(err)
			case err == nil:
				AppendCSV(AppendJSON(nil, &r), &r)
			}
		}
		t.Fatal("no end")
	})
}

func TestDecoderReadsOtherPrograms(t *testing.T) {
	in := "type,timeLogged,timeImprinted,rcpt,dsnAction,dsnDiag,vmta,queue,bounceCat\r\n" +
		"d,2026-01-02 03:04:05-0500,,u@gmail.com,relayed,\"smtp;250 2.0.0 OK \\ a\",vmta1,gmail.com/vmta1,\r\n" +
		"xx,2026-01-02 03:04:05-0500,,u@gmail.com,failed,x,vmta1,gmail.com/vmta1,other\r\n" +
		"\r\n" +
		"b,1767323045,,\"u\"\"@gmail.com\",failed,x,vmta1,gmail.com/vmta1,bad-mailbox"
	d := NewDecoder(strings.NewReader(in))
	d.Whole = true
	var r Record
	if err := d.Decode(&r); err != nil || r.Recipient != "u@gmail.com" || r.Domain != "gmail.com" || r.Diag != `smtp;250 2.0.0 OK \ a` || r.Logged != 1767341045e9 {
		t.Errorf("%+v %v", r, err)
	}
	var bad *LineError
	if err := d.Decode(&r); !errors.As(err, &bad) || bad.Line != 3 {
		t.Errorf("%v", err)
	}
	if err := d.Decode(&r); err != nil || r.Recipient != `u"@gmail.com` || r.Logged != 1767323045e9 || r.Category != "bad-mailbox" {
		t.Errorf("%+v %v", r, err)
	}
	if err := d.Decode(&r); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	long := NewDecoder(strings.NewReader("type,rcpt\n" + strings.Repeat("x", maxLine+5) + "\nd,a\n"))
	if err := long.Decode(&r); !errors.As(err, &bad) {
		t.Error(err)
	}
	if err := long.Decode(&r); err != nil || r.Recipient != "a" {
		t.Error(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	rec := record(sched.RecordDelivered, mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "OK queued as 4711", Stage: mail.StageDot}, mail.ClassDelivered)
	for _, f := range formats {
		b.Run(f.name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = f.encode(buf[:0], rec)
			}
		})
	}
}

// What the manual shows is what is written.
func TestManualShowsTheRows(t *testing.T) {
	manual, err := os.ReadFile("../../docs/accounting.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{header, string(AppendCSV(nil, record(sched.RecordReceived, mail.Reply{}, 0)))}
	for _, s := range samples {
		rows = append(rows, string(AppendCSV(nil, record(s.kind, s.reply, s.class))))
	}
	rows = append(rows, string(AppendJSON(nil, record(sched.RecordDeferred, sampleJSON, mail.ClassDeferred))))
	for _, r := range rows {
		if !strings.Contains(string(manual), "\n"+r) {
			t.Errorf("not in the manual: %s", r)
		}
	}
}
