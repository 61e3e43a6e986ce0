package sink

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test; none passes because of it.
const patience = 20 * time.Second

// start runs a sink for one test and closes it at its end.
func start(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close sink: %v", err)
		}
	})
	return s
}

// client is a raw client of a test.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	return dialFrom(t, "127.0.0.1", address)
}

func dialFrom(t *testing.T, source, address string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, format+"\r\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads a whole reply and returns its last line.
func (c *client) reply() string {
	c.t.Helper()
	for {
		l, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read reply: %v (got %q)", err, l)
		}
		if len(l) < 4 || l[3] != '-' {
			return strings.TrimRight(l, "\r\n")
		}
	}
}

func (c *client) want(prefix string) {
	c.t.Helper()
	if got := c.reply(); !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("reply %q, want %s", got, prefix)
	}
}

// do sends a command and wants a reply.
func (c *client) do(command, prefix string) {
	c.t.Helper()
	c.send("%s", command)
	c.want(prefix)
}

func (c *client) hello() *client {
	c.t.Helper()
	c.want("220 ")
	c.do("EHLO client.test", "250 ")
	return c
}

// message sends one message with an id and wants prefix for its content.
func (c *client) message(id, rcpt, prefix string) {
	c.t.Helper()
	c.do("MAIL FROM:<a@b.test>", "250")
	c.do("RCPT TO:<"+rcpt+">", "250")
	c.do("DATA", "354")
	c.send("Message-ID: %s\r\n\r\nhello\r\n.", id)
	c.want(prefix)
}

// ended wants the end of stream or a reset, whatever comes before.
func (c *client) ended() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil && isTimeout(err) {
		c.t.Fatalf("connection still open: %v", err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// silent wants that nothing comes for a moment and the connection stays open.
func (c *client) silent() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	b, err := c.r.ReadByte()
	if err == nil || !isTimeout(err) {
		c.t.Fatalf("want silence, got octet %q, error %v", b, err)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
}

// eventually waits until a report is as wanted.
func eventually(t *testing.T, s *Sink, what string, ok func(Report) bool) Report {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		r := s.Report()
		if ok(r) {
			return r
		}
		if time.Now().After(end) {
			b, _ := json.Marshal(r)
			t.Fatalf("never saw %s: %s", what, b)
		}
		time.Sleep(time.Millisecond)
	}
}
