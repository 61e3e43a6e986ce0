package smtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestClientContent sends content of every awkward shape, in memory and from disk, and
// compares what a server of ours takes from the wire.
func TestClientContent(t *testing.T) {
	line := strings.Repeat("0123456789", 7) + "\r\n"
	for _, content := range []string{
		"", "\r\n", ".\r\n", "..\r\n", "a", "a\r\n.b\r\n", ".\r\n.\r\n.\r\n",
		strings.Repeat(line, 2000),
		strings.Repeat(".\r\n", 50_000),
		strings.Repeat("a", clientBlock-1) + "\r\n.x\r\n",
		strings.Repeat("a", clientBlock-2) + "\r\n.x\r\n",
		strings.Repeat("a", clientBlock) + "\r\n.x\r\n",
		strings.Repeat("a", clientBlock-3) + "\r\n.\r\n",
	} {
		for _, c := range []ClientContent{inMemory(content), onDisk(content)} {
			wire := new(bytes.Buffer)
			client := NewClient(recorder{Buffer: wire}, patient)
			tx := transaction(c, "x@b.test")
			tx.begin()
			if client.prepare(tx); tx.answered {
				t.Fatalf("refused: %v", codes(tx))
			}
			if e := client.sendContent(tx); e != nil {
				t.Fatal(e)
			}
			want := strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:]
			if content != "" && !strings.HasSuffix(content, "\r\n") {
				want += "\r\n"
			}
			if want += ".\r\n"; wire.String() != want {
				t.Errorf("content of %d octets: got %.80q", len(content), wire)
			}
		}
	}
}

func TestClientRefusesBareLineEnds(t *testing.T) {
	pad := strings.Repeat("a", clientBlock-1)
	for _, content := range []string{
		"\n", "\r", "a\n", "a\r", "a\r\r\n", "\r\n\n", "a\nb\r\n", "a\rb\r\n", "\n.\r\n", "\n.\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\r\n.\r\r\n",
		pad + "\r" + "b\r\n", pad + "a\n", pad + "\r\r\n", pad[1:] + "\r\n" + "\n",
	} {
		for _, ct := range []ClientContent{inMemory(content), onDisk(content)} {
			wire := new(bytes.Buffer)
			client := NewClient(recorder{Buffer: wire}, patient)
			tx := transaction(ct, "x@b.test")
			tx.begin()
			if client.prepare(tx); !tx.answered {
				e := client.sendContent(tx)
				if e == nil || e.Reply.Enhanced != "5.6.0" || e.Kind != EndLocal {
					t.Errorf("%.20q…%q was sent: %v", content, content[max(0, len(content)-6):], e)
				}
				if strings.HasSuffix(wire.String(), "\r\n.\r\n") {
					t.Error("the end of the data was sent")
				}
			} else if got := codes(tx); !strings.HasPrefix(got, "5.6.0") {
				t.Errorf("got %q", got)
			}
			client.drop()
		}
	}
}

// recorder keeps what is written.
type recorder struct {
	*bytes.Buffer
	net.Conn
}

func (r recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r recorder) Write(b []byte) (int, error)      { return r.Buffer.Write(b) }
func (r recorder) Close() error                     { return nil }
func (r recorder) SetReadDeadline(time.Time) error  { return nil }
func (r recorder) SetWriteDeadline(time.Time) error { return nil }
func (r recorder) SetDeadline(time.Time) error      { return nil }

type failingContent struct{ memoryContent }

func (failingContent) Bytes() []byte                         { return nil }
func (failingContent) ReadAt(p []byte, _ int64) (int, error) { return 0, errors.New("disk on fire") }

func TestClientCannotReadItsContent(t *testing.T) {
	c := openScript(t, plain+`
		C: MAIL FROM:<sender@a.test>
		S: 250 ok
		C: RCPT TO:<x@b.test>
		S: 250 ok
		C: DATA
		S: 354 go
		close`, patient)
	tx := transaction(failingContent{memoryContent{bytes.NewReader([]byte("a\r\n"))}}, "x@b.test")
	var se *SessionError
	if err := c.Transact(tx); !errors.As(err, &se) || se.Kind != EndLocal || tx.Unreadable == nil {
		t.Errorf("got %v, unreadable %v", err, tx.Unreadable)
	}
	if got := codes(tx); got != "4.3.0 read the message: disk on fire|body\n" {
		t.Errorf("got %q", got)
	}
	c.Close(true)
}

// TestClientHearsWhyItsContentIsCutOff: a receiver that has seen enough says so and
// closes, with octets of ours still under way.
func TestClientHearsWhyItsContentIsCutOff(t *testing.T) {
	c := openScript(t, pipelining+`
		C: MAIL FROM:<sender@a.test> SIZE=*
		C: RCPT TO:<x@b.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		C: *
		S: 552 5.3.4 too much
		close!`, patient)
	c.ext.Size = 0
	line := strings.Repeat("x", 76) + "\r\n"
	tx := transaction(onDisk(strings.Repeat(line, 400_000)), "x@b.test")
	var se *SessionError
	if err := c.Transact(tx); !errors.As(err, &se) || se.Kind != EndSaid {
		t.Errorf("got %v", err)
	}
	if got := codes(tx); got != "552 5.3.4 too much|body\n" {
		t.Errorf("got %q", got)
	}
	c.Close(true)
}
