package smtp

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

const (
	idleBuffer  = 2 * time.Second // how long a session keeps its big buffer while it waits for a command
	lingerTime  = 2 * time.Second // how long what a client still sends is read after its session was ended
	lingerBytes = 1 << 20
)

var timeZero time.Time

var (
	errShutdown = errors.New("server is shutting down")
	errHangUp   = errors.New("session ended")
)

// ServerConn is one connection to a Server. Its methods may be called from the
// session's goroutine (a Session's methods and the Intercept run there); Abort, Done,
// Remote and Local from any.
type ServerConn struct {
	server  *Server
	cfg     *ServerConfig
	raw     net.Conn // as accepted
	conn    net.Conn // raw, or TLS over it
	remote  netip.AddrPort
	local   netip.AddrPort
	session Session
	done    chan struct{}
	counted bool // in Server.perAddr
	shed    bool // beyond MaxSessions: only to be told so

	in      lineReader
	out     []byte
	writeOK bool // no write has failed

	helo  string
	esmtp bool // EHLO was given
	// enhanced: replies carry enhanced codes (RFC 2034)
	enhanced bool
	login    string
	tls      *tls.ConnectionState

	// state of the session
	inMail     bool
	rcpts      int
	mail       MailParams
	errors     int
	idleCmds   int
	authFails  int
	intercepts bool
	cutOff     bool // we ended the session, with a reply that says why
	said       int  // code of the last reply, as intercepted
	content    Content

	// deadlines: see read
	until     time.Time   // when the command that is awaited must be there; zero: not yet set
	transfer  time.Time   // when the transfer of content began to wait; zero: not yet
	received  int64       // octets of it
	writeBy   time.Time   // deadline of writes in force; zero: none
	inContent atomic.Bool // content is being read: a Shutdown does not disturb
}

func newServerConn(s *Server, cfg *ServerConfig, conn net.Conn) *ServerConn {
	c := &ServerConn{
		server: s, cfg: cfg, raw: conn, conn: conn,
		done: make(chan struct{}), writeOK: true, intercepts: cfg.Intercept != nil,
	}
	c.in.init(c.read)
	return c
}

// Conn returns the connection as it was accepted, beneath TLS. Whoever reads from it
// breaks the session; it is there to look at, to stall, to reset.
func (c *ServerConn) Conn() net.Conn { return c.raw }

// Remote returns the client's address; the zero value when the transport has none.
func (c *ServerConn) Remote() netip.AddrPort { return c.remote }

// Local returns the address that the client connected to.
func (c *ServerConn) Local() netip.AddrPort { return c.local }

// Helo returns what the client called itself in its last EHLO or HELO; checked to be
// printable, at most 255 octets, otherwise untrusted.
func (c *ServerConn) Helo() string { return c.helo }

// Login returns the authenticated user, or nothing.
func (c *ServerConn) Login() string { return c.login }

// TLS returns the state of the TLS connection, nil in clear.
func (c *ServerConn) TLS() *tls.ConnectionState { return c.tls }

// Done is closed when the session has ended.
func (c *ServerConn) Done() <-chan struct{} { return c.done }

// Protocol returns the WITH keyword of a Received field (RFC 3848, RFC 6531 §4.3):
// SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, or the UTF8SMTP forms of the last four.
func (c *ServerConn) Protocol() string {
	if !c.esmtp {
		return "SMTP"
	}
	p := "ESMTP"
	if c.mail.SMTPUTF8 {
		p = "UTF8SMTP"
	}
	if c.tls != nil {
		p += "S"
	}
	if c.login != "" {
		p += "A"
	}
	return p
}

// Safe reports whether passwords may cross this connection: under TLS, or between
// loopback addresses.
func (c *ServerConn) Safe() bool {
	return c.tls != nil || c.remote.Addr().IsLoopback() && c.local.Addr().IsLoopback()
}

// Abort cuts the connection; the session ends as soon as it notices.
func (c *ServerConn) Abort() { _ = c.raw.Close() }

// WriteRaw sends p as it is, after the replies that wait: for receivers that
// misbehave on purpose.
func (c *ServerConn) WriteRaw(p []byte) error {
	c.out = append(c.out, p...)
	return c.Flush()
}

// run is the life of the connection.
func (c *ServerConn) run() {
	defer c.end()
	// With PROXY protocol this is where its header is read.
	c.remote, c.local = addrPort(c.conn.RemoteAddr()), addrPort(c.conn.LocalAddr())
	if refuse := c.server.admit(c); refuse.Code != 0 {
		if h, ok := c.server.handler.(Refuser); ok {
			h.Refused(refuse)
		}
		_ = c.reply(mail.StageNone, refuse)
		return
	}
	session, greeting := c.server.handler.NewSession(c)
	if greeting.Code == 0 {
		greeting.Code = 220
	}
	if greeting.Text == "" {
		greeting.Text = c.cfg.Hostname + " " + c.cfg.Banner
	}
	if session == nil && greeting.Code == 220 {
		greeting = mail.Reply{Code: 421, Text: c.cfg.Hostname + " cannot serve you now"}
	}
	c.session = session
	err := c.reply(mail.StageGreeting, greeting)
	if greeting.Code != 220 || err != nil {
		return
	}
	for err == nil {
		err = c.command()
	}
	c.cutOff = errors.Is(err, errHangUp) && c.said >= 400
	switch {
	case errors.Is(err, errShutdown):
		_ = c.reply(mail.StageNone, mail.Reply{Code: 421, Enhanced: "4.3.2", Text: c.cfg.Hostname + " is shutting down"})
	case errors.Is(err, os.ErrDeadlineExceeded) && c.writeOK:
		_ = c.reply(mail.StageNone, mail.Reply{Code: 421, Enhanced: "4.4.2", Text: c.cfg.Hostname + " waited too long"})
	}
}

func (c *ServerConn) end() {
	_ = c.Flush()
	if c.cutOff && !c.server.closing.Load() {
		c.linger()
	}
	if c.session != nil {
		c.session.Close()
	}
	close(c.done)
	_ = c.conn.Close()
	c.in.release()
	c.server.removeConn(c)
}

// linger reads on a little after a session that we have ended: closing with input
// unread resets the connection, and the client would never see why.
func (c *ServerConn) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.raw.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	for left := lingerBytes; left > 0; {
		n, err := c.raw.Read(c.in.buf)
		if err != nil {
			return
		}
		left -= n
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// wake interrupts a session that waits for a command. closing is already set.
func (c *ServerConn) wake() {
	if !c.inContent.Load() {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// read is the only place where a session blocks on its client: replies that gathered
// go out first, and the deadline is set here, once for each read and not for each line.
func (c *ServerConn) read(p []byte) (int, error) {
	if len(c.out) > 0 {
		if err := c.Flush(); err != nil {
			return 0, err
		}
		// Others first: by the time they are done the client may have answered, and the
		// read need not fail, park and be polled for. Alone on the machine it costs nothing.
		runtime.Gosched()
	}
	for {
		limit, idle := c.deadline()
		if err := c.conn.SetReadDeadline(limit); err != nil {
			return 0, err
		}
		// After the deadline is set: Shutdown sets closing first and the deadline then, so
		// one of the two is noticed.
		if c.server.closing.Load() && !c.inContent.Load() {
			return 0, errShutdown
		}
		n, err := c.conn.Read(p)
		if n > 0 {
			c.received += int64(n)
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		switch early := time.Now().Before(limit); {
		case early: // woken by Shutdown: the check above decides
		case idle:
			return 0, errIdle
		default:
			return 0, err
		}
	}
}

// deadline returns when the read that is about to begin must have brought something,
// and whether that is only the time to give back a big buffer.
func (c *ServerConn) deadline() (limit time.Time, idle bool) {
	now := time.Now()
	if c.inContent.Load() {
		if c.transfer.IsZero() {
			c.transfer, c.received = now, 0
		}
		limit = now.Add(c.cfg.BlockTimeout)
		if c.cfg.MinRate > 0 {
			all := c.cfg.DataGrace + time.Duration(c.received/c.cfg.MinRate)*time.Second
			if end := c.transfer.Add(all); end.Before(limit) {
				limit = end
			}
		}
		return limit, false
	}
	if c.until.IsZero() {
		c.until = now.Add(c.cfg.CommandTimeout)
	}
	if c.in.big != nil && len(c.in.unread()) == 0 && now.Add(idleBuffer).Before(c.until) {
		return now.Add(idleBuffer), true
	}
	return c.until, false
}

// Flush sends the replies that have gathered.
func (c *ServerConn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if !c.writeOK {
		c.out = c.out[:0]
		return errHangUp
	}
	err := c.limitWrite()
	if err == nil {
		_, err = c.conn.Write(c.out)
	}
	if cap(c.out) > smallBuffer {
		c.out = nil
	} else {
		c.out = c.out[:0]
	}
	c.writeOK = err == nil
	return err
}

// limitWrite sees that the write that is about to begin ends within WriteTimeout. A
// deadline that leaves all but a hundredth of it stays in force: setting one costs more
// than looking at the clock, and busy sessions write thousands of replies a second.
func (c *ServerConn) limitWrite() error {
	now := time.Now()
	if left := c.writeBy.Sub(now); left <= c.cfg.WriteTimeout && left > c.cfg.WriteTimeout-c.cfg.WriteTimeout/100 {
		return nil
	}
	c.writeBy = now.Add(c.cfg.WriteTimeout)
	return c.conn.SetWriteDeadline(c.writeBy)
}

// reply sends one reply. An error means that the session is over.
func (c *ServerConn) reply(stage mail.Stage, r mail.Reply) error {
	if c.intercepts && !c.shed {
		verdict := c.cfg.Intercept(c, stage, &r)
		c.said = r.Code
		switch verdict {
		case SkipReply:
			return nil
		case HangUp:
			c.out = c.out[:0]
			return errHangUp
		}
	}
	c.said = r.Code
	// Before the client could say EHLO a refusal carries its enhanced code too: what it
	// cannot read as one is text to it.
	c.out = appendReply(c.out, r, c.enhanced || c.helo == "" && r.Code >= 400)
	if len(c.out) > bigBuffer {
		if err := c.Flush(); err != nil {
			return err
		}
	}
	if r.Code == 421 {
		return errHangUp
	}
	switch {
	case c.session == nil:
	case r.Code >= 500:
		return c.countError()
	case r.Code >= 400:
		return c.countIdle()
	}
	return nil
}

// countIdle ends a session that goes on without mail.
func (c *ServerConn) countIdle() error {
	c.idleCmds++
	if c.cfg.MaxIdleCommands > 0 && c.idleCmds > c.cfg.MaxIdleCommands {
		return c.reply(mail.StageNone, replyIdleCmds)
	}
	return nil
}

// countError ends a session that makes too many errors.
func (c *ServerConn) countError() error {
	c.errors++
	if c.cfg.MaxErrors > 0 && c.errors > c.cfg.MaxErrors {
		return c.reply(mail.StageNone, mail.Reply{Code: 421, Enhanced: "4.7.0", Text: c.cfg.Hostname + " too many errors"})
	}
	return nil
}

// appendReply writes r, one line for each line of its text, with the enhanced code
// on each when the client said EHLO (RFC 2034). Line ends and control characters cannot
// get into a line: r may quote what a client sent.
func appendReply(dst []byte, r mail.Reply, enhanced bool) []byte {
	if r.Code < 200 || r.Code > 599 {
		r = mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "internal error"}
	}
	text := r.Text
	for {
		line, rest, more := strings.Cut(text, "\n")
		dst = strconv.AppendInt(dst, int64(r.Code), 10)
		if more {
			dst = append(dst, '-')
		} else {
			dst = append(dst, ' ')
		}
		if enhanced && r.Enhanced != "" {
			dst = append(dst, r.Enhanced...)
			dst = append(dst, ' ')
		}
		const room = 490 // a reply line has at most 512 octets (RFC 5321 §4.5.3.1.5)
		for i := range min(len(line), room) {
			if b := line[i]; b < ' ' || b == 0x7f {
				dst = append(dst, '?')
			} else {
				dst = append(dst, b)
			}
		}
		dst = append(dst, '\r', '\n')
		if !more {
			return dst
		}
		text = rest
	}
}
