package deliver

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// Message is a message open for reading: what the spool gives.
type Message interface {
	Envelope() *mail.Envelope
	Size() int64
	Bytes() []byte // the whole content when it is in memory, else nil
	io.ReaderAt
	Close()
}

// Config is what an Agent works with.
type Config struct {
	// Events takes each event. Called from the connections' goroutines; it may wait for
	// the scheduler's lock but for nothing that waits for a connection.
	Events func(sched.Event)
	// Open opens a message of the spool.
	Open func(mail.ID) (Message, error)
	// Lost reports whether an error of Open, or of reading, says that the content is gone for
	// good: such a message is refused, others are tried again. Nil: none is.
	Lost func(error) bool
	// Judge says what a reply is about; nil: nothing is known of any.
	Judge func(*classify.Subject) classify.Judgement
	// TLS makes configurations; nil: one that trusts the system's roots.
	TLS *smtp.ClientTLS
	// Secured is told how the encryption of each connection went that was to be encrypted; nil:
	// nobody is. Called from the connections' goroutines.
	Secured func(TLSResult)
	// Observe reports whether the certificate of a domain's host is to be looked at though nothing
	// is asked of it, and Secured told; nil: none is.
	Observe func(domain, host string) bool
	// OwnListener reports whether an address is one that this server listens on; nil: none
	// is. Mail for it would come back to us.
	OwnListener func(netip.AddrPort) bool
	// Outgoing gives what MAIL says of a message for one of its recipients: another return
	// path, another ENVID. It must not change env, and returns it when nothing is different. Nil: nothing ever is.
	Outgoing func(env *mail.Envelope, recipients []int, s *policy.Session) *mail.Envelope
	// Now is the wall clock, for the times of attempts; nil: time.Now.
	Now func() time.Time
	// AnyAddress leaves prohibited_hosts and OwnListener to Dial: a sandbox, whose Dial
	// reaches nothing but its own receiver.
	AnyAddress bool
	// Tracer tells those who watch what is said; nil: one that nobody watches.
	Tracer *Tracer
	// Dial connects; nil: TCP. For tests and the sandbox.
	Dial func(ctx context.Context, c *sched.Connect) (net.Conn, error)
}

// Agent runs connections. Start, Deliver, Recall and Close neither block nor call Events, so the
// scheduler's lock may be held; actions of one connection are to be given in their order.
type Agent struct {
	cfg   Config
	mu    sync.Mutex
	conns map[sched.ConnID]*conn
	wg    sync.WaitGroup

	habits habits
}

// New returns an Agent without connections.
func New(cfg Config) *Agent {
	if cfg.TLS == nil {
		cfg.TLS = smtp.NewClientTLS(nil)
	}
	if cfg.OwnListener == nil {
		cfg.OwnListener = func(netip.AddrPort) bool { return false }
	}
	if cfg.Lost == nil {
		cfg.Lost = func(error) bool { return false }
	}
	if cfg.Tracer == nil {
		cfg.Tracer = new(Tracer)
	}
	if cfg.Judge == nil {
		cfg.Judge = func(*classify.Subject) classify.Judgement { return classify.Judgement{} }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Dial == nil {
		cfg.Dial = dial
	}
	return &Agent{cfg: cfg, conns: map[sched.ConnID]*conn{}}
}

// Start begins a connection. Answered by Connected or ConnectFailed, and by one Closed.
func (a *Agent) Start(action sched.Connect) {
	c := newConn(a, action)
	a.mu.Lock()
	a.conns[action.Conn] = c
	a.mu.Unlock()
	a.wg.Add(1)
	go func() {
		defer a.wg.Done()
		c.run()
	}()
}

// Deliver hands a part to a connection. One that has come to its end gives it back.
func (a *Agent) Deliver(action sched.Deliver) {
	if c := a.find(action.Conn); c == nil || !c.give(action) {
		// Not from here: the caller may be what Events waits for. It is rare.
		go a.cfg.Events(sched.Returned{Conn: action.Conn, Part: action.Part})
	}
}

// Recall gives a part back that its connection has not begun; one that is begun, or was
// given back already, is not answered.
func (a *Agent) Recall(action sched.Recall) {
	if c := a.find(action.Conn); c != nil && c.drop(action.Part) {
		// Not from here: as in Deliver.
		go a.cfg.Events(sched.Returned{Conn: action.Conn, Part: action.Part})
	}
}

// Close ends a connection; nothing happens to one that has ended.
func (a *Agent) Close(action sched.Close) {
	if c := a.find(action.Conn); c != nil {
		c.end(action.How)
	}
}

// Abort cuts every connection at once, inside a transaction if need be: the end of a
// drain that took too long.
func (a *Agent) Abort() {
	a.mu.Lock()
	all := make([]*conn, 0, len(a.conns))
	for _, c := range a.conns {
		all = append(all, c)
	}
	a.mu.Unlock()
	for _, c := range all {
		c.end(sched.CloseAbort)
	}
}

// Wait returns when every connection has ended.
func (a *Agent) Wait() { a.wg.Wait() }

// Connections returns how many connections have not ended.
func (a *Agent) Connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conns)
}

func (a *Agent) find(id sched.ConnID) *conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conns[id]
}

func (a *Agent) forget(id sched.ConnID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, id)
}
