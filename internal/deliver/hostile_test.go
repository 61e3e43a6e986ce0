package deliver

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/sched"
)

// TestHostileReceivers gives two messages, one after the other, to receivers that
// misbehave at every step; what becomes of them is written beside it.
func TestHostileReceivers(t *testing.T) {
	const (
		mailSent = "\nC: MAIL FROM:<s@a.test>\nC: RCPT TO:<x@b.test>\nC: DATA\n"
		body     = "\nC: hi\nC: .\n"
		ready    = "connected tls=false\nwants 2\n"
		first    = "attempted 1: [0 delivered: dot: 250 2.0.0 taken]\nwants 1\n"
		lost     = "4.4.2 the receiver closed the connection while we were waiting for the reply"
	)
	tests := []struct{ name, script, want string }{
		{
			"closes at once", "close!",
			"connect failed: host: greeting: " + lost + "\nclosed: host: greeting: " + lost,
		},
		{
			"closes inside the greeting", "S- 220 mx",
			"connect failed: host: greeting: 4.4.2 connection lost while we were waiting for the reply: unexpected EOF\n" +
				"closed: host: greeting: 4.4.2 connection lost while we were waiting for the reply: unexpected EOF",
		},
		{
			"closes after EHLO", "S: 220 hi\nC: EHLO me.test",
			"connect failed: host: ehlo: " + lost + "\nclosed: host: ehlo: " + lost,
		},
		{
			"closes at MAIL", hello + mailSent,
			ready + "attempted 1: [0 deferred: mail: " + lost + "]\nreturned 2\nclosed: host: mail: " + lost,
		},
		{
			"closes at RCPT", hello + mailSent + "S: 250 ok",
			ready + "attempted 1: [0 deferred: rcpt: " + lost + "]\nreturned 2\nclosed: host: rcpt: " + lost,
		},
		{
			"closes at DATA", hello + mailSent + "S: 250 ok\nS: 250 ok",
			ready + "attempted 1: [0 deferred: data: " + lost + "]\nreturned 2\nclosed: host: data: " + lost,
		},
		{
			"closes at the dot", hello + mailSent + "S: 250 ok\nS: 250 ok\nS: 354 go" + body,
			ready + "attempted 1: [0 deferred: dot: " + lost + "; it may have taken the message]\nreturned 2\n" +
				"closed: ok: dot: " + lost + "; it may have taken the message",
		},
		{
			"closes after the first message", hello + taken + mailSent,
			ready + first + "returned 2\nclosed: ok: mail: " + lost,
		},
		{
			"says 421 after the first message", hello + taken + mailSent + "S: 421 4.7.0 enough\nclose",
			ready + first + "returned 2\nclosed: busy: mail: 421 4.7.0 enough",
		},
		{
			"says 421 at MAIL", hello + mailSent + "S: 421 4.7.0 not now\nclose",
			ready + "attempted 1: [0 deferred: mail: 421 4.7.0 not now]\nreturned 2\nclosed: busy: mail: 421 4.7.0 not now",
		},
		{
			"says 421 at RCPT", hello + mailSent + "S: 250 ok\nS: 421 4.3.2 going down\nclose",
			ready + "attempted 1: [0 deferred: rcpt: 421 4.3.2 going down]\nreturned 2\nclosed: ok: rcpt: 421 4.3.2 going down",
		},
		{
			"says 421 at the dot", hello + mailSent + "S: 250 ok\nS: 250 ok\nS: 354 go" + body + mailSent + "S: 421 4.3.2 going down\nclose",
			ready + "attempted 1: [0 deferred: dot: 421 4.3.2 going down]\nreturned 2\nclosed: ok: dot: 421 4.3.2 going down",
		},
		{
			"speaks before it is asked", "S- 220 hi\\r\\n250 hello to you too\\r\\n\nclose",
			`connect failed: host: ehlo: 4.5.0 protocol error: a reply to nothing: "250 hello to you too" (before the command)` + "\n" +
				`closed: host: ehlo: 4.5.0 protocol error: a reply to nothing: "250 hello to you too" (before the command)`,
		},
		{
			"gives one reply too many", strings.Replace(hello, "S: 250 PIPELINING", `S- 250 PIPELINING\r\n250 more\r\n`, 1) + "\nclose",
			ready + `attempted 1: [0 deferred: mail: 4.5.0 protocol error: a reply to nothing: "250 more" (before the command)]` +
				"\nreturned 2\n" + `closed: host: mail: 4.5.0 protocol error: a reply to nothing: "250 more" (before the command)`,
		},
		{
			"gives a reply with the 354", hello + mailSent + `S- 250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n` + "\nclose",
			ready + `attempted 1: [0 deferred: body: 4.5.0 protocol error: a reply to nothing: "250 taken" (before the command)]` +
				"\nreturned 2\n" + `closed: ok: body: 4.5.0 protocol error: a reply to nothing: "250 taken" (before the command)`,
		},
		{
			"hides a reply behind a bare LF", hello + mailSent + `S- 250 ok\n250 ok\r\n250 ok\r\n354 go\r\n` + "\nclose",
			ready + `attempted 1: [0 deferred: data: 4.5.0 protocol error: DATA was answered with 250 (waiting for the reply)]` +
				"\nreturned 2\n" + `closed: host: data: 4.5.0 protocol error: DATA was answered with 250 (waiting for the reply)`,
		},
		{
			"ends lines with bare LF", "S- 220 hi\\n\nC: EHLO me.test\nS- 250-hi\\n250 PIPELINING\\n\n" + mailSent +
				`S- 250 ok\n250 ok\n354 go\n` + body + `S- 250 2.0.0 taken\n` + mailSent + `S- 250 ok\n550 5.1.1 no\n503 no\n` + "\n" + quit,
			ready + first + "attempted 2: [0 refused: rcpt: 550 5.1.1 no]\nwants 1\nclosed: ok",
		},
		{
			"says 354 to RCPT", hello + mailSent + "S: 250 ok\nS: 354 go\nclose",
			ready + "attempted 1: [0 deferred: rcpt: 4.5.0 protocol error: RCPT was answered with 354 (waiting for the reply)]\nreturned 2\n" +
				"closed: host: rcpt: 4.5.0 protocol error: RCPT was answered with 354 (waiting for the reply)",
		},
		{
			"says 354 to the dot", hello + mailSent + "S: 250 ok\nS: 250 ok\nS: 354 go" + body + mailSent + "S: 354 more\nclose",
			ready + "attempted 1: [0 deferred: dot: 4.5.0 protocol error: the final dot was answered with 354 (waiting for the reply)]\nreturned 2\n" +
				"closed: ok: dot: 4.5.0 protocol error: the final dot was answered with 354 (waiting for the reply)",
		},
		{
			"changes the code inside a reply", hello + mailSent + "S: 250-a\nS: 550 b\nclose",
			ready + "attempted 1: [0 deferred: mail: 4.5.0 protocol error: the code changes from 250 to 550 inside a reply (waiting for the reply)]\nreturned 2\n" +
				"closed: host: mail: 4.5.0 protocol error: the code changes from 250 to 550 inside a reply (waiting for the reply)",
		},
		{
			"refuses to reset", hello + mailSent + "S: 550 5.7.1 no\nS: 503 no\nS: 503 no\nC: RSET" + mailSent + "S: 550 what?\nclose",
			ready + "attempted 1: [0 refused: mail: 550 5.7.1 no]\nwants 1\n" +
				"returned 2\n" +
				"closed: ok: rset: 4.5.0 protocol error: RSET was answered with 550 (resetting the session)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := scripted(t, tt.script)
			connect := w.startGated()
			if strings.HasPrefix(tt.want, "connected") {
				w.give(1, "hi\r\n", "x@b.test")
				w.give(2, "hi\r\n", "x@b.test")
			}
			connect()
			if strings.Contains(tt.script, "QUIT") {
				until[sched.Attempted](w, 2)
				until[sched.Wants](w, 3)
				w.agent.Close(sched.Close{Conn: 1, How: sched.CloseNow})
			}
			w.expect(tt.want)
		})
	}
}

// TestEndlessReceivers: what never ends is cut off, by octets and not only by time.
func TestEndlessReceivers(t *testing.T) {
	for name, piece := range map[string]string{
		"line":         strings.Repeat("2", 4096),
		"reply":        "220-" + strings.Repeat("x", 400) + "\r\n",
		"short lines":  strings.Repeat("220-\r\n", 1000),
		"many replies": strings.Repeat("220 hi\r\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				for err == nil {
					_, err = io.WriteString(conn, piece)
				}
				if conn != nil {
					_ = conn.Close()
				}
			}()
			w := newWorld(t, l.Addr().(*net.TCPAddr).AddrPort())
			w.start()
			got := until[sched.ConnectFailed](w, 1)
			if got.Class != sched.ConnectHost || !strings.Contains(got.Reply.Text, "protocol error") || len(got.Reply.Text) > 300 {
				t.Errorf("got %s", tell(got))
			}
			until[sched.Closed](w, 1)
			<-done
			_ = l.Close()
		})
	}
}
