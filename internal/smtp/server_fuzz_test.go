package smtp

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// textConn is a client whose words are all known beforehand. They arrive in pieces of
// step octets, then the connection ends.
type textConn struct {
	in   []byte
	step int
	out  bytes.Buffer
}

func (c *textConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.step)], c.in)
	c.in = c.in[n:]
	return n, nil
}
func (c *textConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *textConn) Close() error                { return nil }
func (c *textConn) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (c *textConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *textConn) SetDeadline(time.Time) error      { return nil }
func (c *textConn) SetReadDeadline(time.Time) error  { return nil }
func (c *textConn) SetWriteDeadline(time.Time) error { return nil }

var replyLine = regexp.MustCompile(`^[2-5][0-9][0-9][ -](\d\.\d{1,3}\.\d{1,3} )?[^\x00-\x1f\x7f]*$`)

// converse runs a session and checks that each reply is well-formed.
func converse(t *testing.T, input []byte, step int, normalize bool) (string, []message) {
	h := &testHandler{logins: map[string]string{"u": "p"}}
	s := NewServer(ServerConfig{Auth: true, AuthDelay: -1, Normalize: normalize, MaxMessageSize: 10000, MaxLine: 2000, MaxRecipients: 5}, h)
	c := &textConn{in: slices.Clone(input), step: step}
	s.ServeConn(c)
	said := c.out.String()
	if !strings.HasSuffix(said, "\r\n") {
		t.Fatalf("%q: replies %q", input, said)
	}
	code := ""
	for _, line := range strings.Split(strings.TrimSuffix(said, "\r\n"), "\r\n") {
		if !replyLine.MatchString(line) || len(line) > 510 || code != "" && line[:3] != code {
			t.Fatalf("%q: reply %q in %q", input, line, said)
		}
		if code = ""; line[3] == '-' {
			code = line[:3]
		}
	}
	if code != "" {
		t.Fatalf("%q: the last reply does not end: %q", input, said)
	}
	for _, m := range h.taken() {
		if left := strings.ReplaceAll(m.content, "\r\n", ""); strings.ContainsAny(left, "\r\n\x00") || len(m.content) > 10002 || len(m.rcpts) == 0 || len(m.rcpts) > 5 {
			t.Fatalf("%q: accepted %q for %v", input, m.content, m.rcpts)
		}
	}
	return said, h.taken()
}

func FuzzServerSession(f *testing.F) {
	for _, s := range []string{
		"EHLO c\r\nMAIL FROM:<a@b.test> SIZE=10\r\nRCPT TO:<c@d.test>\r\nDATA\r\nA: b\r\n\r\n..x\r\n.\r\nQUIT\r\n",
		"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster> NOTIFY=NEVER\r\nDATA\r\na\n.\r\nb\r\r\n.\r\nRSET\r\n",
		"EHLO c\r\nMAIL FROM:<a@b.test> ENVID=x+2B RET=HDRS BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<\"a b\"@[IPv6:::1]> ORCPT=rfc822;x\r\nBDAT 3\r\nabcBDAT 0\r\nNOOP\r\nBDAT 2 LAST\r\n\r\nBDAT 1 LAST\r\nxQUIT\r\n",
		"EHLO c\r\nAUTH PLAIN AHUAcA==\r\nAUTH LOGIN\r\nRSET\r\nSTARTTLS\r\nVRFY x\r\nHELP\r\nEXPN\r\nNOOP\n\x00\r\n",
		"EHLO c\r\nMAIL FROM:<a@b.test> BY=120;RT HOLDFOR=60 REQUIRETLS\r\nMAIL FROM:<> BY=-1;N HOLDUNTIL=2030-01-01T00:00:00Z\r\n",
		"EHLO c\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\nAUTH PLAIN\r\n*\r\nMAIL FROM:<@x.test:a@b.test>\r\n",
	} {
		f.Add([]byte(s), 1, false)
		f.Add([]byte(s), 7, true)
	}
	f.Fuzz(func(t *testing.T, input []byte, step int, normalize bool) {
		if len(input) > 1<<16 {
			return
		}
		// However the octets come in, the conversation is the same.
		said, taken := converse(t, input, 1<<20, normalize)
		again, takenAgain := converse(t, input, 1+(step&0xfff), normalize)
		if said != again || len(taken) != len(takenAgain) {
			t.Fatalf("%q: at once %q\nin steps %q", input, said, again)
		}
		for i := range taken {
			if taken[i].content != takenAgain[i].content {
				t.Fatalf("%q: at once %q, in steps %q", input, taken[i].content, takenAgain[i].content)
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"<>", "<a@b.test>", `<"a b\"c"@b.test> X`, "<@x.test,@y.test:a@b.test>", "<a@[127.0.0.1]>", "<a@[IPv6:::1]>", "<postmaster>", "<\xc3\xbc@\xc3\xbc.test>", "<a@b.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, rest, ok := cutPath([]byte(s))
		if !ok {
			return
		}
		if len(rest) > 0 && rest[0] != ' ' {
			t.Fatalf("%q leaves %q", s, rest)
		}
		if a.IsNull() {
			return
		}
		text := a.String()
		if strings.ContainsAny(text, "\r\n\x00") || len(text) > maxPath || len(text) > len(s) {
			t.Fatalf("%q gives %q", s, text)
		}
		// What was parsed is parsed again as the same.
		b, rest, ok := cutPath([]byte("<" + text + ">"))
		if !ok || a != b || len(rest) > 0 {
			t.Fatalf("%q gives %+v, then %+v", s, a, b)
		}
	})
}
