package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type testMessage struct {
	*bytes.Reader
	env *mail.Envelope
	raw []byte
}

func (m testMessage) Envelope() *mail.Envelope { return m.env }
func (m testMessage) Bytes() []byte            { return m.raw }
func (m testMessage) Close()                   {}

// world is an agent with its events written down, one line for each.
type world struct {
	t      *testing.T
	agent  *Agent
	config Config
	action sched.Connect

	mu     sync.Mutex
	happen *sync.Cond
	events []sched.Event
	opened map[mail.ID]testMessage
}

func id(n int) mail.ID { return mail.NewID(int64(n), [10]byte{}) }

func newWorld(t *testing.T, addr netip.AddrPort) *world {
	w := &world{t: t, opened: map[mail.ID]testMessage{}}
	w.happen = sync.NewCond(&w.mu)
	w.config = Config{Events: w.event, Open: w.open}
	s := &policy.Session{
		EHLO: "me.test", ConnectTimeout: patience, GreetingTimeout: patience, EHLOTimeout: patience, TLSTimeout: patience,
		MailTimeout: patience, RcptTimeout: patience, DataTimeout: patience, DataBlockTimeout: patience, BodyTimeout: patience,
		RsetTimeout: patience, QuitTimeout: patience, UsePipelining: true, UseChunking: true,
	}
	w.action = sched.Connect{
		Conn: 1, Binding: "default", Domain: "b.test", Host: "mx.test", TLS: sched.TLSNo,
		Address: addr.Addr(), Port: addr.Port(), Policy: &policy.Queue{Session: s},
	}
	return w
}

const patience = 5 * time.Second

// scripted is a world whose receiver plays scripts.
func scripted(t *testing.T, scripts ...string) *world {
	return newWorld(t, smtptest.Serve(t, scripts...).Addr().AddrPort())
}

func (w *world) start() {
	w.agent = New(w.config)
	w.agent.Start(w.action)
	w.t.Cleanup(w.agent.Wait)
}

// startGated starts the connection; it dials when the function returned is called, so
// that parts can be there before.
func (w *world) startGated() (connect func()) {
	gate := make(chan struct{})
	w.config.Dial = func(ctx context.Context, c *sched.Connect) (net.Conn, error) {
		<-gate
		return dial(ctx, c)
	}
	w.start()
	return func() { close(gate) }
}

// give makes a message known with the content and gives it to the connection.
func (w *world) give(n int, content string, to ...string) {
	w.t.Helper()
	env := &mail.Envelope{ID: id(n), Sender: mail.Address{Local: "s", Domain: "a.test"}}
	part := sched.Deliver{Conn: w.action.Conn, Part: sched.PartID(n), Message: env.ID}
	for i, r := range to {
		local, domain, _ := strings.Cut(r, "@")
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address{Local: local, Domain: domain}, Domain: domain})
		part.Recipients = append(part.Recipients, i)
	}
	w.mu.Lock()
	if content != "" {
		w.opened[env.ID] = testMessage{bytes.NewReader([]byte(content)), env, []byte(content)}
	}
	w.mu.Unlock()
	w.agent.Deliver(part)
}

func (w *world) open(id mail.ID) (Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.opened[id]
	if !ok {
		return nil, errors.New("no such message in the spool")
	}
	return m, nil
}

func (w *world) event(e sched.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	w.happen.Broadcast()
}

// until waits for the n-th event of type E.
func until[E sched.Event](w *world, n int) E {
	w.t.Helper()
	timer := time.AfterFunc(2*patience, func() { w.happen.Broadcast() })
	defer timer.Stop()
	limit := time.Now().Add(2 * patience)
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		seen := 0
		for _, e := range w.events {
			if e, ok := e.(E); ok {
				if seen++; seen == n {
					return e
				}
			}
		}
		if time.Now().After(limit) {
			var e E
			w.t.Fatalf("no %T number %d within %v; events: %v", e, n, 2*patience, w.events)
		}
		w.happen.Wait()
	}
}

// told waits for the end of the connection and returns its events as text.
func (w *world) told() string {
	w.t.Helper()
	until[sched.Closed](w, 1)
	w.agent.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintln(&b, tell(e))
	}
	return b.String()
}

func tell(e sched.Event) string {
	switch e := e.(type) {
	case sched.Connected:
		return fmt.Sprintf("connected tls=%t", e.TLS)
	case sched.ConnectFailed:
		return fmt.Sprintf("connect failed: %v: %s: %s", e.Class, e.Reply.Stage, e.Reply)
	case sched.Wants:
		return fmt.Sprintf("wants %d", e.N)
	case sched.Attempted:
		s := fmt.Sprintf("attempted %d:", e.Part)
		for _, o := range e.Outcomes {
			s += fmt.Sprintf(" [%d %v: %s: %s]", o.Recipient, o.Class, o.Reply.Stage, o.Reply)
		}
		return s
	case sched.Returned:
		return fmt.Sprintf("returned %d", e.Part)
	case sched.Closed:
		if e.Reply.IsZero() {
			return fmt.Sprintf("closed: %v", e.Class)
		}
		if e.Reply.Stage == mail.StageNone {
			return fmt.Sprintf("closed: %v: %s", e.Class, e.Reply)
		}
		return fmt.Sprintf("closed: %v: %s: %s", e.Class, e.Reply.Stage, e.Reply)
	}
	return fmt.Sprintf("%T", e)
}

// expect compares the events with what is written, blanks at the start of lines apart.
func (w *world) expect(want string) {
	w.t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if got := strings.TrimSpace(w.told()); got != strings.Join(lines, "\n") {
		w.t.Errorf("events:\n%s\nwant:\n%s", got, strings.Join(lines, "\n"))
	}
}

const (
	hello = `
		S: 220 mx.test
		C: EHLO me.test
		S: 250-mx.test
		S: 250 PIPELINING
	`
	envelope = `
		C: MAIL FROM:<s@a.test>
		C: RCPT TO:<x@b.test>
		C: DATA
	`
	taken = envelope + `
		S: 250 ok
		S: 250 ok
		S: 354 go
		C: hi
		C: .
		S: 250 2.0.0 taken
	`
	quit = `
		C: QUIT
		S: 221 bye
		close
	`
)

func TestTwoMessagesThenIdleThenClose(t *testing.T) {
	w := scripted(t, hello+taken+taken+taken+quit)
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	w.give(2, "hi\r\n", "x@b.test")
	until[sched.Wants](w, 3) // it is idle now, or soon
	w.give(3, "hi\r\n", "x@b.test")
	a := until[sched.Attempted](w, 3).Attempt
	if a.Host != "mx.test" || a.Envelope.ID != id(3) || !a.Local.IsLoopback() || a.Remote.Port() != w.action.Port ||
		fmt.Sprint(a.Ehlo) != "[PIPELINING]" || a.TLS != "" || a.Ended < a.Started || a.Started == 0 {
		t.Errorf("attempt: %+v", a)
	}
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
	w.agent.Deliver(sched.Deliver{Conn: 1, Part: 9})
	w.agent.Close(sched.Close{Conn: 1})
	if got := tell(until[sched.Returned](w, 1)); got != "returned 9" {
		t.Errorf("a part for a connection that has ended: %s", got)
	}
	if n := w.agent.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestOpeningFails(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{
			"busy", "S: 421 4.7.0 too many\nclose",
			"connect failed: busy: greeting: 421 4.7.0 too many\nclosed: busy: greeting: 421 4.7.0 too many",
		},
		{
			"no mail here", "S: 521 5.3.2 no mail\nC: QUIT\nS: 221 bye\nclose",
			"connect failed: never: greeting: 521 5.3.2 no mail\nclosed: never: greeting: 521 5.3.2 no mail",
		},
		{
			"EHLO deferred", "S: 220 hi\nC: EHLO me.test\nS: 451 later\nC: QUIT\nS: 221 bye\nclose",
			"connect failed: host: ehlo: 451 later\nclosed: host: ehlo: 451 later",
		},
		{
			"not SMTP", "S: SSH-2.0-x\nclose",
			`connect failed: host: greeting: 4.5.0 protocol error: not a reply: "SSH-2.0-x" (waiting for the reply)` + "\n" +
				`closed: host: greeting: 4.5.0 protocol error: not a reply: "SSH-2.0-x" (waiting for the reply)`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := scripted(t, tt.script)
			w.start()
			w.expect(tt.want)
		})
	}
}

func TestDialFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	w := newWorld(t, addr)
	w.start()
	if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectHost || !strings.Contains(got.Reply.Text, "connection refused") {
		t.Errorf("got %v", tell(got))
	}
	if got := until[sched.Closed](w, 1); got.Class != sched.ConnectHost {
		t.Errorf("got %v", tell(got))
	}
}

func TestAbortWhileDialing(t *testing.T) {
	w := newWorld(t, netip.MustParseAddrPort("127.0.0.1:1"))
	dialing := make(chan struct{})
	w.config.Dial = func(ctx context.Context, _ *sched.Connect) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w.start()
	<-dialing
	w.agent.Close(sched.Close{Conn: 1, How: sched.CloseAbort})
	if got := until[sched.Closed](w, 1); got.Class != sched.ConnectAborted {
		t.Errorf("got %v", tell(got))
	}
}
