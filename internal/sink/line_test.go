package sink

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// On a line, n commands that wait for each other take n round trips at least, and n
// pipelined ones far less than that: they are under way together.
func TestLinePipelines(t *testing.T) {
	const rtt, n = 20 * time.Millisecond, 50
	s := start(t, Options{Latency: rtt})
	c := dial(t, s.Addr()).hello()
	begin := time.Now()
	for range n {
		c.do("NOOP", "250")
	}
	if took := time.Since(begin); took < n*rtt {
		t.Errorf("%d commands one by one took %s, want at least %s", n, took, n*rtt)
	}
	begin = time.Now()
	_, _ = io.WriteString(c.conn, strings.Repeat("NOOP\r\n", n))
	for range n {
		c.want("250")
	}
	if took := time.Since(begin); took < rtt || took >= n*rtt/2 {
		t.Errorf("%d commands at once took %s, want %s or a little more", n, took, rtt)
	}
}

// A body of many windows goes through whole, in order.
func TestLineKeepsOctetsAndOrder(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Latency: 2 * time.Millisecond, Dump: dir})
	var body bytes.Buffer
	body.WriteString("Message-ID: <big>\r\n\r\n")
	for i := 0; body.Len() < 4*lineWindow; i++ {
		fmt.Fprintf(&body, "%d and a dot after the line end\r\n", i)
	}
	c := dial(t, s.Addr()).hello()
	c.do("MAIL FROM:<a@b>", "250")
	c.do("RCPT TO:<c@d>", "250")
	c.do("DATA", "354")
	_, _ = c.conn.Write(body.Bytes())
	c.do(".", "250")
	if got := readFile(t, dir+"/1.eml"); got != body.String() {
		t.Errorf("the body of %d octets came as %d others", body.Len(), len(got))
	}
}

// The client's close reaches the sink's conversation half a round trip later, but the
// count follows the real socket; the sink's own close counts until it is done.
func TestLineCountsTheRealSocket(t *testing.T) {
	s := start(t, Options{Latency: time.Hour})
	c := dial(t, s.Addr())
	eventually(t, s, "the connection", func(r Report) bool { return r.Connections.Open == 1 })
	_ = c.conn.Close()
	eventually(t, s, "the close, long before it has crossed the line", func(r Report) bool { return r.Connections.Open == 0 })
	dial(t, s.Addr())
	if r := eventually(t, s, "the second", func(r Report) bool { return r.Connections.Open == 1 }); r.Connections.Peak != 1 {
		t.Errorf("peak %d, want 1", r.Connections.Peak)
	}
}

func TestThinkDelaysEachReply(t *testing.T) {
	const think, n = 5 * time.Millisecond, 10
	s := start(t, Options{Think: think})
	begin := time.Now()
	c := dial(t, s.Addr()).hello()
	_, _ = io.WriteString(c.conn, strings.Repeat("NOOP\r\n", n))
	for range n {
		c.want("250")
	}
	if took := time.Since(begin); took < (n+2)*think {
		t.Errorf("%d replies took %s, want at least %s", n+2, took, (n+2)*think)
	}
}

// The kernel is asked about a reset and about an end behind unread octets.
func TestKernelShowsCloses(t *testing.T) {
	r := newReferee(Options{}, []string{"l"})
	for _, tt := range []struct {
		name  string
		close func(fd int)
		gone  bool
	}{
		{"open", func(int) {}, false},
		{"octets unread", func(fd int) { _, _ = unix.Write(fd, []byte("x")) }, false},
		{"closed behind unread octets", func(fd int) {
			_, _ = unix.Write(fd, []byte("x"))
			_ = unix.Shutdown(fd, unix.SHUT_WR)
		}, true},
		{"reset", func(fd int) {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			_ = unix.Close(fd)
		}, true},
	} {
		client, server := tcpPair(t)
		tt.close(client)
		settle(server)
		s := &socket{fd: server}
		if got := len(r.kernel.closedByClient(map[*socket]struct{}{s: {}})) == 1; got != tt.gone {
			t.Errorf("%s: shown closed %t, want %t", tt.name, got, tt.gone)
		}
		_ = unix.Close(server)
		if tt.name != "reset" {
			_ = unix.Close(client)
		}
	}
}

// tcpPair returns two connected descriptors.
func tcpPair(t *testing.T) (client, server int) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	defer func() { _ = unix.Close(l) }()
	check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(l, 1))
	at, err := unix.Getsockname(l)
	check(err)
	client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	check(unix.Connect(client, at))
	server, _, err = unix.Accept4(l, unix.SOCK_CLOEXEC)
	check(err)
	return client, server
}
