package deliver

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// meter counts what the client reads and how much room it offers for it.
type meter struct {
	net.Conn
	mu    sync.Mutex
	read  int // octets, while the session lasts
	after int // octets, once our stream has ended
	room  int
	ended bool
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = max(m.room, len(p))
	if m.ended {
		m.after += n
	} else {
		m.read += n
	}
	return n, err
}

func (m *meter) CloseWrite() error {
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	return m.Conn.(*net.TCPConn).CloseWrite()
}

// TestZoo sends to each receiver of the zoo what its file says, over a real client and a
// real connection; what becomes of it is what the file says, and no receiver makes us read
// or hold more than so many octets.
func TestZoo(t *testing.T) {
	zoo, err := smtptest.Zoo()
	if err != nil {
		t.Fatal(err)
	}
	if len(zoo) < 60 {
		t.Errorf("the zoo has %d receivers, want 60", len(zoo))
	}
	for _, c := range zoo {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			visit(t, c)
		})
	}
}

var zooTLS = map[string]sched.TLS{
	"no": sched.TLSNo, "if-available": sched.TLSIfAvailable, "required": sched.TLSRequired, "verified": sched.TLSVerifyHost,
}

func visit(t *testing.T, c *smtptest.Conversation) {
	receiver, err := c.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := receiver.Close(); err != nil {
			t.Error(err)
		}
	}()
	roots, err := smtptest.Roots()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, receiver.Addr().AddrPort())
	w.config.TLS = smtp.NewClientTLS(roots)
	w.action.Host, w.action.TLS = smtptest.HostName, zooTLS[c.TLS]
	hasten(w.action.Policy.Session, c.Timeouts)
	var m meter
	gate := make(chan struct{})
	w.config.Dial = func(ctx context.Context, action *sched.Connect) (net.Conn, error) {
		<-gate
		conn, err := dial(ctx, action)
		m.Conn = conn
		return &m, err
	}
	w.start()
	for n := 1; n <= c.Messages; n++ {
		w.give(n, zooContent(c.Size), zooRecipients(c)...)
	}
	close(gate)
	w.converse(c)
	w.compare(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read > c.Octets {
		t.Errorf("%d octets were read of what it said, want at most %d", m.read, c.Octets)
	}
	if limit := 1<<20 + m.room; m.after > limit {
		t.Errorf("%d octets were read after the end, want at most %d", m.after, limit)
	}
	if limit := mail.MaxReply + 4096; m.room > limit {
		t.Errorf("room for %d octets at once, want at most %d", m.room, limit)
	}
}

func hasten(s *policy.Session, timeouts map[string]time.Duration) {
	fields := map[string]*time.Duration{
		"connect": &s.ConnectTimeout, "greeting": &s.GreetingTimeout, "ehlo": &s.EHLOTimeout, "tls": &s.TLSTimeout,
		"mail-from": &s.MailTimeout, "rcpt-to": &s.RcptTimeout, "data": &s.DataTimeout, "data-block": &s.DataBlockTimeout,
		"body": &s.BodyTimeout, "rset": &s.RsetTimeout, "quit": &s.QuitTimeout,
	}
	for what, d := range timeouts {
		*fields[what] = d
	}
}

func zooRecipients(c *smtptest.Conversation) []string {
	to := make([]string, len(c.To))
	for i, local := range c.To {
		to[i] = local + "@b.test"
	}
	return to
}

func zooContent(size int) string {
	const head = "Subject: a visit\r\n\r\n.\r\nfine weather\r\n"
	const line = "a message that is large enough to be in the way of somebody\r\n"
	return head + strings.Repeat(line, max(0, size-len(head))/len(line))
}

// converse waits until every message has been answered, and closes a connection that is
// still there.
func (w *world) converse(c *smtptest.Conversation) {
	w.t.Helper()
	for n := 1; n <= c.Messages; n++ {
		if !w.answered(n) {
			break
		}
	}
	if !c.Idle {
		w.agent.Close(sched.Close{Conn: w.action.Conn, How: sched.CloseNow})
	}
	until[sched.Closed](w, 1)
	w.agent.Wait()
}

// answered waits for the n-th answer, or for the end of the connection (false).
func (w *world) answered(n int) bool {
	timer := time.AfterFunc(4*patience, w.happen.Broadcast)
	defer timer.Stop()
	limit := time.Now().Add(4 * patience)
	w.mu.Lock()
	defer w.mu.Unlock()
	for time.Now().Before(limit) {
		seen := 0
		for _, e := range w.events {
			switch e.(type) {
			case sched.Attempted, sched.Returned:
				seen++
			case sched.Closed:
				return false
			}
		}
		if seen >= n {
			return true
		}
		w.happen.Wait()
	}
	w.t.Fatalf("message %d has no answer; events: %v", n, w.events)
	return false
}

// compare holds the events against what the conversation expects.
func (w *world) compare(c *smtptest.Conversation) {
	w.t.Helper()
	told := w.told()
	got := make([][]string, c.Messages)
	end, said := "", ""
	for _, e := range w.events {
		switch e := e.(type) {
		case sched.ConnectFailed:
			said += e.Reply.String() + "\n"
			for i := range got {
				got[i] = slices.Repeat([]string{"trouble"}, len(c.To))
			}
		case sched.Attempted:
			for _, o := range e.Outcomes {
				got[e.Part-1] = append(got[e.Part-1], zooOutcome(o.Class))
				if o.Class != mail.ClassDelivered {
					said += o.Reply.String() + "\n"
				}
			}
		case sched.Returned:
			if got[e.Part-1] == nil {
				got[e.Part-1] = slices.Repeat([]string{"returned"}, len(c.To))
			}
		case sched.Closed:
			end = e.Class.String()
		}
	}
	if !slices.EqualFunc(got, c.Expect, slices.Equal) {
		w.t.Errorf("got %v, want %v; events:\n%s", got, c.Expect, told)
	}
	if c.Ends != "" && end != c.Ends {
		w.t.Errorf("the connection ended as %s, want %s; events:\n%s", end, c.Ends, told)
	}
	if !strings.Contains(said, c.Says) {
		w.t.Errorf("reported was %q, want %q; events:\n%s", said, c.Says, told)
	}
}

func zooOutcome(c mail.Class) string {
	switch c {
	case mail.ClassRefused:
		return "bounced"
	case mail.ClassTooMany:
		return "again"
	default:
		return c.String()
	}
}
