package rig

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Sender sends messages over several sessions and remembers which ones were answered 250.
// A session that breaks off is opened again, so that a server can be killed meanwhile.
type Sender struct {
	to, from, rcpt string
	body           string
	next           atomic.Int64
	limit          int64

	mu       sync.Mutex
	accepted []string
	refused  map[string]int

	stop context.CancelFunc
	done sync.WaitGroup
}

// StartSender sends until Stop, or until limit messages were begun (0: no limit). Each
// message has a body of size bytes.
func StartSender(t testing.TB, to, rcpt string, sessions, size, limit int) *Sender {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &Sender{to: to, from: "sender@source.test", rcpt: rcpt, limit: int64(limit), refused: map[string]int{}, stop: stop}
	line := strings.Repeat("x", 70) + "\r\n"
	s.body = strings.Repeat(line, size/len(line)+1)
	for range sessions {
		s.done.Go(func() {
			for ctx.Err() == nil && !s.finished() {
				if !s.session(ctx) {
					select { // the server is down: do not spin
					case <-ctx.Done():
					case <-time.After(5 * time.Millisecond):
					}
				}
			}
		})
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

// Stop ends the sessions after the message that each has in hand and returns the ids of
// all messages that were answered 250.
func (s *Sender) Stop() []string {
	s.stop()
	return s.Wait()
}

// Wait waits until all messages are sent and returns the ids of those answered 250.
func (s *Sender) Wait() []string {
	s.done.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Accepted is the number of messages answered 250 so far.
func (s *Sender) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

// Refused counts the other answers, by their first line.
func (s *Sender) Refused() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for k, v := range s.refused {
		out[k] = v
	}
	return out
}

func (s *Sender) finished() bool { return s.limit > 0 && s.next.Load() >= s.limit }

// session sends messages over one connection and says whether it could be opened.
func (s *Sender) session(ctx context.Context) bool {
	c, err := Dial(s.to)
	if err != nil {
		return false
	}
	defer c.Close()
	if reply := c.Greet("client.test"); !strings.HasPrefix(reply, "250") {
		return false
	}
	for ctx.Err() == nil {
		n := s.next.Add(1)
		if s.limit > 0 && n > s.limit {
			break
		}
		id := fmt.Sprintf("%d.%p@client.test", n, s)
		reply := c.Send(s.from, s.rcpt, fmt.Sprintf("Message-ID: <%s>\r\nFrom: <%s>\r\nSubject: %d\r\n\r\n%s", id, s.from, n, s.body))
		s.note(id, reply)
		if reply == "" || strings.HasPrefix(reply, "421") {
			return true
		}
		if !strings.HasPrefix(reply, "250") {
			c.Cmd("RSET")
			return false // pause before the next
		}
	}
	c.Cmd("QUIT")
	return true
}

func (s *Sender) note(id, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(reply, "250") {
		s.accepted = append(s.accepted, id)
	} else if reply != "" {
		s.refused[reply]++
	}
}

// Client is an SMTP client that does what it is told, right or wrong.
type Client struct {
	net.Conn
	r *bufio.Reader
}

// Dial opens a connection; every read and write ends within 30 seconds.
func Dial(addr string) (*Client, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: c, r: bufio.NewReader(c)}, nil
}

// Greet reads the greeting and says EHLO; it returns the last line of the reply to EHLO.
func (c *Client) Greet(name string) string {
	if g := c.Reply(); !strings.HasPrefix(g, "220") {
		return g
	}
	return c.Cmd("EHLO " + name)
}

// Cmd writes a line and returns the last line of the reply; empty when the connection
// broke off.
func (c *Client) Cmd(line string) string {
	if !c.Raw(line + "\r\n") {
		return ""
	}
	return c.Reply()
}

// Raw writes s as it is and says whether all of it could be written.
func (c *Client) Raw(s string) bool {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err := c.Write([]byte(s))
	return err == nil
}

// Reply reads a whole reply and returns its last line without its end.
func (c *Client) Reply() string {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

// Closed says whether the server closes the connection before it says anything more.
func (c *Client) Closed() bool {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err := c.r.ReadByte()
	return err != nil
}

// Send sends one message (header and body with CRLF; no line of it begins with a dot) and
// returns the first reply that is not the wanted one, else the reply to the final dot.
func (c *Client) Send(from, rcpt, message string) string {
	if r := c.Cmd("MAIL FROM:<" + from + ">"); !strings.HasPrefix(r, "250") {
		return r
	}
	if r := c.Cmd("RCPT TO:<" + rcpt + ">"); !strings.HasPrefix(r, "250") {
		return r
	}
	if r := c.Cmd("DATA"); !strings.HasPrefix(r, "354") {
		return r
	}
	return c.Cmd(message + "\r\n.")
}
