package sched

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

var update = flag.Bool("update", false, "write testdata/explain/*.txt anew")

// golden compares a text with a file of testdata/explain.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "explain", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: it says\n%s\nand should say\n%s", path, got, want)
	}
}

// explainedWorld is a machine in which queues wait for several reasons.
func explainedWorld(t *testing.T) *rig {
	r := newRig(t)
	at := func(l policy.Limit, stanza string, line int) policy.Limit {
		l.Origin = policy.Origin{Stanza: stanza, File: "sluice.conf", Line: line}
		return l
	}
	pool := policy.Limit{Option: "scope_max_outbound_connections", By: policy.ByStanza, Max: 2}
	p := testPolicy(bd(8), at(pool, `domain "/test/"`, 23), at(server(5, 1), "global", 3))
	p.Group = "pool"
	host := &policy.Host{Limits: []policy.Limit{at(policy.Limit{Option: "max_outbound_connections", By: policy.ByBinding | policy.ByHost, Max: 1}, `host "mx1.test"`, 30)}}
	mx1, mx2 := mx("mx1.test", 10, "192.0.2.1"), mx("mx2.test", 20, "192.0.2.2", "2001:db8::2")
	mx1.Policy = host
	for _, d := range []string{"one.test", "two.test", "three.test"} {
		for range 4 {
			r.submit(p, d, 1)
		}
		r.resolve(d, mx1, mx2)
		r.wait(2 * time.Second)
	}
	for h := uint32(1); h < r.conns.next; h++ {
		if c := r.conns.at(h); c.state == connDialing {
			r.step(Connected{Conn: r.connID(h), TLS: true})
			r.step(Wants{r.connID(h), 1})
		}
	}
	r.wait(90 * time.Second)
	return r
}

func textOf(x *Explained, s Style) string {
	var b strings.Builder
	x.Text(&b, s)
	return b.String()
}

func queueText(t *testing.T, r *rig, name string) string {
	t.Helper()
	e, ok := r.Explain(r.now, name)
	if !ok {
		t.Fatalf("no queue %s", name)
	}
	return textOf(&Explained{Kind: "queue", Queues: []Explanation{e}}, Style{})
}

func TestExplainText(t *testing.T) {
	r := explainedWorld(t)
	golden(t, "queue", queueText(t, r, "one.test/default"))
	golden(t, "waiting", queueText(t, r, "three.test/default"))
	c, ok := r.ExplainCounter(r.now, "max_outbound_connections default/mx1.test", 10)
	if !ok {
		t.Fatal("the counter is not found")
	}
	sums := map[string]int{}
	r.Holders("max_outbound_connections default/mx1.test", "", sums)
	for q, n := range sums {
		c.Holders = append(c.Holders, Holder{q, n})
	}
	golden(t, "counter", textOf(&Explained{Kind: "counter", Counter: &c}, Style{}))
	b, _ := r.ExplainBinding(r.now, "default")
	var w Waits
	r.BindingWaits(r.now, "default", "", &w, 10)
	for _, name := range []string{"max_outbound_connections default/mx1.test"} {
		b.Waiting = append(b.Waiting, w.Causes[name])
	}
	golden(t, "binding", textOf(&Explained{Kind: "binding", Binding: &b}, Style{}))
	hosts, _ := r.ExplainHost(r.now, "mx1.test", "", 10)
	golden(t, "host", textOf(&Explained{Kind: "host", Hosts: hosts}, Style{}))
	id := r.messages.at(r.parts.at(r.queues.at(1).eldest).msg).id
	h, _ := r.FindMessage(id, "")
	x := MessageExplanation{ID: id.String()}
	r.MessageParts(id, h, "", &x)
	golden(t, "message", textOf(&Explained{Kind: "message", Message: &x}, Style{}))
}

// What a receiver said never reaches a terminal as it is, and colours are only where they
// were asked for.
func TestExplainTextIsSafe(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(2))
	r.submit(p, "one.test", 1)
	c := only[Connect](t, r.resolve("one.test", mx("mx.test", 10, "192.0.2.1")))
	evil := mail.Reply{Code: 421, Text: "\x1b]0;owned\x07 \u202egnp.exe\r\nHELO"}
	r.step(ConnectFailed{Conn: c.Conn, Class: ConnectBusy, Reply: evil})
	r.step(Closed{Conn: c.Conn})
	e, _ := r.Explain(r.now, "one.test/default")
	x := &Explained{Kind: "queue", Queues: []Explanation{e}}
	got := textOf(x, Style{})
	if strings.ContainsAny(got, "\x1b\x07\r\u202e") || !strings.Contains(got, `\x1b]0;owned`) {
		t.Errorf("%q", got)
	}
	colored := textOf(x, Style{Color: true})
	if colored == got || strings.Contains(colored, "\x1b]") || strings.Count(colored, plain) < 2 {
		t.Errorf("%q", colored)
	}
}
