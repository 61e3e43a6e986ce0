package rig

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is a small SOCKS5 proxy, or one that takes the PROXY protocol, version 2. It counts
// the connections that it makes at a time.
type Proxy struct {
	Addr string
	// Refuse, when not 0, is what it answers a SOCKS5 request with.
	Refuse atomic.Int32
	// From is the address that it connects from.
	From string

	user, password string
	listener       net.Listener
	mu             sync.Mutex
	open, peak     int
	made           int
	sources        map[string]int // by the source that a PROXY header names
	conns          map[net.Conn]bool
	wg             sync.WaitGroup
}

// StartProxy starts a proxy that connects from an address. With a user it wants that login.
func StartProxy(t testing.TB, haproxy bool, from, user, password string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), From: from, user: user, password: password, listener: l, sources: map[string]int{}, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c, haproxy) })
		}
	})
	t.Cleanup(p.Stop)
	return p
}

// Stop ends it with all its connections.
func (p *Proxy) Stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Counts returns how many connections it has made in all, and at a time at most.
func (p *Proxy) Counts() (made, peak int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made, p.peak
}

// Sources returns the sources that PROXY headers have named.
func (p *Proxy) Sources() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for k, v := range p.sources {
		out[k] = v
	}
	return out
}

func (p *Proxy) serve(c net.Conn, haproxy bool) {
	defer p.forget(c)
	p.remember(c)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	var to netip.AddrPort
	var ok bool
	if haproxy {
		to, ok = p.header(in)
	} else {
		to, ok = p.socks(c, in)
	}
	if !ok {
		return
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(p.From)}}
	out, err := d.Dial("tcp", to.String())
	if err != nil {
		if !haproxy {
			_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		}
		return
	}
	defer p.forget(out)
	p.remember(out)
	p.count(1)
	defer p.count(-1)
	if !haproxy {
		a := netip.MustParseAddrPort(out.LocalAddr().String())
		reply := append([]byte{5, 0, 0, 1}, a.Addr().AsSlice()...)
		_, _ = c.Write(binary.BigEndian.AppendUint16(reply, a.Port()))
	}
	_ = c.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, in)
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, out)
	_ = c.(*net.TCPConn).CloseWrite()
	<-done
}

func (p *Proxy) remember(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) count(by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += by
	p.peak = max(p.peak, p.open)
	if by > 0 {
		p.made++
	}
}

// socks reads a SOCKS5 request to connect to an IPv4 address.
func (p *Proxy) socks(c net.Conn, in *bufio.Reader) (to netip.AddrPort, ok bool) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		return to, false
	}
	if _, err := in.Discard(int(head[1])); err != nil {
		return to, false
	}
	if p.user == "" {
		_, _ = c.Write([]byte{5, 0})
	} else {
		_, _ = c.Write([]byte{5, 2})
		user, password := readLogin(in)
		if user != p.user || password != p.password {
			_, _ = c.Write([]byte{1, 1})
			return to, false
		}
		_, _ = c.Write([]byte{1, 0})
	}
	request := make([]byte, 10)
	if _, err := io.ReadFull(in, request); err != nil || request[3] != 1 {
		return to, false
	}
	if code := p.Refuse.Load(); code != 0 {
		_, _ = c.Write([]byte{5, byte(code), 0, 1, 0, 0, 0, 0, 0, 0})
		return to, false
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(request[4:8])), binary.BigEndian.Uint16(request[8:])), true
}

func readLogin(in *bufio.Reader) (user, password string) {
	_, _ = in.ReadByte()
	var out [2]string
	for i := range out {
		n, _ := in.ReadByte()
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b)
		out[i] = string(b)
	}
	return out[0], out[1]
}

// header reads a PROXY header of version 2 about an IPv4 connection.
func (p *Proxy) header(in *bufio.Reader) (to netip.AddrPort, ok bool) {
	head := make([]byte, 28)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:12]) != "\r\n\r\n\x00\r\nQUIT\n" || head[12] != 0x21 || head[13] != 0x11 {
		return to, false
	}
	p.mu.Lock()
	p.sources[netip.AddrFrom4([4]byte(head[16:20])).String()+":"+strconv.Itoa(int(binary.BigEndian.Uint16(head[24:])))]++
	p.mu.Unlock()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(head[20:24])), binary.BigEndian.Uint16(head[26:])), true
}
