package deliver

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestReceiverClosesAnIdleConnection(t *testing.T) {
	const taken1 = "connected tls=false\nwants 2\nattempted 1: [0 delivered: dot: 250 2.0.0 taken]\nwants 1\n"
	tests := []struct{ name, script, want string }{
		{"without a word", "close!", "closed: ok: 4.4.2 the receiver closed the connection while we were idle"},
		{"for want of use", "S: 421 4.4.2 idle for too long\nclose", "closed: ok: 421 4.4.2 idle for too long"},
		{"because it has too many", "S: 421 4.7.0 too many\nclose", "closed: busy: 421 4.7.0 too many"},
		{"with nonsense", "S: 250 ok\nclose", `closed: ok: 4.5.0 protocol error: a reply to nothing: "250 ok" (before the command)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := scripted(t, hello+taken+tt.script)
			connect := w.startGated()
			w.give(1, "hi\r\n", "x@b.test")
			connect()
			w.expect(taken1 + tt.want)
		})
	}
}

func TestCloseWithPartsNotBegun(t *testing.T) {
	// The receiver keeps us waiting for the reply to the dot until the test lets it go on.
	for name, how := range map[string]sched.CloseHow{"now": sched.CloseNow, "after the message": sched.CloseAfterMessage} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			w := newWorld(t, r.addr())
			w.start()
			until[sched.Wants](w, 1)
			w.give(1, "hi\r\n", "x@b.test")
			w.give(2, "hi\r\n", "x@b.test")
			<-r.atDot
			w.agent.Close(sched.Close{Conn: 1, How: how})
			close(r.goOn)
			w.expect(`
				connected tls=false
				wants 2
				attempted 1: [0 delivered: dot: 250 taken]
				wants 1
				returned 2
				closed: ok
			`)
		})
	}
}

func TestAbortInsideATransaction(t *testing.T) {
	r := newReceiver(t)
	w := newWorld(t, r.addr())
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	w.give(2, "hi\r\n", "x@b.test")
	<-r.atDot
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseAbort})
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseAbort})
	const why = "4.4.2 we ended the connection waiting for the reply; it may have taken the message"
	until[sched.Returned](w, 1)
	if n := len(w.closed()); n != 0 {
		t.Error("Closed was reported before the receiver has let go")
	}
	close(r.goOn)
	w.expect("connected tls=false\nwants 2\nattempted 1: [0 local trouble: dot: " + why + "]\nreturned 2\nclosed: aborted: dot: " + why)
}

// TestClosedWhenTheReceiverHasLetGo: after QUIT and without it, the receiver's end of
// stream comes before Closed.
func TestClosedWhenTheReceiverHasLetGo(t *testing.T) {
	for name, how := range map[string]sched.CloseHow{"quit": sched.CloseNow, "abort": sched.CloseAbort} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			var early atomic.Bool
			r.beforeClose = func() {
				time.Sleep(20 * time.Millisecond) // time enough for a mistake to show
				r.gone.Store(true)
			}
			w := newWorld(t, r.addr())
			events := w.config.Events
			w.config.Events = func(e sched.Event) {
				if _, ok := e.(sched.Closed); ok && !r.gone.Load() {
					early.Store(true)
				}
				events(e)
			}
			w.start()
			until[sched.Wants](w, 1)
			w.agent.Close(sched.Close{Conn: 1, How: how})
			until[sched.Closed](w, 1)
			if early.Load() {
				t.Error("Closed was reported before the receiver has let go")
			}
			close(r.goOn)
		})
	}
}

func (w *world) closed() []sched.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []sched.Event
	for _, e := range w.events {
		if _, ok := e.(sched.Closed); ok {
			out = append(out, e)
		}
	}
	return out
}

// receiver is one that takes mail, and waits before it answers the dot.
type receiver struct {
	listener    net.Listener
	atDot       chan struct{} // closed at the first dot
	goOn        chan struct{} // then it waits for this
	beforeClose func()
	gone        atomic.Bool
}

func newReceiver(t *testing.T) *receiver {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{listener: l, atDot: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			r.serve(conn)
			if r.beforeClose != nil {
				r.beforeClose()
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return r
}

func (r *receiver) addr() netip.AddrPort { return r.listener.Addr().(*net.TCPAddr).AddrPort() }

func (r *receiver) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	say := func(s string) { _, _ = io.WriteString(conn, s+"\r\n") }
	say("220 hi")
	for waited := false; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch line = strings.TrimSpace(line); {
		case line == "DATA":
			say("354 go")
		case line == ".":
			if !waited {
				waited = true
				close(r.atDot)
				<-r.goOn
			}
			say("250 taken")
		case line == "QUIT":
			say("221 bye")
			return
		case strings.Contains(line, ":") || strings.HasPrefix(line, "EHLO"):
			say("250 ok")
		}
	}
}

func TestMessageThatCannotBeOpened(t *testing.T) {
	w := scripted(t, hello+taken+quit)
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "", "x@b.test", "y@b.test")
	w.give(2, "hi\r\n", "x@b.test")
	until[sched.Attempted](w, 2)
	if a := until[sched.Attempted](w, 1); a.Attempt.Envelope != nil || a.Attempt.Host != "mx.test" {
		t.Errorf("attempt %+v", a.Attempt)
	}
	until[sched.Wants](w, 3)
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseNow})
	why := "4.3.0 open message " + id(1).String() + ": no such message in the spool"
	w.expect("connected tls=false\nwants 2\nattempted 1: [0 local trouble: mail: " + why + "] [1 local trouble: mail: " + why + "]\nwants 1\n" +
		"attempted 2: [0 delivered: dot: 250 2.0.0 taken]\nwants 1\nclosed: ok")
}

func TestOutcomePerRecipient(t *testing.T) {
	w := scripted(t, hello+`
		C: MAIL FROM:<s@a.test>
		C: RCPT TO:<a@b.test>
		C: RCPT TO:<b@b.test>
		C: RCPT TO:<c@b.test>
		C: RCPT TO:<d@b.test>
		C: DATA
		S: 250 ok
		S: 452 4.5.3 too many
		S: 250 ok
		S: 550 5.1.1 who?
		S: 452 4.5.3 too many
		S: 354 go
		C: hi
		C: .
		S: 250 2.0.0 taken
	`+quit)
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "a@b.test", "b@b.test", "c@b.test", "d@b.test")
	got := until[sched.Attempted](w, 1)
	want := []mail.Class{mail.ClassDeferred, mail.ClassDelivered, mail.ClassRefused, mail.ClassTooMany}
	for i, o := range got.Outcomes {
		if o.Class != want[i] || o.Recipient != i {
			t.Errorf("recipient %d: %v", i, o)
		}
	}
	until[sched.Wants](w, 2)
	w.agent.Close(sched.Close{Conn: 1})
	until[sched.Closed](w, 1)
}

// A part that is not begun comes back when it is asked for, and at once; one that is begun
// stays.
func TestRecall(t *testing.T) {
	r := newReceiver(t)
	w := newWorld(t, r.addr())
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	w.give(2, "hi\r\n", "x@b.test")
	<-r.atDot
	for _, part := range []sched.PartID{1, 2, 2, 3} {
		w.agent.Recall(sched.Recall{Conn: 1, Part: part})
	}
	w.agent.Recall(sched.Recall{Conn: 7, Part: 2})
	if got := tell(until[sched.Returned](w, 1)); got != "returned 2" { // while 1 still waits
		t.Error(got)
	}
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseAfterMessage})
	close(r.goOn)
	w.expect(`
		connected tls=false
		wants 2
		returned 2
		attempted 1: [0 delivered: dot: 250 taken]
		wants 1
		closed: ok
	`)
}

// RSET clears what the message before has left: a receiver that does not answer it has not
// judged the next one, for which nothing is counted.
func TestRsetTimesOut(t *testing.T) {
	w := scripted(t, hello+`
		C: MAIL FROM:<s@a.test>
		C: RCPT TO:<x@b.test>
		C: DATA
		S: 250 ok
		S: 550 no such user
		S: 554 no recipients
		C: RSET
		C: MAIL FROM:<s@a.test>
		C: RCPT TO:<x@b.test>
		C: DATA
		close
	`)
	w.action.Policy.Session.RsetTimeout = 50 * time.Millisecond
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	until[sched.Attempted](w, 1)
	w.give(2, "hi\r\n", "x@b.test")
	w.expect(`
		connected tls=false
		wants 2
		attempted 1: [0 refused: rcpt: 550 no such user]
		wants 1
		returned 2
		closed: host: rset: 4.4.2 timed out waiting for the reply
	`)
}
