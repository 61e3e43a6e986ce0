package smtp

import (
	"errors"
	"os"
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
	// Where content is, and where a piece of a login: neither is shown to everybody.
	content, contentEnd int
	secret, secretEnd   int

	b [clientBlock]byte
}

var clientBuffers = sync.Pool{New: func() any { return new(clientBuffer) }}

func (c *Client) buffer() *clientBuffer {
	if c.out == nil {
		c.out = clientBuffers.Get().(*clientBuffer)
		c.out.n, c.out.content, c.out.contentEnd, c.out.secret, c.out.secretEnd = 0, 0, 0, 0, 0
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
// While replies are owed to us, they are to be read one by one instead.
func (c *Client) flush(stage mail.Stage, timeout time.Duration) *SessionError {
	if c.over != nil {
		return c.over
	}
	if c.out == nil || c.deaf != nil {
		c.drop()
		return nil
	}
	err := c.arm(armWrite, timeout)
	if err == nil {
		c.observeFlight(c.out)
		_, err = c.conn.Write(c.out.b[:c.out.n])
	}
	c.drop()
	runtime.Gosched() // others first: meanwhile the receiver may answer
	switch {
	case err == nil:
		return nil
	case !c.owed:
		return c.farewell(stage, err)
	case errors.Is(err, errAborted), errors.Is(err, os.ErrDeadlineExceeded) && stage == mail.StageBody:
		return c.fail(stage, sending(stage), err)
	}
	c.deaf = err
	return nil
}

// alongside reads replies into the buffer while write runs: a receiver that does not read on
// until its replies are taken goes on. What does not fit, 256 KiB, is for the time-out of
// the write.
func (c *Client) alongside(write func() *SessionError) *SessionError {
	done := make(chan struct{})
	if err := c.arm(armRead, time.Hour); err != nil {
		return c.fail(mail.StageBody, sending(mail.StageBody), err)
	}
	c.wait = -1
	go func() {
		defer close(done)
		c.rr.soak(maxSoak)
	}()
	e := write()
	if err := c.arm(armRead, -time.Second); err != nil && e == nil {
		e = c.fail(mail.StageBody, sending(mail.StageBody), err)
	}
	<-done
	return e
}

// maxSoak bounds the replies that are kept while content is written, in octets.
const maxSoak = 256 << 10

// sending says what could not be done.
func sending(stage mail.Stage) string {
	if stage == mail.StageBody {
		return "sending the content"
	}
	return "sending the command"
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
	doing := sending(stage)
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
