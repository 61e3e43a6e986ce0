package deliver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// told returns what a watcher has been told so far, a line each.
func told(w *Watcher) string {
	var b strings.Builder
	for {
		select {
		case l := <-w.Lines():
			if l.Lost > 0 {
				fmt.Fprintf(&b, "(lost %d)\n", l.Lost)
			}
			fmt.Fprintf(&b, "%s %s\n", l.Who, l.Text)
		default:
			return b.String()
		}
	}
}

func watch(t *testing.T, tr *Tracer, f TraceFilter) *Watcher {
	t.Helper()
	w, err := tr.Watch(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// TestTrace: a conversation as it goes, its content for those alone who asked for it.
func TestTrace(t *testing.T) {
	w := scripted(t, hello+taken+quit)
	w.config.Tracer = new(Tracer)
	all := watch(t, w.config.Tracer, TraceFilter{Domain: "b.test", Binding: "default", Host: "mx.test"})
	body := watch(t, w.config.Tracer, TraceFilter{Host: "127.0.0.1", Body: true})
	other := watch(t, w.config.Tracer, TraceFilter{Domain: "other.test"})
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	until[sched.Wants](w, 2)
	w.agent.Close(sched.Close{Conn: 1})
	until[sched.Closed](w, 1)
	want := fmt.Sprintf(`- connects to mx.test [127.0.0.1]:%d
- connected from 127.0.0.1
S 220 mx.test
C EHLO me.test
S 250-mx.test
S 250 PIPELINING
C MAIL FROM:<s@a.test>
C RCPT TO:<x@b.test>
C DATA
S 250 ok
S 250 ok
S 354 go
C (content: 4 octets)
C .
S 250 2.0.0 taken
- ends: ok
C QUIT
S 221 bye
- the receiver has let go
`, w.action.Port)
	if got := told(all); got != want {
		t.Errorf("told\n%swant\n%s", got, want)
	}
	if got, want := told(body), strings.Replace(want, "(content: 4 octets)", "hi", 1); got != want {
		t.Errorf("with content: told\n%swant\n%s", got, want)
	}
	if got := told(other); got != "" {
		t.Errorf("told somebody else\n%s", got)
	}
}

func traceOf(t *Tracer) *traced {
	return &traced{tracer: t, action: &sched.Connect{Conn: 7, Binding: "b", Domain: "one.test", Host: "mx.one.test", Address: netip.MustParseAddr("192.0.2.1"), Port: 25}}
}

// Content that comes in pieces, and logins, stay hidden; lines are bounded.
func TestTracedOctets(t *testing.T) {
	tr := new(Tracer)
	w, x := watch(t, tr, TraceFilter{}), traceOf(tr)
	if !x.Watching() {
		t.Fatal("nobody watches")
	}
	x.Sent(smtp.SentCommand, []byte("AUTH PLAIN "))
	x.Sent(smtp.SentSecret, nil)
	x.Sent(smtp.SentCommand, []byte("\r\nMAIL FROM:<a@b.test>\r\nDA"))
	x.Sent(smtp.SentCommand, []byte("TA\r\n"))
	x.Sent(smtp.SentContent, []byte("secret: "))
	x.Sent(smtp.SentContent, []byte("words"))
	x.Sent(smtp.SentCommand, []byte("\r\n.\r\nMAIL FROM:<"+strings.Repeat("x", 5000)+"\r\n"))
	x.Heard(mail.Reply{Code: 550, Enhanced: "5.7.1", Text: "no\n\x1b[2Jno"})
	want := "C AUTH PLAIN ***\nC MAIL FROM:<a@b.test>\nC DATA\nC (content: 13 octets)\nC .\nC MAIL FROM:<" + strings.Repeat("x", maxTraceLine-14) + "...\nS 550-5.7.1 no\nS 550 5.7.1 \x1b[2Jno\n"
	if got := told(w); got != want {
		t.Errorf("told\n%q\nwant\n%q", got, want)
	}
}

// A reader that does not read loses lines, and is told how many; nobody waits for it.
func TestTraceSlowReader(t *testing.T) {
	tr := new(Tracer)
	w, x := watch(t, tr, TraceFilter{}), traceOf(tr)
	for range watcherLines + 100 {
		x.note("something")
	}
	for range 10 {
		<-w.Lines()
	}
	x.note("more")
	if got := told(w); !strings.HasSuffix(got, "- something\n(lost 100)\n- more\n") || strings.Count(got, "\n") != watcherLines-10+2 {
		t.Errorf("told %d lines, the last: %s", strings.Count(got, "\n"), got[max(0, len(got)-100):])
	}
}

func TestTraceWatchers(t *testing.T) {
	tr := new(Tracer)
	for range maxWatchers {
		watch(t, tr, TraceFilter{})
	}
	if _, err := tr.Watch(TraceFilter{}); !errors.Is(err, ErrWatchers) {
		t.Errorf("one more: %v", err)
	}
	tr.all()[0].Close()
	last := watch(t, tr, TraceFilter{})
	tr.End()
	<-last.Done()
	if traceOf(tr).Watching() {
		t.Error("the end has come, and somebody watches")
	}
	late := watch(t, tr, TraceFilter{})
	<-late.Done()
}

// While nobody watches, nothing is done.
func TestTraceOff(t *testing.T) {
	x := traceOf(new(Tracer))
	if n := testing.AllocsPerRun(100, func() {
		if x.Watching() {
			t.Error("somebody watches")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTraceOff(b *testing.B) {
	x := traceOf(new(Tracer))
	for b.Loop() {
		x.Watching()
	}
}
