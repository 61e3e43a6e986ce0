package smtp

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// bytesConn says what it was given and keeps what it is told.
type bytesConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *bytesConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *bytesConn) Close() error                     { return nil }
func (c *bytesConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *bytesConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *bytesConn) SetDeadline(time.Time) error      { return nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzClientSession lets a receiver say anything. The session ends, every recipient has
// an outcome, what we send keeps to the line ends of SMTP, and the end of the data is
// sent only after 354.
func FuzzClientSession(f *testing.F) {
	files, _ := filepath.Glob("testdata/sessions/*.txt")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := &bytesConn{in: bytes.NewReader(in)}
		c := NewClient(conn, never())
		ok := func(rep mail.Reply, err error) bool { return err == nil && rep.Class() == 2 }
		if ok(c.Greeting()) && ok(c.Hello("me.test")) {
			c.Use(AllFeatures, Habits{Proven: Feature(len(in) % 8)})
			var all []*Transaction
			for _, content := range []ClientContent{inMemory("a\r\n.b\r\n"), onDisk("\r\n.\r\n"), inMemory("x")} {
				tx := transaction(content, "x@b.test", "y@b.test", "ü@b.test")
				tx.Envelope.EightBit = true
				if n := len(all); n > 0 && len(in)%3 > 0 {
					all[n-1].Next = func() *Transaction { return tx }
				}
				all = append(all, tx)
			}
			for _, tx := range all {
				err := c.Transact(tx)
				for i, r := range tx.Results {
					if r.Reply.IsZero() || len(r.Reply.Text) > mail.MaxReply || r.accepted {
						t.Fatalf("recipient %d: %+v", i, r)
					}
				}
				if err != nil && c.ahead == nil {
					break
				}
			}
			_ = c.Idle()
		}
		c.Close(true)
		if c.out != nil {
			t.Error("a buffer was not given back")
		}
		wire := conn.out.Bytes()
		if bytes.Count(wire, []byte("\r\n")) != bytes.Count(wire, []byte("\n")) || bytes.Count(wire, []byte("\r")) != bytes.Count(wire, []byte("\n")) {
			t.Errorf("bare line ends were sent: %q", wire)
		}
		if dots := bytes.Count(wire, []byte("\r\n.\r\n")); dots > bytes.Count(in, []byte("3")) {
			t.Errorf("%d ends of data: %q", dots, wire)
		}
	})
}
