package smtp

import (
	"errors"
	"os"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

const (
	maxQuit   = 5 * time.Second // however long quit_timeout is
	maxLinger = 2 * time.Second // for the end of the stream when there was no QUIT
	// maxDrain bounds what is read and thrown away while waiting for the end of the stream.
	maxDrain = 1 << 20
)

// Idle waits between transactions, without a time-out, until Wake is called (nil), or
// the receiver closes or speaks (a *SessionError). It reads nothing that was asked for,
// so whatever comes ends the session.
func (c *Client) Idle() error {
	if err := c.quiet(mail.StageNone); err != nil {
		return err
	}
	_, woken, err := c.listen(time.Time{})
	switch {
	case woken || c.wasAborted():
		return nil
	case err == nil:
		return c.unasked(mail.StageNone)
	}
	return c.fail(mail.StageNone, "idle", err)
}

// Wake ends Idle, or the next one when none is running; inside Transact it has Next asked. Safe for concurrent use.
func (c *Client) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = true
	if c.idling && !c.closing {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed socket
	}
}

// Abort ends the session at once, whatever it waits for: the method that is running
// returns a *SessionError of kind EndAborted. Close still has to be called by the
// owner. Safe for concurrent use.
func (c *Client) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return // bounded by itself
	}
	c.aborted = true
	_ = c.raw.SetDeadline(time.Unix(1, 0)) // fails only on a closed socket
}

// Close ends the session and returns when the receiver has let go, as far as that can
// be seen: with QUIT, when the session is in order and quit is set, and then the end of
// its stream, for at most the quit time-out and 5 s; otherwise by the end of our stream,
// and then the end of its, for at most 2 s. The last reply to QUIT is not of interest.
func (c *Client) Close(quit bool) {
	c.mu.Lock()
	c.closing = true
	aborted := c.aborted
	c.mu.Unlock()
	c.drop()
	limit := maxLinger
	if quit && !aborted && c.over == nil && c.quiet(mail.StageQuit) == nil {
		limit = min(c.t.Quit, maxQuit)
		quit = c.quit(limit)
	} else {
		quit = false
	}
	if !quit {
		limit = maxLinger
		_ = c.raw.SetDeadline(time.Now().Add(limit))
	}
	c.closeWrite()
	c.drain()
	_ = c.raw.Close()
}

// quit sends QUIT and waits for the reply, all within limit, which stays armed for the
// end of the stream. It reports whether the receiver has answered.
func (c *Client) quit(limit time.Duration) bool {
	c.put("QUIT\r\n")
	deadline := time.Now().Add(max(limit, 0))
	_ = c.raw.SetDeadline(deadline)
	c.observeFlight(c.out)
	_, err := c.conn.Write(c.out.b[:c.out.n])
	c.drop()
	if err != nil {
		return false
	}
	c.wait = -1
	if _, err = c.rr.Next(); err == nil {
		c.observeReply(mail.StageQuit)
	}
	// Silence until the deadline has used up the time there is: no linger on top of it.
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// closeWrite ends our stream: for TLS its own end first (RFC 8446 §6.1).
func (c *Client) closeWrite() {
	type writeCloser interface{ CloseWrite() error }
	if c.conn != c.raw {
		if wc, ok := c.conn.(writeCloser); ok {
			_ = wc.CloseWrite()
		}
	}
	if wc, ok := c.raw.(writeCloser); ok {
		_ = wc.CloseWrite()
	}
}

// drain reads the raw stream to its end, within the deadline that is armed.
func (c *Client) drain() {
	for n := 0; n < maxDrain; {
		k, err := c.raw.Read(c.rr.buf)
		if n += k; err != nil {
			return
		}
	}
}
