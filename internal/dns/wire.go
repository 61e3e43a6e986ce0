package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	mdns "github.com/miekg/dns"
)

// Bounds of the network side.
const (
	maxServers   = 4
	maxExchanges = 256 // sockets open at once
	maxStray     = 32  // datagrams ignored while waiting for the answer
)

// wire asks servers over the network. Safe for concurrent use.
type wire struct {
	base     context.Context // ends with the resolver
	servers  func() []string // host:port
	timeout  time.Duration   // of one exchange with one server
	attempts int             // rounds over all servers
	slots    chan struct{}

	good atomic.Uint32 // index of the server that answered last: asked first

	probe probe
}

func newWire(base context.Context, servers func() []string, timeout time.Duration, attempts int) *wire {
	return &wire{base: base, servers: servers, timeout: timeout, attempts: attempts, slots: make(chan struct{}, maxExchanges)}
}

// list returns the servers, host:port.
func (w *wire) list() []string {
	s := w.servers()
	return s[:min(len(s), maxServers)]
}

// trouble is why one server gave no usable answer.
type trouble struct {
	server string
	reason string
	silent bool // nothing came back at all
	reach  bool // not even the question could be sent, or the port is closed
}

// ask puts the question to each server in turn until one gives an answer. The error is
// a *Failure.
func (w *wire) ask(ctx context.Context, name string, t Type) (Answer, string, error) {
	servers := w.list()
	var last []trouble
	if w.probe.knownDead() {
		return Answer{}, "", &Failure{Name: name, Type: t, Reason: "no resolver answers", Local: true}
	}
	for range w.attempts {
		last = last[:0]
		first := int(w.good.Load())
		for i := range servers {
			at := (first + i) % len(servers)
			a, next, bad := w.askOne(ctx, servers[at], name, t)
			if bad == nil {
				w.good.Store(uint32(at))
				return a, next, nil
			}
			bad.server = servers[at]
			last = append(last, *bad)
			if ctx.Err() != nil {
				return Answer{}, "", w.failure(name, t, last)
			}
		}
	}
	return Answer{}, "", w.failure(name, t, last)
}

// failure puts the troubles of the last round into words and decides whose they are.
func (w *wire) failure(name string, t Type, last []trouble) *Failure {
	f := &Failure{Name: name, Type: t}
	silent, unreached := 0, 0
	var words []string
	for _, b := range last {
		words = append(words, b.server+": "+b.reason)
		if b.silent {
			silent++
		}
		if b.reach {
			unreached++
		}
	}
	f.Reason = strings.Join(words, "; ")
	switch {
	case len(last) == 0:
		f.Reason, f.Local = "no resolver is configured", true
	case unreached == len(last):
		f.Local = true
	case silent == len(last) && w.base.Err() == nil:
		f.Local = !w.anyAlive()
	}
	if f.Local {
		f.Reason = "no resolver answers: " + f.Reason
	}
	return f
}

// askOne puts the question to one server: over UDP, over TCP when the answer does not
// fit (RFC 7766 §5), without EDNS when the server does not know it (RFC 6891 §7).
func (w *wire) askOne(ctx context.Context, server, name string, t Type) (Answer, string, *trouble) {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return Answer{}, "", &trouble{reason: "gave up waiting for other lookups"}
	}
	m := question(name, t, true)
	reply, bad := w.exchange(ctx, "udp", server, m)
	if bad == nil && (reply.Rcode == mdns.RcodeFormatError || reply.Rcode == mdns.RcodeNotImplemented) {
		m = question(name, t, false)
		reply, bad = w.exchange(ctx, "udp", server, m)
	}
	if bad == nil && reply.Truncated {
		reply, bad = w.exchange(ctx, "tcp", server, m)
		if bad != nil {
			// The server answered, over UDP: it is not silent.
			bad.reason, bad.silent, bad.reach = "truncated, and over TCP: "+bad.reason, false, false
		}
	}
	if bad != nil {
		return Answer{}, "", bad
	}
	if reply.Truncated {
		return Answer{}, "", &trouble{reason: "truncated over TCP"}
	}
	a, next, reason := interpret(reply, name, t)
	if reason != "" {
		return Answer{}, "", &trouble{reason: reason}
	}
	return a, next, nil
}

// exchange sends m and waits for its reply. Each exchange has a socket of its own, so
// the source port is random too.
func (w *wire) exchange(ctx context.Context, network, server string, m *mdns.Msg) (*mdns.Msg, *trouble) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, describe(err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	packed, err := m.Pack()
	if err != nil {
		return nil, &trouble{reason: "the question cannot be packed: " + err.Error()}
	}
	if network == "tcp" {
		return overTCP(conn, m, packed)
	}
	return overUDP(conn, m, packed)
}

func overUDP(conn net.Conn, m *mdns.Msg, packed []byte) (*mdns.Msg, *trouble) {
	if _, err := conn.Write(packed); err != nil {
		return nil, describe(err)
	}
	buf := make([]byte, 4096)
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, describe(err)
		}
		// What does not carry our id is a late answer or a forgery: it is not ours.
		if n < 12 || binary.BigEndian.Uint16(buf) != m.Id || buf[2]&0x80 == 0 {
			continue
		}
		reply := new(mdns.Msg)
		if err := reply.Unpack(buf[:n]); err != nil {
			if reply.Truncated {
				return reply, nil // cut inside a record: TCP will tell
			}
			return nil, &trouble{reason: "malformed answer"}
		}
		if answers(reply, m) {
			return reply, nil
		}
	}
	return nil, &trouble{reason: "only answers to other questions"}
}

func overTCP(conn net.Conn, m *mdns.Msg, packed []byte) (*mdns.Msg, *trouble) {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(packed)+2), uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return nil, describe(err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, describe(err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, describe(err)
	}
	reply := new(mdns.Msg)
	if err := reply.Unpack(buf); err != nil || reply.Id != m.Id || !reply.Response || !answers(reply, m) {
		return nil, &trouble{reason: "malformed answer over TCP"}
	}
	return reply, nil
}

// answers reports whether reply repeats the question of m. An error reply may leave the
// question out.
func answers(reply, m *mdns.Msg) bool {
	if len(reply.Question) == 0 {
		return reply.Rcode != mdns.RcodeSuccess && reply.Rcode != mdns.RcodeNameError
	}
	q, asked := reply.Question[0], m.Question[0]
	return len(reply.Question) == 1 && q.Qtype == asked.Qtype && q.Qclass == asked.Qclass && strings.EqualFold(q.Name, asked.Name)
}

// describe says whose trouble an error of a socket is.
func describe(err error) *trouble {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return &trouble{reason: "timed out", silent: true}
	case errors.Is(err, context.Canceled):
		return &trouble{reason: "cancelled", silent: true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &trouble{reason: "connection closed"}
	}
	reason := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		reason = errno.Error()
	}
	return &trouble{reason: reason, silent: true, reach: true}
}
