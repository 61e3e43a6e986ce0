package rig

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Caught is a message as it came over the wire.
type Caught struct {
	At   time.Time
	Mail string   // what stood after MAIL FROM:
	Rcpt []string // what stood after RCPT TO:
	Data string   // with CRLF, dots undone
}

// Catcher is a receiver that takes everything and keeps it octet by octet.
type Catcher struct {
	offers []string
	mu     sync.Mutex
	caught []Caught
}

// Catch listens on addr and offers the extensions.
func Catch(t testing.TB, addr string, offers ...string) *Catcher {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := &Catcher{offers: offers}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.converse(conn)
		}
	}()
	return c
}

// Caught is what has come so far.
func (c *Catcher) Caught() []Caught {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Caught(nil), c.caught...)
}

// Await waits until n messages have come.
func (c *Catcher) Await(t testing.TB, n int, limit time.Duration) []Caught {
	t.Helper()
	Until(t, limit, fmt.Sprintf("%d messages at the receiver", n), func() bool { return len(c.Caught()) >= n })
	return c.Caught()
}

func (c *Catcher) converse(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var m Caught
	say := "220 catcher.test"
	for {
		if _, err := io.WriteString(conn, say+"\r\n"); err != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		say = "250 2.0.0 ok"
		switch verb {
		case "EHLO":
			say = strings.Join(append([]string{"250-catcher.test"}, prefixed(c.offers)...), "\r\n") + "\r\n250 HELP"
		case "MAIL":
			m = Caught{Mail: strings.TrimPrefix(rest, "FROM:")}
		case "RCPT":
			m.Rcpt = append(m.Rcpt, strings.TrimPrefix(rest, "TO:"))
		case "BDAT":
			n, last := 0, ""
			if _, err := fmt.Sscan(rest+" more", &n, &last); err != nil || n < 0 || n > 64<<20 {
				return
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(in, b); err != nil {
				return
			}
			m.Data += string(b)
			if last == "LAST" {
				c.keep(m)
			}
		case "DATA":
			if _, err := io.WriteString(conn, "354 go\r\n"); err != nil {
				return
			}
			if m.Data, err = readContent(in); err != nil {
				return
			}
			c.keep(m)
		case "QUIT":
			_, _ = io.WriteString(conn, "221 2.0.0 bye\r\n") // it may have gone
			return
		}
	}
}

func (c *Catcher) keep(m Caught) {
	m.At = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caught = append(c.caught, m)
}

func prefixed(offers []string) []string {
	out := make([]string, len(offers))
	for i, o := range offers {
		out[i] = "250-" + o
	}
	return out
}

func readContent(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}
