package bounce

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"github.com/sluice-mta/sluice/internal/mail"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC).UnixNano()

const letter = "Received: from app1\r\nFrom: shop@sender.test\r\nTo: a@one.test\r\nMessage-ID: <42@sender.test>\r\nSubject: Order\r\n\r\nHello,\r\nyour order.\r\n"

// input is a refusal of two recipients of one message.
func input(content string) Input {
	env := &mail.Envelope{
		ID:     mail.NewID(noon/1e6, [10]byte{1}),
		Sender: mail.Address{Local: "shop", Domain: "Sender.Test"},
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "a", Domain: "one.test"}, ORcpt: "rfc822;a+2Bx@one.test"},
			{Address: mail.Address{Local: "b", Domain: "one.test"}},
			{Address: mail.Address{Local: "never", Domain: "one.test"}, Notify: mail.NotifyNever},
			{Address: mail.Address{Local: "success", Domain: "one.test"}, Notify: mail.NotifySuccess | mail.NotifyDelay},
			{Address: mail.Address{Local: "jürgen", Domain: "büro.test"}},
		},
		Received: noon - 3600e9, Size: int64(len(content)), EnvID: "QQ=1",
	}
	return Input{
		ID: mail.NewID(noon/1e6, [10]byte{2}), Now: noon, Hostname: "mta1.example.com", Postmaster: "postmaster@example.com",
		Binding: "reports", Group: "pool", Tenant: "t", Envelope: env, Content: strings.NewReader(content),
		Outcomes: []mail.Outcome{
			{Recipient: 0, Class: mail.ClassRefused, Reply: mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "no such user\nsee https://one.test/help", Stage: mail.StageRcpt}},
			{Recipient: 1, Class: mail.ClassRefused, Reply: mail.Reply{Enhanced: "5.1.2", Text: "domain one.test does not exist", Stage: mail.StageResolve}},
		},
		Attempt: &mail.Attempt{Host: "mx.one.test", Remote: netip.MustParseAddrPort("192.0.2.9:25"), Ended: noon - 1e9},
	}
}

// part is one part of a report as another program parses it.
type part struct {
	kind   string
	params map[string]string
	header message.Header
	body   string
}

// parse takes a report apart with a parser that is not ours.
func parse(t *testing.T, content []byte) (message.Header, []part) {
	t.Helper()
	e, err := message.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := e.Header.ContentType()
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%s %v %v", kind, params, err)
	}
	var parts []part
	mr := e.MultipartReader()
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			return e.Header, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := p.Header.ContentType()
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{kind, params, p.Header, string(body)})
	}
}

// blocks parses the blocks of a message/delivery-status part.
func blocks(t *testing.T, body string) []textproto.Header {
	t.Helper()
	var out []textproto.Header
	for b := range strings.SplitSeq(strings.TrimRight(body, "\r\n"), "\r\n\r\n") {
		e, err := message.Read(strings.NewReader(b + "\r\n\r\n"))
		if err != nil {
			t.Fatalf("%v: %q", err, b)
		}
		out = append(out, e.Header.Header)
	}
	return out
}

// wellFormed checks what holds for every report: CRLF, line length, 7-bit.
func wellFormed(t *testing.T, env *mail.Envelope, content []byte) {
	t.Helper()
	if int64(len(content)) != env.Size {
		t.Errorf("size %d, %d octets", env.Size, len(content))
	}
	if !sendable(content) || !env.EightBit && !plain(content) || !bytes.HasSuffix(content, []byte("\r\n")) {
		t.Errorf("not fit to be sent: %q", content)
	}
	if !env.Sender.IsNull() || !env.Report || len(env.Recipients) != 1 {
		t.Errorf("envelope %+v", env)
	}
}

func TestRefused(t *testing.T) {
	in := input(letter)
	env, content := Compose(in)
	wellFormed(t, env, content)
	rc := env.Recipients[0]
	if rc.Address != in.Envelope.Sender || rc.Domain != "sender.test" || rc.Binding != "reports" || rc.Group != "pool" || rc.Notify != mail.NotifyNever ||
		env.ID != in.ID || env.Received != noon || env.Tenant != "t" || env.Source.Protocol != "report" || env.EightBit {
		t.Errorf("%+v", env)
	}
	h, parts := parse(t, content)
	for name, want := range map[string]string{
		"From": "Mail Delivery System <MAILER-DAEMON@mta1.example.com>", "To": "<shop@Sender.Test>",
		"Auto-Submitted": "auto-replied", "Subject": "Undelivered Mail Returned to Sender",
		"Date": "Fri, 2 Jan 2026 12:00:00 +0000", "Message-Id": "<" + in.ID.String() + "@mta1.example.com>",
		"In-Reply-To": "<42@sender.test>", "Mime-Version": "1.0",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if len(parts) != 3 || parts[0].kind != "text/plain" || parts[1].kind != "message/delivery-status" || parts[2].kind != "message/rfc822" {
		t.Fatalf("%+v", parts)
	}
	for _, want := range []string{
		"<a@one.test>", "The host mx.one.test [192.0.2.9] said to the recipient's address (RCPT): 550",
		"5.1.2 domain one.test does not exist", "postmaster@example.com",
	} {
		if !strings.Contains(strings.Join(strings.Fields(parts[0].body), " "), want) {
			t.Errorf("%q is not in %s", want, parts[0].body)
		}
	}
	if parts[2].body != letter {
		t.Errorf("%q", parts[2].body)
	}
	bs := blocks(t, parts[1].body)
	if len(bs) != 3 {
		t.Fatalf("%d blocks in %q", len(bs), parts[1].body)
	}
	for i, want := range []map[string]string{
		{"Reporting-MTA": "dns; mta1.example.com", "Original-Envelope-Id": "QQ=1", "Arrival-Date": "Fri, 2 Jan 2026 11:00:00 +0000"},
		{
			"Original-Recipient": "rfc822; a+x@one.test", "Final-Recipient": "rfc822; a@one.test", "Action": "failed", "Status": "5.1.1",
			"Remote-MTA": "dns; mx.one.test", "Diagnostic-Code": "smtp; 550 5.1.1 no such user see https://one.test/help",
			"Last-Attempt-Date": "Fri, 2 Jan 2026 11:59:59 +0000", "Final-Log-ID": in.Envelope.ID.String(),
		},
		{
			"Original-Recipient": "", "Final-Recipient": "rfc822; b@one.test", "Action": "failed", "Status": "5.1.2", "Remote-MTA": "",
			"Diagnostic-Code": "x-sluice; domain one.test does not exist",
		},
	} {
		for name, value := range want {
			if got := strings.Join(strings.Fields(bs[i].Get(name)), " "); got != value {
				t.Errorf("block %d %s: %q, want %q", i, name, got, value)
			}
		}
	}
}

func TestNoReportIsDue(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"null sender":      func(in *Input) { in.Envelope.Sender = mail.Address{} },
		"a report":         func(in *Input) { in.Envelope.Report = true },
		"NEVER":            func(in *Input) { in.Outcomes = []mail.Outcome{{Recipient: 2, Class: mail.ClassRefused}} },
		"without FAILURE":  func(in *Input) { in.Outcomes = []mail.Outcome{{Recipient: 3, Class: mail.ClassRefused}} },
		"no such index":    func(in *Input) { in.Outcomes = []mail.Outcome{{Recipient: 99}, {Recipient: -1}} },
		"nobody":           func(in *Input) { in.Outcomes = nil },
		"sender nowhere":   func(in *Input) { in.Envelope.Sender = mail.Address{Local: "postmaster"} },
		"sender malformed": func(in *Input) { in.Envelope.Sender.Local = "a\r\nBcc: x" },
	} {
		in := input(letter)
		change(&in)
		if env, content := Compose(in); env != nil || content != nil {
			t.Errorf("%s: %q", name, content)
		}
	}
	in := input(letter)
	for i := range in.Envelope.Recipients {
		in.Outcomes = append(in.Outcomes, mail.Outcome{Recipient: i, Class: mail.ClassRefused})
	}
	_, content := Compose(in)
	if s := string(content); strings.Contains(s, "never@") || strings.Contains(s, "success@") {
		t.Errorf("reported on recipients that want no report: %s", s)
	}
}

func TestExpired(t *testing.T) {
	in := input(letter)
	in.Outcomes = []mail.Outcome{
		{Recipient: 0, Class: mail.ClassDeferred, Reply: mail.Reply{Code: 451, Enhanced: "4.2.0", Text: "come back later", Stage: mail.StageRcpt}},
		{Recipient: 1, Class: mail.ClassRefused, Reply: mail.Reply{Enhanced: "4.4.7", Text: "message expired: not delivered within 5 days"}},
	}
	env, content := Compose(in)
	wellFormed(t, env, content)
	_, parts := parse(t, content)
	bs := blocks(t, parts[1].body)
	if bs[1].Get("Status") != "4.4.7" || bs[1].Get("Action") != "failed" || bs[1].Get("Diagnostic-Code") != "smtp; 451 4.2.0 come back later" || bs[2].Get("Status") != "4.4.7" {
		t.Errorf("%s", parts[1].body)
	}
	if !strings.Contains(parts[0].body, "tried until its time was up") {
		t.Errorf("%s", parts[0].body)
	}
}

func TestDelay(t *testing.T) {
	in := input(letter)
	in.Action, in.Until = Delayed, noon+86400e9
	in.Outcomes = []mail.Outcome{
		{Recipient: 0, Class: mail.ClassDeferred, Reply: mail.Reply{Code: 451, Enhanced: "4.2.0", Text: "later"}},
		{Recipient: 2, Class: mail.ClassDeferred},
		{Recipient: 3, Class: mail.ClassDeferred, Reply: mail.Reply{Code: 421, Text: "busy"}},
	}
	env, content := Compose(in)
	wellFormed(t, env, content)
	h, parts := parse(t, content)
	if !strings.HasPrefix(h.Get("Subject"), "Delayed") || parts[2].kind != "text/rfc822-headers" {
		t.Errorf("%q %s", h.Get("Subject"), parts[2].kind)
	}
	bs := blocks(t, parts[1].body)
	if len(bs) != 3 || bs[1].Get("Action") != "delayed" || bs[1].Get("Status") != "4.2.0" || bs[1].Get("Will-Retry-Until") == "" ||
		bs[2].Get("Final-Recipient") != "rfc822; success@one.test" || bs[2].Get("Status") != "4.0.0" {
		t.Errorf("%s", parts[1].body)
	}
}

func TestWhatIsReturned(t *testing.T) {
	header, _, _ := strings.Cut(letter, "\r\n\r\n")
	header += "\r\n"
	big := letter + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000)
	eight := letter + "Grüße\r\n"
	for _, c := range []struct {
		name, content string
		ret           mail.Ret
		kind, body    string
		eightBit      bool
	}{
		{"small", letter, mail.RetUnset, "message/rfc822", letter, false},
		{"small, headers wanted", letter, mail.RetHeaders, "text/rfc822-headers", header, false},
		{"big", big, mail.RetUnset, "text/rfc822-headers", header, false},
		{"big, all wanted", big, mail.RetFull, "message/rfc822", big, false},
		{"too big, all wanted", letter + strings.Repeat(big, 20), mail.RetFull, "text/rfc822-headers", header, false},
		{"8-bit", eight, mail.RetUnset, "text/rfc822-headers", header, false},
		{"8-bit, all wanted", eight, mail.RetFull, "message/rfc822", eight, true},
		{"8-bit header", "Subject: Grüße\r\n\r\nx\r\n", mail.RetHeaders, "text/rfc822-headers", "Subject: Grüße\r\n", false},
		{"bare LF", letter + "a\nb\r\n", mail.RetFull, "text/rfc822-headers", header, false},
		{"long line", "Subject: x\r\n\r\n" + strings.Repeat("y", 2000) + "\r\n", mail.RetFull, "text/rfc822-headers", "Subject: x\r\n", false},
		{"long header line", "Subject: " + strings.Repeat("y", 2000) + "\r\n\r\nx\r\n", mail.RetUnset, "text/rfc822-headers", "Subject: " + strings.Repeat("y", 2000) + "\r\n", false},
		{"no header", "\r\nbody\r\n", mail.RetHeaders, "text/rfc822-headers", "", false},
		{"endless header", strings.Repeat("X: y\r\n", 20000), mail.RetHeaders, "text/rfc822-headers", strings.Repeat("X: y\r\n", maxHeader/6), false},
	} {
		in := input(c.content)
		in.Envelope.Ret = c.ret
		env, content := Compose(in)
		wellFormed(t, env, content)
		_, parts := parse(t, content)
		if len(parts) != 3 || parts[2].kind != c.kind || strings.TrimRight(parts[2].body, "\r\n") != strings.TrimRight(c.body, "\r\n") || env.EightBit != c.eightBit {
			t.Errorf("%s: %s, 8-bit %v, %.200q", c.name, parts[len(parts)-1].kind, env.EightBit, parts[len(parts)-1].body)
		}
	}
	in := input(letter)
	in.Content = nil
	_, content := Compose(in)
	if _, parts := parse(t, content); len(parts) != 2 {
		t.Errorf("%d parts without content", len(parts))
	}
	in = input(letter)
	in.Envelope.Size = 10_000 // a read that comes to an end too early
	_, content = Compose(in)
	if _, parts := parse(t, content); len(parts) != 2 {
		t.Errorf("%d parts of an unreadable message", len(parts))
	}
}

func TestInternational(t *testing.T) {
	in := input(letter)
	in.Outcomes = []mail.Outcome{{Recipient: 4, Class: mail.ClassRefused, Reply: mail.Reply{Code: 550, Text: "kein Postfach für jürgen"}}}
	env, content := Compose(in)
	wellFormed(t, env, content)
	_, parts := parse(t, content)
	bs := blocks(t, parts[1].body)
	if got := bs[1].Get("Final-Recipient"); got != `utf-8; j\x{FC}rgen@b\x{FC}ro.test` {
		t.Error(got)
	}
	if !strings.Contains(parts[0].body, "<jürgen@büro.test>") || !strings.Contains(parts[0].body, "für jürgen") {
		t.Errorf("%s", parts[0].body)
	}
	in.Envelope.Sender = mail.Address{Local: "müller", Domain: "büro.test"}
	env, _ = Compose(in)
	if !env.SMTPUTF8 || !env.EightBit || env.Recipients[0].Domain != "xn--bro-hoa.test" {
		t.Errorf("%+v", env)
	}
}

func TestManyRecipients(t *testing.T) {
	in := input(letter)
	in.Outcomes = nil
	rc := in.Envelope.Recipients[1]
	in.Envelope.Recipients = nil
	for i := range 300 {
		in.Envelope.Recipients = append(in.Envelope.Recipients, rc)
		in.Outcomes = append(in.Outcomes, mail.Outcome{Recipient: i, Class: mail.ClassRefused, Reply: mail.Reply{Code: 550, Text: strings.Repeat("long ", 20000)}})
	}
	env, content := Compose(in)
	wellFormed(t, env, content)
	_, parts := parse(t, content)
	if n := len(blocks(t, parts[1].body)); n != 301 {
		t.Errorf("%d blocks", n)
	}
	if !strings.Contains(parts[0].body, "250 more recipients") || len(content) > 3<<20 {
		t.Errorf("%d octets, %.300s", len(content), parts[0].body)
	}
}

// Whatever others say, the report has its three parts, its fields, and no more.
func FuzzCompose(f *testing.F) {
	f.Add("no such user", "a", "rfc822;a", "e1", "mx.one.test", letter)
	f.Add("x\r\nStatus: 2.0.0\r\n\r\nAction: delivered", "\"a b\"", "rfc822;a+0D+0AAction: x", "\r\nX: y", "mx\r\n.test", "X\r\n")
	f.Add("\x00\x1b[31m\xff\u2028"+strings.Repeat("w", 3000), "ü", ";", "+", "", "Message-ID: <a\x00b>\r\n\r\n--=_\r\n")
	f.Fuzz(func(t *testing.T, text, local, orcpt, envid, host, content string) {
		if local == "" || len(content) > 1<<16 {
			return
		}
		in := input(content)
		in.Envelope.Recipients[0].Address.Local = local
		in.Envelope.Recipients[0].ORcpt, in.Envelope.EnvID, in.Attempt.Host = orcpt, envid, host
		in.Outcomes[0].Reply.Text, in.Outcomes[0].Reply.Enhanced = text, text
		env, out := Compose(in)
		wellFormed(t, env, out)
		_, parts := parse(t, out)
		if len(parts) < 2 || len(parts) > 3 {
			t.Fatalf("%d parts", len(parts))
		}
		bs := blocks(t, parts[1].body)
		if len(bs) != 3 {
			t.Fatalf("%d blocks: %q", len(bs), parts[1].body)
		}
		if bs[1].Get("Action") != "failed" || bs[1].Get("Status") == "" || bs[0].Get("Reporting-MTA") != "dns; mta1.example.com" {
			t.Fatalf("%q", parts[1].body)
		}
		for fields := bs[1].Fields(); fields.Next(); {
			switch fields.Key() {
			case "Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-Mta", "Diagnostic-Code", "Last-Attempt-Date", "Final-Log-Id":
			default:
				t.Fatalf("a field %q has come in: %q", fields.Key(), parts[1].body)
			}
		}
	})
}
