package bounce

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

// relayed is a report on recipients that asked for success in different ways.
func relayed(ehlo ...string) Input {
	in := input(letter)
	in.Action = Relayed
	in.Attempt.Ehlo = ehlo
	in.Envelope.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyFailure
	in.Outcomes = nil
	for i := range in.Envelope.Recipients {
		in.Outcomes = append(in.Outcomes, mail.Outcome{
			Recipient: i, Class: mail.ClassDelivered, Reply: mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "queued as 4711", Stage: mail.StageDot},
		})
	}
	return in
}

func TestRelayed(t *testing.T) {
	in := relayed("PIPELINING")
	env, content := Compose(in)
	wellFormed(t, env, content)
	h, parts := parse(t, content)
	if !strings.HasPrefix(h.Get("Subject"), "Mail Relayed") || parts[2].kind != "text/rfc822-headers" {
		t.Errorf("%q %s", h.Get("Subject"), parts[2].kind)
	}
	bs := blocks(t, parts[1].body)
	if len(bs) != 3 || bs[1].Get("Action") != "relayed" || bs[1].Get("Status") != "2.0.0" || bs[2].Get("Final-Recipient") != "rfc822; success@one.test" ||
		bs[1].Get("Remote-MTA") != "dns; mx.one.test" {
		t.Errorf("%s", parts[1].body)
	}
	if env, _ := Compose(relayed("SIZE 1000", "dsn")); env != nil {
		t.Error("a receiver with DSN reports by itself")
	}
}

// RFC 2852 §4.1.4: the trace tells of receivers that do not know DELIVERBY.
func TestTraced(t *testing.T) {
	in := relayed("DSN")
	in.Envelope.By = mail.DeliverBy{Deadline: noon, Trace: true}
	_, content := Compose(in)
	if n := strings.Count(string(content), "Action: relayed"); n != 4 { // all but NEVER
		t.Errorf("%d recipients: %s", n, content)
	}
	in.Attempt.Ehlo = []string{"DSN", "DELIVERBY 60"}
	if env, _ := Compose(in); env != nil {
		t.Error("traced though the receiver knows DELIVERBY")
	}
}

func TestDelivered(t *testing.T) {
	for action, word := range map[Action]string{Delivered: "delivered", Expanded: "expanded"} {
		in := relayed("DSN")
		in.Action = action
		env, content := Compose(in)
		wellFormed(t, env, content)
		if n := strings.Count(string(content), "Action: "+word); n != 2 {
			t.Errorf("%d recipients: %s", n, content)
		}
	}
}

// nasty is what a receiver may say to break a report that quotes it.
var nasty = []string{
	"no\r\n\r\n--=_boundary\r\nContent-Type: text/html\r\n\r\n<script>", "=?utf-8?q?hidden?= =?iso-2022-jp?B?GyRC?=", "bare\rCR and bare\nLF",
	"\x00\x07\x1b[31m\x7f\x80\xff", "\u202egnp.exe \u2028 \u0085", strings.Repeat("long", 40000), "Ünïcödé für alle", ".\r\n.\r\n", "Action: delivered\r\nStatus: 2.0.0",
}

// What receivers say breaks no report for Python's parser, the one that most tools use.
func TestPythonReadsReports(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("%v: install python3", err)
	}
	const script = `
import sys, json, email, email.policy
out = []
for raw in json.load(sys.stdin):
    m = email.message_from_bytes(raw.encode("latin-1"), policy=email.policy.default)
    parts = list(m.iter_parts()) if m.is_multipart() else []
    status = [p for p in parts if p.get_content_type() == "message/delivery-status"]
    blocks = list(status[0].get_payload()) if status else []
    defects = [repr(d) for p in m.walk() for d in p.defects] + [repr(d) for b in blocks for v in b.values() for d in getattr(v, "defects", [])]
    out.append({"type": m.get_content_type(), "report": m.get_param("report-type"), "parts": [p.get_content_type() for p in parts],
      "blocks": [{k.lower(): str(v) for k, v in b.items()} for b in blocks], "defects": defects})
json.dump(out, sys.stdout)
`
	var raw []string
	var want []int
	for _, said := range nasty {
		for _, action := range []Action{Failed, Delayed, Relayed, Delivered} {
			in := relayed("SIZE")
			in.Action = action
			for i := range in.Outcomes {
				in.Outcomes[i].Reply = mail.Reply{Code: 550, Enhanced: "5.1.1", Text: said, Stage: mail.StageRcpt}
			}
			in.Attempt.Host = said
			in.Envelope.EnvID = said
			env, content := Compose(in)
			wellFormed(t, env, content)
			raw, want = append(raw, latin1(content)), append(want, strings.Count(string(content), "\r\nFinal-Recipient:"))
		}
	}
	feed, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin = bytes.NewReader(feed)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Type, Report string
		Parts        []string
		Blocks       []map[string]string
		Defects      []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if g.Type != "multipart/report" || g.Report != "delivery-status" || len(g.Parts) != 3 || g.Parts[1] != "message/delivery-status" || len(g.Blocks) != want[i]+1 || len(g.Defects) > 0 {
			t.Fatalf("%+v\nwant %d recipients in\n%s", g, want[i], raw[i])
		}
		for _, b := range g.Blocks[1:] {
			if b["final-recipient"] == "" || b["action"] == "" || len(b["status"]) < 5 {
				t.Fatalf("%v in\n%s", b, raw[i])
			}
		}
	}
}

// latin1 carries octets through JSON.
func latin1(b []byte) string {
	out := make([]rune, len(b))
	for i, c := range b {
		out[i] = rune(c)
	}
	return string(out)
}
