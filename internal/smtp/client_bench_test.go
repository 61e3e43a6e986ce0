package smtp

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
)

// cannedConn answers at once, without a kernel: what is measured is the client alone.
type cannedConn struct {
	bytesConn
	replies [2]string // to the envelope, to the content
	turn    int
	ready   bool
}

func (c *cannedConn) Write(p []byte) (int, error) { c.ready = true; return len(p), nil }

func (c *cannedConn) Read(p []byte) (int, error) {
	if !c.ready {
		return 0, io.EOF
	}
	c.ready = false
	n := copy(p, c.replies[c.turn&1])
	c.turn++
	return n, nil
}

type benchContent struct{ memoryContent }

func (benchContent) Bytes() []byte { return benchText }

var benchText = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 128)) // 10 KB

func BenchmarkClientTransact(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 10} {
		b.Run(map[int]string{2 << 10: "2KB", 10 << 10: "10KB"}[size], func(b *testing.B) {
			benchText = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78))
			conn := &cannedConn{replies: [2]string{
				"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
				"250 2.0.0 Ok: queued as 4F1A2B3C4D\r\n",
			}}
			c := NewClient(conn, never())
			c.ext = Extensions{Pipelining: true, SizeKnown: true}
			tx := transaction(benchContent{memoryContent{bytes.NewReader(benchText)}}, "x@b.test")
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Transact(tx); err != nil || tx.Results[0].Reply.Code != 250 {
					b.Fatal(err, tx.Results)
				}
			}
		})
	}
}

// BenchmarkClientLoopback is the same over the kernel, with a receiver that does next to
// nothing: time includes both sides.
func BenchmarkClientLoopback(b *testing.B) {
	benchText = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 26))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReaderSize(conn, 64<<10)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			switch {
			case line[0] == 'D':
				_, err = io.WriteString(conn, "250 ok\r\n250 ok\r\n354 go\r\n")
			case line[0] == '.':
				_, err = io.WriteString(conn, "250 2.0.0 queued as 1\r\n")
			}
			if err != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c := NewClient(conn, never())
	c.ext = Extensions{Pipelining: true}
	tx := transaction(benchContent{memoryContent{bytes.NewReader(benchText)}}, "x@b.test")
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Transact(tx); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	c.Close(false)
	_ = l.Close()
	<-done
}
