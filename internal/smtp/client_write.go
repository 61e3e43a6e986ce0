package smtp

import (
	"runtime"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// clientBlock is the most that one write carries: an envelope, or a block of content.
const clientBlock = 32 << 10

// clientBuffer is what a client writes through. A session holds one only while
// something is in it, so that idle connections cost little.
type clientBuffer struct {
	n int
	b [clientBlock]byte
}

var clientBuffers = sync.Pool{New: func() any { return new(clientBuffer) }}

func (c *Client) buffer() *clientBuffer {
	if c.out == nil {
		c.out = clientBuffers.Get().(*clientBuffer)
		c.out.n = 0
	}
	return c.out
}

// put adds a piece of a command to the flight. The caller leaves room: see clientCommand.
func (c *Client) put(s string) {
	o := c.buffer()
	o.n += copy(o.b[o.n:], s)
}

// room returns how much fits into the flight.
func (c *Client) room() int {
	if c.out == nil {
		return clientBlock
	}
	return clientBlock - c.out.n
}

// flush writes the flight within timeout. When that fails, the receiver may have said
// why before it closed: a reply that is there already becomes the session's last word.
func (c *Client) flush(stage mail.Stage, timeout time.Duration) *SessionError {
	if c.over != nil {
		return c.over
	}
	if c.out == nil {
		return nil
	}
	err := c.arm(armWrite, timeout)
	if err == nil {
		_, err = c.conn.Write(c.out.b[:c.out.n])
	}
	c.drop()
	runtime.Gosched() // others first: meanwhile the receiver may answer
	if err != nil {
		return c.farewell(stage, err)
	}
	return nil
}

// drop forgets what was not flushed.
func (c *Client) drop() {
	if c.out != nil {
		clientBuffers.Put(c.out)
		c.out = nil
	}
}

// farewell ends a session that cannot be written to any more.
func (c *Client) farewell(stage mail.Stage, cause error) *SessionError {
	doing := "sending the command"
	if stage == mail.StageBody {
		doing = "sending the content"
	}
	if c.wasAborted() {
		return c.fail(stage, doing, errAborted)
	}
	c.wait = 500 * time.Millisecond // it is here by now, or lost by the reset
	code, err := c.rr.Next()
	if err != nil || code < 400 {
		return c.fail(stage, doing, cause)
	}
	c.over = &SessionError{Kind: EndSaid, Reply: c.rr.Reply(stage), Err: cause}
	return c.over
}
