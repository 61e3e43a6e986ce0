package deliver

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// credit is how many parts a connection holds at most: one in flight, and one ready.
const credit = 2

// conn is one connection. run's goroutine owns everything but the mailbox.
type conn struct {
	agent  *Agent
	action sched.Connect
	ctx    context.Context // ends the dial
	cancel context.CancelFunc

	trace     traced
	client    *smtp.Client
	local     netip.Addr
	remote    netip.AddrPort
	work      [2]delivery
	ahead     *delivery   // its envelope is under way behind the content in hand
	known     smtp.Habits // of the receiver, as remembered
	done      int         // transactions that came to an outcome
	delivered bool        // at least one was taken

	mu       sync.Mutex // the mailbox
	parts    []sched.Deliver
	stopping bool // nothing further is begun
	aborted  bool
	ended    bool         // takes no part any more
	session  *smtp.Client // client, once it may be woken and aborted by others
}

// ending is how a connection came to its end.
type ending struct {
	class sched.ConnectClass
	reply mail.Reply
	quit  bool // the session is in order: QUIT
}

func (e *ending) String() string {
	switch {
	case e.reply.IsZero():
		return e.class.String()
	case e.reply.Stage == mail.StageNone:
		return e.class.String() + ": " + e.reply.String()
	}
	return e.class.String() + ": " + e.reply.Stage.String() + ": " + e.reply.String()
}

func newConn(a *Agent, action sched.Connect) *conn {
	c := &conn{agent: a, action: action}
	next := c.follow
	c.work[0].tx.Next, c.work[1].tx.Next = next, next
	c.trace = traced{tracer: a.cfg.Tracer, action: &c.action}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// run is the life of a connection.
func (c *conn) run() {
	defer c.cancel()
	end := c.open()
	if end == nil {
		end = c.serve()
	} else {
		c.emit(sched.ConnectFailed{Conn: c.action.Conn, Class: end.class, Reply: end.reply})
	}
	c.trace.note("ends: %s", end)
	// What was not begun goes back before the wait for the receiver, and from here on at
	// once: another connection may take it meanwhile.
	c.returnParts()
	if c.client != nil {
		c.client.Close(end.quit)
	}
	c.trace.note("the receiver has let go")
	c.agent.forget(c.action.Conn)
	c.emit(sched.Closed{Conn: c.action.Conn, Class: end.class, Reply: end.reply})
}

// serve makes one transaction after the other until the connection comes to its end.
func (c *conn) serve() *ending {
	c.adjust()
	most := c.client.Extensions().Limits
	c.emit(sched.Connected{Conn: c.action.Conn, TLS: c.client.TLS() != "", Limits: sched.SessionLimits(most)})
	c.emit(sched.Wants{Conn: c.action.Conn, N: credit})
	for {
		part, ok, stop := c.take()
		switch {
		case stop:
			return c.stopped()
		case ok:
			if end := c.attempt(part); end != nil {
				return end
			}
			if c.client.Spent() { // a second line behind the scheduler's
				return &ending{class: sched.ConnectOK, quit: true}
			}
		default:
			if err := c.client.Idle(); err != nil {
				return c.over(err)
			}
		}
	}
}

func (c *conn) emit(e sched.Event) { c.agent.cfg.Events(e) }

// give puts a part into the mailbox; false: the connection has ended.
func (c *conn) give(part sched.Deliver) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.parts = append(c.parts, part)
	c.wake()
	return true
}

// drop takes a part out of the mailbox; false: it is not there any more.
func (c *conn) drop(part sched.PartID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.parts {
		if c.parts[i].Part == part {
			c.parts = slices.Delete(c.parts, i, i+1)
			return true
		}
	}
	return false
}

// end asks for the end of the connection.
func (c *conn) end(how sched.CloseHow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if how == sched.CloseAbort {
		c.aborted = true
		c.cancel()
		if c.session != nil {
			c.session.Abort()
		}
		return
	}
	c.wake()
}

// wake is called with the mailbox held.
func (c *conn) wake() {
	if c.session != nil {
		c.session.Wake()
	}
}

// begin makes the session known to others; false: the connection was aborted before.
func (c *conn) begin(client *smtp.Client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client, c.session = client, client
	return !c.aborted
}

// take returns the next part, or that the connection is to stop.
func (c *conn) take() (part sched.Deliver, ok, stop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return sched.Deliver{}, false, true
	}
	if len(c.parts) == 0 {
		return sched.Deliver{}, false, false
	}
	part = c.parts[0]
	n := copy(c.parts, c.parts[1:])
	c.parts[n] = sched.Deliver{}
	c.parts = c.parts[:n]
	return part, true, false
}

// returnParts gives back what was not begun; from here on give refuses.
func (c *conn) returnParts() {
	c.mu.Lock()
	parts := c.parts
	c.parts = nil
	c.ended = true
	c.mu.Unlock()
	for _, p := range parts {
		c.emit(sched.Returned{Conn: c.action.Conn, Part: p.Part})
	}
}

// stopped is the end that was asked for.
func (c *conn) stopped() *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		return &ending{class: sched.ConnectAborted}
	}
	return &ending{class: sched.ConnectOK, quit: true}
}
