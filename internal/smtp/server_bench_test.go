package smtp

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

// countHandler reads messages and forgets them.
type countHandler struct{ sum int64 }

func (h *countHandler) NewSession(*ServerConn) (Session, mail.Reply)  { return h, mail.Reply{} }
func (h *countHandler) Mail(mail.Address, *MailParams) mail.Reply     { return mail.Reply{} }
func (h *countHandler) Rcpt(mail.Address, *RcptParams) (r mail.Reply) { return }
func (h *countHandler) BeforeData() mail.Reply                        { return mail.Reply{} }
func (h *countHandler) Reset()                                        {}
func (h *countHandler) Close()                                        {}
func (h *countHandler) Data(content *Content) mail.Reply {
	for {
		p, err := content.Next()
		if err != nil {
			return mail.Reply{}
		}
		h.sum += int64(len(p))
	}
}

// repeatConn says the same message n times.
type repeatConn struct {
	textConn
	hello, message []byte
	n              int
}

func (c *repeatConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		switch {
		case c.hello != nil:
			c.in, c.hello = c.hello, nil
		case c.n > 0:
			c.in = c.message
			c.n--
		default:
			return 0, io.EOF
		}
	}
	c.out.Reset()
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func benchBody(size int) string {
	return "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78)
}

// BenchmarkServer is the cost of taking a pipelined message, without a network.
func BenchmarkServer(b *testing.B) {
	const envelope = "MAIL FROM:<sender@example.test> SIZE=10240\r\nRCPT TO:<someone@example.test>\r\n"
	for _, c := range []struct{ name, message string }{
		{"DATA 2 KB", envelope + "DATA\r\n" + benchBody(2<<10) + ".\r\n"},
		{"DATA 10 KB", envelope + "DATA\r\n" + benchBody(10<<10) + ".\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.message)))
			h := &countHandler{}
			s := NewServer(ServerConfig{}, h)
			s.ServeConn(&repeatConn{hello: []byte("EHLO c\r\n"), message: []byte(c.message), n: b.N})
			if h.sum == 0 {
				b.Fatal("nothing taken")
			}
		})
	}
}

// BenchmarkServerLoopback adds the kernel: a client that writes messages of 10 KB without waiting.
func BenchmarkServerLoopback(b *testing.B) {
	h := &countHandler{}
	s := NewServer(ServerConfig{}, h)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	message := []byte("MAIL FROM:<sender@example.test>\r\nRCPT TO:<someone@example.test>\r\nDATA\r\n" + benchBody(10<<10) + ".\r\n")
	b.ReportAllocs()
	go func() {
		_, _ = c.Write([]byte("EHLO c\r\n"))
		for range b.N {
			if _, err := c.Write(message); err != nil {
				return
			}
		}
		_, _ = c.Write([]byte("QUIT\r\n"))
	}()
	all, err := io.ReadAll(c)
	if err != nil || bytes.Count(all, []byte("250 2.0.0 Ok")) != b.N {
		b.Fatal(err, len(all))
	}
}
