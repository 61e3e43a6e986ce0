package deliver

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

const (
	chunking = `
		S: 220 mx.test
		C: EHLO me.test
		S: 250-mx.test
		S: 250-PIPELINING
		S: 250 CHUNKING
	`
	address1 = "\nC: MAIL FROM:<s@a.test>\nC: RCPT TO:<x@b.test>\n"
	sent1    = address1 + "C: DATA\n"
	go1      = "\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	body1    = "\nC: hi\nC: .\n"
	taken1   = "\nS: 250 2.0.0 taken\n"
	chunk1   = "\nC: BDAT 4 LAST\nC: hi\n"
	gone     = "4.4.2 the receiver closed the connection while we were waiting for the reply"
)

// TestNextEnvelopeBehindContent: two messages are there, then one more comes while the
// second is being answered; each needs one turn.
func TestNextEnvelopeBehindContent(t *testing.T) {
	w := scripted(t, hello+sent1+go1+body1+sent1+taken1+go1+body1+sent1+taken1+go1+body1+taken1+quit)
	connect := w.startGated()
	w.give(1, "hi\r\n", "x@b.test")
	w.give(2, "hi\r\n", "x@b.test")
	connect()
	until[sched.Attempted](w, 1)
	w.give(3, "hi\r\n", "x@b.test") // before or after the content of the second: the receiver answers only when it is there
	until[sched.Wants](w, 4)
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseNow})
	w.expect(`
		connected tls=false
		wants 2
		attempted 1: [0 delivered: dot: 250 2.0.0 taken]
		wants 1
		attempted 2: [0 delivered: dot: 250 2.0.0 taken]
		wants 1
		attempted 3: [0 delivered: dot: 250 2.0.0 taken]
		wants 1
		closed: ok
	`)
}

// TestCloseAfterMessage: what is begun is sent, what is not goes back unsent.
func TestCloseAfterMessage(t *testing.T) {
	w := scripted(t, hello+sent1+go1+body1+sent1+taken1+go1+body1+taken1+quit)
	connect := w.startGated()
	w.give(1, "hi\r\n", "x@b.test")
	w.give(2, "hi\r\n", "x@b.test")
	connect()
	until[sched.Attempted](w, 1)
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseAfterMessage})
	w.give(3, "hi\r\n", "x@b.test")
	told := w.told()
	if !strings.Contains(told, "attempted 2: [0 delivered") || !strings.Contains(told, "returned 3\n") {
		t.Errorf("events:\n%s", told)
	}
	for _, e := range w.events {
		if r, ok := e.(sched.Returned); ok && r.Sent {
			t.Errorf("part %d is said to have been sent", r.Part)
		}
	}
}

// TestFallback: a receiver that does not do what it offers, over two connections. Between
// them no message is lost, none is bounced for it, and none is sent again that was taken.
func TestFallback(t *testing.T) {
	const (
		plainly = "C: MAIL FROM:<s@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok\nC: DATA\nS: 354 go" + body1 + taken1
		ready   = "connected tls=false\nwants 2\n"
		took    = "[0 delivered: dot: 250 2.0.0 taken]"
	)
	tests := []struct {
		name, first, second string
		parts               int
		want, then          string // events over the first connection, over the second
		sent                bool   // what the Returned say
		broken              smtp.Feature
	}{
		{
			name:  "BDAT is no command",
			first: chunking + address1 + "S: 250 ok\nS: 250 ok" + chunk1 + "S: 500 what?\nclose", second: chunking + sent1 + go1 + body1 + taken1 + quit,
			parts: 1, sent: true, broken: smtp.Chunking,
			want: ready + "returned 1\nclosed: ok: dot: 4.5.0 protocol error: BDAT was answered with 500 what? (sending the content)",
			then: ready + "attempted 1: " + took + "\nwants 1\nclosed: ok",
		},
		{
			name:  "commands in a flight are lost, and found again",
			first: hello + sent1 + "S: 250 ok\nS: 503 no\nS: 503 no\nC: RSET\nS: 250 ok\n" + plainly + quit, second: hello + plainly + quit,
			parts: 1, broken: smtp.Pipelining,
			want: ready + "attempted 1: " + took + "\nwants 1\nclosed: ok",
			then: ready + "attempted 2: " + took + "\nwants 1\nclosed: ok",
		},
		{
			name:  "the envelope ahead makes it close: the message before is in doubt, the one ahead is not",
			first: hello + sent1 + go1 + body1 + sent1 + "close!", second: hello + sent1 + go1 + body1 + taken1 + quit,
			parts: 2, sent: true, broken: smtp.Ahead,
			want: ready + "attempted 1: [0 deferred: dot: " + gone + "; it may have taken the message]\nreturned 2\nclosed: ok: dot: " + gone + "; it may have taken the message",
			then: ready + "attempted 2: " + took + "\nwants 1\nclosed: ok",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := scripted(t, tt.first, tt.second)
			gate := make(chan chan struct{}, 1)
			w.config.Dial = func(ctx context.Context, c *sched.Connect) (net.Conn, error) {
				<-<-gate
				return dial(ctx, c)
			}
			w.agent = New(w.config)
			run := func(conn sched.ConnID, want string, parts ...int) {
				t.Helper()
				w.mu.Lock()
				w.events, w.action.Conn = nil, conn
				w.mu.Unlock()
				open := make(chan struct{})
				gate <- open
				w.agent.Start(w.action)
				for _, n := range parts {
					w.give(n, "hi\r\n", "x@b.test")
				}
				close(open)
				if strings.HasSuffix(want, "wants 1\nclosed: ok") {
					until[sched.Wants](w, 1+len(parts))
					w.agent.Close(sched.Close{Conn: conn, How: sched.CloseNow})
				}
				w.expect(want)
			}
			first := []int{1, 2}[:tt.parts]
			run(1, tt.want, first...)
			for _, e := range w.events {
				if r, ok := e.(sched.Returned); ok && r.Sent != tt.sent {
					t.Errorf("part %d came back, sent %t", r.Part, r.Sent)
				}
			}
			if h := w.agent.Habit("mx.test", w.action.Address); h.Broken != tt.broken || h.Why == "" || time.Until(h.Until) < 23*time.Hour {
				t.Errorf("remembered: %+v", h)
			}
			next := 1
			if strings.Contains(tt.then, "attempted 2") {
				next = 2
			}
			run(2, tt.then, next)
		})
	}
}

// TestSwitches: what the configuration does not want is not made use of.
func TestSwitches(t *testing.T) {
	for _, tt := range []struct {
		name, script         string
		pipelining, chunking bool
	}{
		{"pipelining alone", chunking + sent1 + go1 + body1 + sent1 + taken1 + go1 + body1 + taken1 + quit, true, false},
		{"neither", chunking + strings.Repeat("C: MAIL FROM:<s@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok\nC: DATA\nS: 354 go"+body1+taken1, 2) + quit, false, false},
		{"chunking alone", chunking + strings.Repeat("C: MAIL FROM:<s@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok"+chunk1+taken1, 2) + quit, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := scripted(t, tt.script)
			s := w.action.Policy.Session
			s.UsePipelining, s.UseChunking = tt.pipelining, tt.chunking
			connect := w.startGated()
			w.give(1, "hi\r\n", "x@b.test")
			w.give(2, "hi\r\n", "x@b.test")
			connect()
			until[sched.Wants](w, 3)
			w.agent.Close(sched.Close{Conn: 1, How: sched.CloseNow})
			if told := w.told(); strings.Count(told, "delivered") != 2 {
				t.Errorf("events:\n%s", told)
			}
		})
	}
}
