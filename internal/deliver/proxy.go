package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// proxyError is trouble with the proxy, not with the receiver behind it.
type proxyError struct {
	proxy *policy.Proxy
	err   error
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("proxy %s: %v", e.proxy.Address, e.err)
}

func (e *proxyError) Unwrap() error { return e.err }

// proxied is a connection that a proxy makes for us: what the receiver sees as its source is
// the proxy's to say.
type proxied struct {
	*net.TCPConn
	local net.Addr
}

func (p proxied) LocalAddr() net.Addr { return p.local }

// dialProxy makes one connection to a receiver through the binding's proxy, all within
// connect_timeout. Trouble with the proxy itself is a *proxyError.
func dialProxy(ctx context.Context, c *sched.Connect) (net.Conn, error) {
	s := c.Policy.Session
	p := &s.Proxy
	ctx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	conn, err := d.DialContext(ctx, "tcp", p.Address.String())
	if err != nil {
		return nil, &proxyError{p, err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	from, err := introduce(conn, s, netip.AddrPortFrom(c.Address, c.Port))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		var said socksError
		if errors.As(err, &said) && said.receivers() {
			return nil, err
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &proxyError{p, err}
	}
	return proxied{conn.(*net.TCPConn), net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}, nil
}

// introduce tells the proxy where the connection is to go, and returns the source address that
// the receiver sees, as far as it is known.
func introduce(conn net.Conn, s *policy.Session, to netip.AddrPort) (netip.Addr, error) {
	from := source(s, to.Addr())
	if s.Proxy.Kind == policy.ProxySOCKS5 {
		bound, err := socks(conn, &s.Proxy, to)
		if bound.IsValid() {
			from = bound
		}
		return from, err
	}
	if !from.IsValid() { // the proxy uses its own
		from = netip.IPv4Unspecified()
		if to.Addr().Is6() {
			from = netip.IPv6Unspecified()
		}
	}
	header := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.TCPAddrFromAddrPort(to))
	_, err := header.WriteTo(conn)
	if from.IsUnspecified() {
		from = netip.Addr{}
	}
	return from, err
}

// proxyFailure tells trouble with the proxy from the receiver's: the binding cannot send,
// nobody else is to blame, and it costs no attempt.
func proxyFailure(err error, c *sched.Connect) (sched.ConnectClass, mail.Reply) {
	what := fmt.Sprintf("connect to %s [%s]:%d through the ", c.Host, c.Address, c.Port)
	var p *proxyError
	if !errors.As(err, &p) {
		return sched.ConnectHost, mail.Reply{Enhanced: "4.4.1", Stage: mail.StageConnect, Text: fmt.Sprintf("%sproxy %s: %v", what, c.Policy.Session.Proxy.Address, err)}
	}
	class, cause := sched.ConnectLocalAddress, p.err
	switch dialClass(p.err, netip.Addr{}, p.proxy.Address.Addr()) {
	case sched.ConnectAborted:
		class = sched.ConnectAborted
	case sched.ConnectLocalFiles:
		class = sched.ConnectLocalFiles
	}
	var op *net.OpError
	if errors.As(cause, &op) {
		cause = op.Err
	}
	return class, mail.Reply{
		Enhanced: "4.4.1", Stage: mail.StageConnect,
		Text: fmt.Sprintf("%sproxy %s: %v: nothing is sent through this binding until the proxy does its part", what, p.proxy.Address, cause),
	}
}
