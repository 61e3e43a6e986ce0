package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	maxReplyLines = 200
	replyBuffer   = 4096 // also the longest reply line
)

// reply is what a server answered: the code and the text of its last line.
type reply struct {
	code int
	text string
}

func (r reply) String() string { return strconv.Itoa(r.code) + " " + r.text }

// client is one connection.
type client struct {
	conn      net.Conn
	r         *bufio.Reader
	timeout   time.Duration
	pipelines bool
	sizes     bool
	scratch   []byte
	size      int // of the content that was sent last
	stopClose func() bool
}

// refusal is an answer that is not the wanted one.
type refusal struct{ reply }

func (e refusal) Error() string { return e.String() }

// connect opens a connection and says EHLO, or HELO when that is refused.
func connect(ctx context.Context, to string, timeout time.Duration) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, replyBuffer), timeout: timeout}
	if err := c.greet(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// closeWith closes the connection when ctx ends before the client is closed.
func (c *client) closeWith(ctx context.Context) {
	c.stopClose = context.AfterFunc(ctx, func() { _ = c.conn.Close() })
}

func (c *client) greet() error {
	_ = c.conn.SetDeadline(time.Now().Add(c.timeout)) // fails only on a closed connection, which the next call says
	if err := c.want(220, nil); err != nil {
		return err
	}
	err := c.ask("EHLO load.test\r\n", 250, func(line string) {
		switch strings.ToUpper(strings.TrimSpace(strings.SplitN(line, " ", 2)[0])) {
		case "PIPELINING":
			c.pipelines = true
		case "SIZE":
			c.sizes = true
		}
	})
	var no refusal
	if errors.As(err, &no) && no.code/100 == 5 {
		err = c.ask("HELO load.test\r\n", 250, nil)
	}
	return err
}

func (c *client) ask(command string, code int, each func(string)) error {
	if _, err := c.conn.Write([]byte(command)); err != nil {
		return err
	}
	return c.want(code, each)
}

// want reads a reply and fails unless it has the code; each is called with the text of
// every line.
func (c *client) want(code int, each func(string)) error {
	r, err := c.read(each)
	if err != nil {
		return err
	}
	if r.code != code {
		return refusal{r}
	}
	return nil
}

// harmless takes from a server's text what a terminal would obey.
func harmless(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return '?'
	}
	return r
}

var errReply = errors.New("the server's reply is not SMTP")

func (c *client) read(each func(string)) (reply, error) {
	for range maxReplyLines {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errReply
			}
			return reply{}, err
		}
		text := strings.Map(harmless, strings.TrimRight(string(line), "\r\n"))
		if len(text) < 3 {
			return reply{}, errReply
		}
		code, err := strconv.Atoi(text[:3])
		if err != nil || code < 200 || code > 599 || len(text) > 3 && text[3] != ' ' && text[3] != '-' {
			return reply{}, errReply
		}
		last := len(text) == 3 || text[3] == ' '
		text = text[min(len(text), 4):]
		if each != nil {
			each(text)
		}
		if last {
			return reply{code, text}, nil
		}
	}
	return reply{}, errReply
}

// verdict says how far a message came.
type verdict uint8

const (
	accepted   verdict = iota // 250 to the content
	refused                   // a reply refused it, the connection goes on
	lost                      // the connection ended, or a 421, before the content was sent
	unanswered                // the connection ended after the content was sent
)

// send makes one transaction. After lost and unanswered the connection is of no use.
func (c *client) send(m *composer, n int) (verdict, error) {
	_ = c.conn.SetDeadline(time.Now().Add(c.timeout)) // fails only on a closed connection, which the next call says
	content, size, scratch := m.content(n, c.scratch)
	c.scratch, c.size = scratch, size
	mail := "MAIL FROM:<" + m.opts.From + ">"
	if c.sizes {
		mail += " SIZE=" + strconv.Itoa(size)
	}
	err := c.envelope(mail+"\r\n", "RCPT TO:<"+m.rcpt(n)+">\r\n")
	if err != nil {
		return c.failed(err)
	}
	if _, err := content.WriteTo(c.conn); err != nil {
		return unanswered, err // its end may have left all the same
	}
	err = c.want(250, nil)
	var no refusal
	switch {
	case err == nil:
		return accepted, nil
	case errors.As(err, &no):
		return c.failed(err)
	}
	return unanswered, err
}

// envelope carries the transaction to the 354, in one write where it may. Every reply
// that is due is read, whatever the first says.
func (c *client) envelope(mail, rcpt string) error {
	if !c.pipelines {
		for _, step := range []struct {
			command string
			code    int
		}{{mail, 250}, {rcpt, 250}, {"DATA\r\n", 354}} {
			if err := c.ask(step.command, step.code, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := c.conn.Write([]byte(mail + rcpt + "DATA\r\n")); err != nil {
		return err
	}
	var first error
	for _, code := range [...]int{250, 250, 354} {
		err := c.want(code, nil)
		var no refusal
		if err != nil && (!errors.As(err, &no) || no.code == 421) {
			return err
		}
		if first == nil {
			first = err
		} else if code == 354 && err == nil {
			// DATA was taken though nobody is to receive: an empty content ends it (RFC 2920 §3.1).
			if err := c.ask(".\r\n", 554, nil); err != nil && !errors.As(err, &no) {
				return err
			}
		}
	}
	return first
}

// failed tells a refusal from a lost connection and makes the connection ready for the
// next message.
func (c *client) failed(err error) (verdict, error) {
	var no refusal
	if !errors.As(err, &no) || no.code == 421 {
		return lost, err
	}
	if c.ask("RSET\r\n", 250, nil) != nil {
		return lost, err
	}
	return refused, err
}

// quit says goodbye and closes; nobody waits for more than a moment.
func (c *client) quit() {
	_ = c.conn.SetDeadline(time.Now().Add(5 * time.Second))
	_ = c.ask("QUIT\r\n", 221, nil)
	c.close()
}

func (c *client) close() {
	if c.stopClose != nil {
		c.stopClose()
	}
	_ = c.conn.Close()
}
