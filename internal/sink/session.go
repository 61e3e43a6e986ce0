package sink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

const (
	maxLine       = 4096      // of a command, octets
	maxRcpts      = 10_000    // of a transaction
	maxMistakes   = 50        // bad commands before the sink hangs up
	maxEndless    = 64 << 20  // octets of an endless reply
	maxStall      = time.Hour // of one stall
	stallLook     = 50 * time.Millisecond
	lingerTime    = time.Second // for a client to take the reply that comes before a close
	greetingWords = "ESMTP sluice sink"
)

// session is one conversation.
type session struct {
	sink *Sink
	sock *socket
	conn transport // the socket or its line
	tls  *tls.Conn // over conn, after STARTTLS
	r    *bufio.Reader
	w    *bufio.Writer
	dice dice

	slow, bareLF, endless bool // faults of the whole session
	mistakes              int
	hello                 bool
	tx                    *transaction
}

func newSession(s *Sink, sock *socket, number uint64) *session {
	var conn transport = sock
	if s.opts.Latency > 0 {
		conn = newLine(s.done, s.alarm, sock, s.opts.Latency)
	}
	return &session{
		sink: s, sock: sock, conn: conn, dice: newDice(s.shares, s.opts.Seed, number),
		r: bufio.NewReaderSize(conn, 16<<10), w: bufio.NewWriterSize(conn, 2<<10),
	}
}

// run speaks until the connection has ended, and closes it.
func (s *session) run(over string) {
	defer s.close()
	if !s.greet(over) {
		return
	}
	for {
		l, err := s.readLine()
		if errors.Is(err, bufio.ErrBufferFull) {
			s.sink.tally.mistake()
			s.reply("500 5.5.2 line too long")
			s.hangUp()
			return
		}
		if err != nil || !s.command(parseCommand(l)) {
			break
		}
	}
	s.endTransaction()
}

// greet settles whether the connection is served; only then there is a greeting.
func (s *session) greet(over string) bool {
	refuse := func(reason, reply string) bool {
		s.sink.referee.settleGreeting(s.sock, reason)
		if reply != "" {
			s.reply(reply)
			s.hangUp()
		}
		return false
	}
	switch {
	case over != "":
		if s.sink.opts.Over == OverDrop {
			return refuse(over, "")
		}
		return refuse(over, "421 4.7.0 "+overText[over])
	case s.fault(Greeting4xx):
		return refuse(string(Greeting4xx), "421 4.3.2 service not available, try again later")
	case s.fault(CloseAtGreeting):
		return refuse(string(CloseAtGreeting), "")
	}
	s.sink.referee.settleGreeting(s.sock, "")
	s.slow, s.bareLF, s.endless = s.fault(SlowReplies), s.fault(BareLFReply), s.fault(EndlessReply)
	if s.fault(StallGreeting) {
		s.stall()
		return false
	}
	s.reply("220 " + s.sink.opts.Hostname + " " + greetingWords)
	return true
}

var overText = map[string]string{
	"max-connections":        "too many connections",
	"max-connections-per-ip": "too many concurrent connections from your address",
	"conn-rate":              "connections are opened too fast",
	"msg-rate":               "messages come too fast",
}

// fault rolls for a fault and counts it when it is played.
func (s *session) fault(k FaultKind) bool {
	hit := s.dice.roll(k)
	if hit {
		s.sink.tally.fault(k)
	}
	return hit
}

// readLine returns the next command. What was replied is sent before the session waits
// for more, not earlier: replies to pipelined commands leave together.
func (s *session) readLine() (string, error) {
	buffered, _ := s.r.Peek(s.r.Buffered()) // what is there already: no error
	if bytes.IndexByte(buffered, '\n') < 0 {
		if err := s.w.Flush(); err != nil {
			return "", err
		}
	}
	l, err := s.r.ReadSlice('\n')
	if err == nil && len(l) > maxLine {
		err = bufio.ErrBufferFull
	}
	return string(l), err
}

// reply writes lines of one reply as they stand, each with its code; the line ends,
// the delays and the speed are those of the session. An error shows at the next read.
func (s *session) reply(lines ...string) {
	end := "\r\n"
	if s.bareLF {
		end = "\n"
	}
	if s.sink.opts.Think > 0 {
		_ = s.w.Flush()
		s.sink.wait(s.sink.opts.Think)
	}
	text := strings.Join(lines, end) + end
	if !s.slow {
		_, _ = s.w.WriteString(text)
		if s.sink.opts.Think > 0 {
			_ = s.w.Flush()
		}
		return
	}
	for i := range len(text) {
		_ = s.w.WriteByte(text[i])
		if s.w.Flush() != nil || !s.sink.wait(s.sink.opts.SlowEvery) {
			return
		}
	}
}

// stall says nothing until the client has closed, the sink stops or an hour is over.
func (s *session) stall() {
	_ = s.w.Flush()
	for range maxStall / stallLook {
		if s.sock.gone() || !s.sink.wait(stallLook) {
			return
		}
	}
}

// endlessReply continues a reply until the client has closed, with a bound of its own.
func (s *session) endlessReply() {
	const l = "250-X-ENDLESS this reply does not end\r\n"
	for range maxEndless / len(l) {
		if _, err := s.w.WriteString(l); err != nil {
			return
		}
	}
}

// hangUp lets the last reply arrive: end of stream first, then what the client has
// still sent is read away for a moment, so that the close is no reset.
func (s *session) hangUp() {
	if s.w.Flush() != nil || s.tls != nil && s.tls.CloseWrite() != nil || s.conn.CloseWrite() != nil {
		return
	}
	timer := time.AfterFunc(lingerTime+s.sink.opts.Latency, func() { _ = s.sock.Close() })
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, s.conn)
}

// close ends the connection, whoever speaks over it.
func (s *session) close() {
	_ = s.w.Flush()
	if s.tls != nil {
		_ = s.tls.Close() // close_notify through goodbye, then conn.Close
		return
	}
	_ = s.conn.Close()
}

// startTLS answers STARTTLS (RFC 3207). Octets that came with the command in the clear
// are thrown away: they are not the client's (§4.2).
func (s *session) startTLS() bool {
	if s.sink.tlsConfig == nil || s.tls != nil {
		s.reply("502 5.5.1 not offered")
		return true
	}
	if s.fault(StallSTARTTLS) {
		s.stall()
		return false
	}
	s.reply("220 2.0.0 go ahead")
	if s.w.Flush() != nil {
		return false
	}
	carrier := &tlsCarrier{transport: s.conn, sock: s.sock}
	conn := tls.Server(carrier, s.sink.tlsConfig)
	if conn.Handshake() != nil {
		return false
	}
	carrier.established = true
	s.tls = conn
	s.r.Reset(conn)
	s.w.Reset(conn)
	s.hello, s.tx = false, nil
	return true
}

// tlsCarrier gives crypto/tls the net.Conn that it asks for. Deadlines are the
// socket's own; what tls writes while it closes is a goodbye.
type tlsCarrier struct {
	transport
	sock        *socket
	established bool
	closing     bool
}

func (c *tlsCarrier) Write(p []byte) (int, error) {
	if c.closing {
		return c.WriteLast(p)
	}
	return c.transport.Write(p)
}

// SetWriteDeadline is what tls.Conn.Close does before its close_notify.
func (c *tlsCarrier) SetWriteDeadline(time.Time) error {
	c.closing = c.established
	return nil
}
func (c *tlsCarrier) SetReadDeadline(time.Time) error { return nil }
func (c *tlsCarrier) SetDeadline(time.Time) error     { return nil }
func (c *tlsCarrier) LocalAddr() net.Addr             { return net.TCPAddrFromAddrPort(c.sock.local) }

func (c *tlsCarrier) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.sock.remote) }
