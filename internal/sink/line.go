package sink

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// transport is what a session talks over: the socket itself, or a line before it.
type transport interface {
	io.ReadWriteCloser
	CloseWrite() error
	// WriteLast writes what is already a goodbye: the connection stops counting before.
	WriteLast(p []byte) (int, error)
}

// lineWindow bounds the octets under way in one direction of a line.
const lineWindow = 1 << 20

// line delays a socket as a distance does: every octet and the end of stream arrive
// half the round-trip time later, in order, in each direction. Nothing else is held
// back: what is sent while other octets are under way is under way too.
type line struct {
	sock  *socket
	half  time.Duration
	in    *pipe
	out   *pipe
	loops sync.WaitGroup

	forget func() bool // takes cut off the context
}

// cut ends both directions; what is under way is lost.
func (l *line) cut() {
	l.in.stop()
	l.out.stop()
}

// newLine starts the two directions. They end when the session has closed the line
// and what was under way has arrived, or at once when done ends.
func newLine(done context.Context, a *alarm, s *socket, rtt time.Duration) *line {
	l := &line{sock: s, half: rtt / 2, in: newPipe(a), out: newPipe(a)}
	l.forget = context.AfterFunc(done, l.cut)
	l.loops.Add(2)
	go l.receive()
	go l.send()
	return l
}

func (l *line) receive() {
	defer l.loops.Done()
	buf := make([]byte, 32<<10)
	for {
		n, err := l.sock.Read(buf)
		p := packet{due: time.Now().Add(l.half), err: err}
		p.data = append(p.data, buf[:n]...)
		if !l.in.put(p) || err != nil {
			return
		}
	}
}

// send carries packets to the socket and, as the last, closes it.
func (l *line) send() {
	defer l.loops.Done()
	defer func() {
		_ = l.sock.Close() // the session has said goodbye: nobody is left to be told
		l.cut()
	}()
	for {
		p, ok := l.out.take()
		if !ok || p.err == os.ErrClosed {
			return
		}
		var err error
		switch {
		case p.err == io.EOF:
			err = l.sock.CloseWrite()
		case p.last:
			_, err = l.sock.WriteLast(p.data)
		default:
			_, err = l.sock.Write(p.data)
		}
		if err != nil {
			return
		}
	}
}

func (l *line) Read(b []byte) (int, error) { return l.in.read(b) }

func (l *line) Write(b []byte) (int, error) { return l.write(b, false) }

func (l *line) WriteLast(b []byte) (int, error) { return l.write(b, true) }

func (l *line) write(b []byte, last bool) (int, error) {
	for sent := 0; sent < len(b); {
		chunk := b[sent:min(len(b), sent+32<<10)]
		if !l.out.put(packet{due: time.Now().Add(l.half), data: append([]byte(nil), chunk...), last: last}) {
			return sent, net.ErrClosed
		}
		sent += len(chunk)
	}
	return len(b), nil
}

// CloseWrite lets the end of stream follow what was written.
func (l *line) CloseWrite() error {
	l.out.put(packet{due: time.Now().Add(l.half), err: io.EOF})
	return nil
}

// Close lets the close follow what was written and waits until it is done.
func (l *line) Close() error {
	l.out.put(packet{due: time.Now().Add(l.half), err: os.ErrClosed})
	l.loops.Wait()
	l.forget()
	return nil
}

// packet is octets or an end that arrives at due.
type packet struct {
	due  time.Time
	data []byte
	last bool  // a goodbye: see transport
	err  error // io.EOF: end of stream; os.ErrClosed: close; else what Read said
}

func (p packet) size() int { return len(p.data) + 64 } // 64: what a packet itself takes

// pipe is one direction: a queue with one producer and one consumer.
type pipe struct {
	alarm   *alarm
	mu      sync.Mutex
	queue   []packet
	size    int
	stopped bool

	filled chan struct{} // something was put
	taken  chan struct{} // something was taken
	done   chan struct{} // stopped
}

func newPipe(a *alarm) *pipe {
	return &pipe{alarm: a, filled: make(chan struct{}, 1), taken: make(chan struct{}, 1), done: make(chan struct{})}
}

func (p *pipe) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		close(p.done)
	}
}

// put waits for room and reports whether the packet is under way.
func (p *pipe) put(pkt packet) bool {
	for {
		p.mu.Lock()
		if p.stopped {
			p.mu.Unlock()
			return false
		}
		if p.size < lineWindow {
			p.queue = append(p.queue, pkt)
			p.size += pkt.size()
			p.mu.Unlock()
			signal(p.filled)
			return true
		}
		p.mu.Unlock()
		select {
		case <-p.taken:
		case <-p.done:
			return false
		}
	}
}

// first waits until the oldest packet is due and returns it, still in the queue.
func (p *pipe) first() (packet, bool) {
	for {
		p.mu.Lock()
		some := len(p.queue) > 0
		var pkt packet
		if some {
			pkt = p.queue[0]
		}
		p.mu.Unlock()
		if !some {
			select {
			case <-p.filled:
				continue
			case <-p.done:
				return packet{}, false
			}
		}
		return pkt, p.alarm.until(pkt.due, p.done)
	}
}

// take removes the oldest packet when it is due.
func (p *pipe) take() (packet, bool) {
	pkt, ok := p.first()
	if ok {
		p.advance(len(pkt.data), true)
	}
	return pkt, ok
}

// read copies what has arrived. An end stays: it is read again and again.
func (p *pipe) read(b []byte) (int, error) {
	pkt, ok := p.first()
	if !ok {
		return 0, net.ErrClosed
	}
	if len(pkt.data) == 0 && pkt.err != nil {
		return 0, pkt.err
	}
	n := copy(b, pkt.data)
	p.advance(n, n == len(pkt.data) && pkt.err == nil)
	return n, nil
}

// advance takes n octets off the oldest packet, and the packet when whole is set.
func (p *pipe) advance(n int, whole bool) {
	p.mu.Lock()
	if whole {
		p.size -= p.queue[0].size()
		p.queue[0] = packet{}
		p.queue = p.queue[1:]
	} else {
		p.queue[0].data = p.queue[0].data[n:]
		p.size -= n
	}
	p.mu.Unlock()
	signal(p.taken)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
