package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// ClientTimeouts says how long a client waits at each step. RFC 5321 §4.5.3.2 gives the
// least values for a real receiver. A zero or negative one has run out before it began.
type ClientTimeouts struct {
	Greeting  time.Duration
	EHLO      time.Duration // EHLO and HELO, each
	TLS       time.Duration // the reply to STARTTLS, then the handshake, each
	Mail      time.Duration
	Rcpt      time.Duration // each
	Data      time.Duration // the reply to DATA
	DataBlock time.Duration // writing each block of at most 32 KiB of the content
	Body      time.Duration // the reply after the final dot
	Rset      time.Duration
	Quit      time.Duration // QUIT, its reply and the end of the stream together; at most 5 s
}

// EndKind says how a session ended.
type EndKind uint8

const (
	EndLost     EndKind = iota // end of stream, reset, or another failure of the connection
	EndTimeout                 // the receiver was too slow
	EndProtocol                // the receiver does not speak SMTP
	EndSaid                    // the receiver said 421 (RFC 5321 §3.8)
	EndAborted                 // Abort was called
	EndLocal                   // the content could not be read or sent
)

// SessionError says that a session is over: nothing but Close may follow. It is what a
// Client's methods return when they return an error.
type SessionError struct {
	Kind  EndKind
	Reply mail.Reply // the 421; else Code is 0, and Stage and Text say what happened
	Err   error      // the cause
}

func (e *SessionError) Error() string {
	return e.Reply.Stage.String() + ": " + e.Reply.String()
}

func (e *SessionError) Unwrap() error { return e.Err }

// Client is one session with a receiver, from the greeting to the end, over a
// connection that it owns. Its methods are called by one goroutine; Abort and Wake
// alone may be called by others.
//
//	NewClient ─> Greeting ─> Hello ─> [StartTLS ─> Hello] ─> Transact … Idle … Transact ─> Quit ─> Close
//
// Every step has a time-out of its own, counted from the moment the client begins to
// wait for that reply, whatever trickles in meanwhile. A group of pipelined commands
// (RFC 2920) is one write, and the envelope of the next message shares a flight with the
// content of the one before: one turn a message. Nothing is ever sent behind EHLO, STARTTLS, AUTH or
// QUIT before their reply: each of them is a group of its own, after everything before it
// has been answered.
type Client struct {
	raw  net.Conn // the socket
	conn net.Conn // raw, or TLS over it
	t    ClientTimeouts
	rr   *ReplyReader
	out  *clientBuffer // what is written and not flushed; nil when empty

	wait  time.Duration // to be armed before the next read; armed already when negative
	ext   Extensions
	tls   string // as mail.Attempt.TLS
	over  *SessionError
	reset bool         // RSET must come before the next MAIL
	mails int          // MAIL commands sent
	ahead *Transaction // its envelope is under way behind the content of the one before
	owed  bool         // replies are outstanding while we write
	deaf  error        // why nothing can be written any more, while replies were owed

	allowed Feature // what may be made use of where it is offered
	habits  Habits
	used    Feature // what this session has made use of
	accused Feature // what it has found broken
	cleared Feature // what was held against them is not any more
	culprit Feature // what it ended by
	blamed  bool    // its end has been looked at

	observer Observer // may be nil
	lmtp     bool
	trust    trust

	mu      sync.Mutex // guards what follows, and the order of deadlines
	aborted bool
	closing bool
	idling  bool
	woken   bool
}

// NewClient returns a session over conn, which it closes in the end.
func NewClient(conn net.Conn, t ClientTimeouts) *Client {
	c := &Client{raw: conn, conn: conn, t: t, wait: -1, allowed: Pipelining | Ahead}
	c.rr = NewReplyReader(clientSource{c})
	return c
}

// Extensions returns what the receiver offered in its last reply to EHLO.
func (c *Client) Extensions() *Extensions { return &c.ext }

// Spent reports whether the receiver takes no further message in this session (MAILMAX, RFC 9422 §4.1).
func (c *Client) Spent() bool { return c.ext.Limits.Mail > 0 && c.mails >= c.ext.Limits.Mail }

// TLS describes the encryption, "TLS1.3/TLS_AES_128_GCM_SHA256"; empty in clear.
func (c *Client) TLS() string { return c.tls }

// Greeting waits for the first reply (RFC 5321 §3.1). The session goes on only when it
// is a 2xx.
func (c *Client) Greeting() (mail.Reply, error) {
	return c.reply(mail.StageGreeting, c.t.Greeting)
}

// Hello sends EHLO, and HELO when the receiver refuses EHLO for good (RFC 5321 §3.2),
// and keeps the extensions offered. The session goes on only when the reply is a 2xx.
func (c *Client) Hello(name string) (mail.Reply, error) {
	c.ext = Extensions{}
	verb := "EHLO "
	if c.lmtp {
		verb = "LHLO "
	}
	rep, err := c.command(mail.StageEHLO, c.t.EHLO, verb, name)
	if err != nil {
		return rep, err
	}
	switch {
	case rep.Class() == 2:
		c.ext = parseExtensions(rep.Text)
	case rep.Class() == 5 && !c.lmtp:
		rep, err = c.command(mail.StageEHLO, c.t.EHLO, "HELO ", name)
	}
	return rep, err
}

// command sends one command and waits for its reply.
func (c *Client) command(stage mail.Stage, timeout time.Duration, verb, arg string) (mail.Reply, error) {
	if err := c.quiet(stage); err != nil {
		return err.Reply, err
	}
	c.put(verb)
	c.put(arg)
	c.put("\r\n")
	if err := c.flush(stage, timeout); err != nil {
		return err.Reply, err
	}
	return c.reply(stage, timeout)
}

// reply waits for a reply. A 421 ends the session wherever it comes.
func (c *Client) reply(stage mail.Stage, timeout time.Duration) (mail.Reply, error) {
	if _, err := c.next(stage, timeout); err != nil {
		return err.Reply, err
	}
	return c.rr.Reply(stage), nil
}

// next waits for a reply and returns its code; c.rr.Reply has the rest.
func (c *Client) next(stage mail.Stage, timeout time.Duration) (int, *SessionError) {
	if c.over != nil {
		return 0, c.over
	}
	c.wait = max(timeout, 0)
	code, err := c.rr.Next()
	if err != nil {
		return 0, c.fail(stage, "waiting for the reply", err)
	}
	return c.spoke(stage, code)
}

// spoke takes note of a reply that was read.
func (c *Client) spoke(stage mail.Stage, code int) (int, *SessionError) {
	c.observeReply(stage)
	if code == 421 {
		c.over = &SessionError{Kind: EndSaid, Reply: c.rr.Reply(stage)}
		return 0, c.over
	}
	return code, nil
}

// quiet makes sure, before a command, that the receiver has said no more than it was
// asked: otherwise every further reply would answer the wrong command.
func (c *Client) quiet(stage mail.Stage) *SessionError {
	if c.over != nil {
		return c.over
	}
	if c.deaf != nil {
		return c.farewell(stage, c.deaf)
	}
	if c.rr.Buffered() == 0 {
		return nil
	}
	// It may be a farewell. Waiting for the rest of it is not worth a second of time.
	if _, err := c.next(stage, time.Second); err != nil {
		return err
	}
	return c.unasked(stage)
}

// unasked ends the session for the reply that was just read and that answers nothing.
func (c *Client) unasked(stage mail.Stage) *SessionError {
	rep := c.rr.Reply(stage)
	if rep.Code == 421 {
		c.over = &SessionError{Kind: EndSaid, Reply: rep}
		return c.over
	}
	c.outOfStep()
	return c.fail(stage, "before the command", protocolError("a reply to nothing: %q", clip([]byte(rep.String()), 80)))
}

// fail ends the session and says so in a reply without a code.
func (c *Client) fail(stage mail.Stage, doing string, err error) *SessionError {
	if c.over != nil {
		return c.over
	}
	e := &SessionError{Kind: EndLost, Err: err}
	rep := mail.Reply{Enhanced: "4.4.2", Stage: stage}
	var pe *ProtocolError
	switch {
	case errors.Is(err, errAborted) || c.wasAborted():
		e.Kind, rep.Text = EndAborted, "we ended the connection "+doing
	case errors.As(err, &pe):
		e.Kind, rep.Enhanced = EndProtocol, "4.5.0"
		rep.Text = err.Error() + " (" + doing + ")"
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Kind, rep.Text = EndTimeout, "timed out "+doing
	case errors.Is(err, io.EOF):
		rep.Text = "the receiver closed the connection while we were " + doing
	default:
		rep.Text = fmt.Sprintf("connection lost while we were %s: %v", doing, rootCause(err))
	}
	e.Reply, c.over = rep, e
	return e
}

// rootCause leaves out the addresses that net puts into its errors: they are told beside it.
func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func (c *Client) wasAborted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aborted
}

var errAborted = errors.New("aborted")

// clientSource is where the reply reader reads from: the connection, with the deadline of
// the reply armed once, when its first octet has to be waited for.
type clientSource struct{ c *Client }

func (s clientSource) Read(p []byte) (int, error) {
	c := s.c
	if c.wait >= 0 {
		if err := c.arm(armRead, c.wait); err != nil {
			return 0, err
		}
		c.wait = -1
	}
	return c.conn.Read(p)
}

// arm sets a deadline unless the session has been aborted: a later deadline must not
// undo the one that Abort has set.
func (c *Client) arm(what direction, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted && !c.closing {
		return errAborted
	}
	at := time.Now().Add(d)
	switch what {
	case armRead:
		return c.raw.SetReadDeadline(at)
	case armWrite:
		return c.raw.SetWriteDeadline(at)
	}
	return c.raw.SetDeadline(at)
}

// direction is what a deadline is for.
type direction uint8

const (
	armRead direction = iota
	armWrite
	armBoth
)

// connectionState describes an encrypted connection.
func connectionState(s tls.ConnectionState) string {
	name := tls.VersionName(s.Version) // "TLS 1.3"
	if len(name) > 4 && name[3] == ' ' {
		name = name[:3] + name[4:]
	}
	return name + "/" + tls.CipherSuiteName(s.CipherSuite)
}
