package smtp

import "github.com/sluice-mta/sluice/internal/mail"

// Sent says what kind of octets a client sent.
type Sent uint8

const (
	SentCommand Sent = iota // whole command lines, or pieces of them
	SentContent             // of a message
	SentSecret              // of a login; the octets are not shown to the observer
)

// Observer is told what a session says and hears, as SMTP has it: without TLS around it.
// Its methods are called by the session's goroutine and must not wait.
type Observer interface {
	// Watching is asked before anything is told; false: nobody looks.
	Watching() bool
	// Sent is told of octets about to be written, in order; p is used again afterwards.
	Sent(kind Sent, p []byte)
	// Heard is told of each reply.
	Heard(r mail.Reply)
}

// Observe has a session told to an observer, from now on. Nil ends that.
func (c *Client) Observe(o Observer) { c.observer = o }

// observeFlight tells what is about to be written.
func (c *Client) observeFlight(o *clientBuffer) {
	if c.observer == nil || !c.observer.Watching() {
		return
	}
	for at := 0; at < o.n; {
		kind, end := o.kindAt(at)
		p := o.b[at:end]
		if kind == SentSecret {
			p = nil
		}
		c.observer.Sent(kind, p)
		at = end
	}
}

// kindAt is the kind of the octet at a place of the flight, and where the next kind begins.
func (o *clientBuffer) kindAt(at int) (kind Sent, end int) {
	end = o.n
	for _, r := range [...]struct {
		kind     Sent
		from, to int
	}{{SentContent, o.content, o.contentEnd}, {SentSecret, o.secret, o.secretEnd}} {
		switch {
		case r.from == r.to:
		case at >= r.from && at < r.to:
			return r.kind, r.to
		case at < r.from:
			end = min(end, r.from)
		}
	}
	return SentCommand, end
}

func (c *Client) observeReply(stage mail.Stage) {
	if c.observer != nil && c.observer.Watching() {
		c.observer.Heard(c.rr.Reply(stage))
	}
}

// putSecret adds a piece of a login to the flight. The caller leaves room.
func (c *Client) putSecret(s string) {
	o := c.buffer()
	o.secret = o.n
	c.put(s)
	o.secretEnd = o.n
}
