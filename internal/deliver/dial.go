package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// source returns the binding's own address of the family of to; invalid: the system
// chooses.
func source(s *policy.Session, to netip.Addr) netip.Addr {
	if to.Is4() {
		return s.Source4
	}
	return s.Source6
}

// dial makes one TCP connection from the binding's address, or through its proxy.
func dial(ctx context.Context, c *sched.Connect) (net.Conn, error) {
	s := c.Policy.Session
	if s.Proxy.Kind != policy.NoProxy {
		return dialProxy(ctx, c)
	}
	d := net.Dialer{
		Timeout: s.ConnectTimeout,
		// Every wait has a deadline, and idle connections are ended by the scheduler.
		KeepAlive: -1,
	}
	if from := source(s, c.Address); from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		d.Control = shareLocalPorts
	}
	return d.DialContext(ctx, "tcp", netip.AddrPortFrom(c.Address, c.Port).String())
}

// prohibited refuses, as a second line behind routing, to connect where mail must never go.
func (c *conn) prohibited(s *policy.Session) *ending {
	why := ""
	if c.agent.cfg.OwnListener(netip.AddrPortFrom(c.action.Address, c.action.Port)) {
		why = "it is our own listener: the mail would come back"
	}
	// It protects from other people's records, not from the operator's own gateway or routes.
	for _, p := range s.Prohibited {
		if s.Gateway == "" && len(s.Routes) == 0 && p.Contains(c.action.Address) {
			why = fmt.Sprintf("prohibited_hosts has %s", p)
			break
		}
	}
	if why == "" {
		return nil
	}
	return &ending{class: sched.ConnectHost, reply: mail.Reply{
		Enhanced: "5.4.6", Stage: mail.StageConnect,
		Text: fmt.Sprintf("no connection to %s [%s]: %s", c.action.Host, c.action.Address, why),
	}}
}

// dialFailure tells trouble of our own from the receiver's, and puts it into words.
func dialFailure(err error, c *sched.Connect) (sched.ConnectClass, mail.Reply) {
	if c.Policy.Session.Proxy.Kind != policy.NoProxy {
		return proxyFailure(err, c)
	}
	from := source(c.Policy.Session, c.Address)
	class := dialClass(err, from, c.Address)
	what := fmt.Sprintf("connect to %s [%s]:%d", c.Host, c.Address, c.Port)
	remedy := ""
	switch class {
	case sched.ConnectLocalAddress:
		what += fmt.Sprintf(" from %s", from)
		remedy = ": the address is not on this machine"
	case sched.ConnectLocalPorts:
		remedy = ": no local port left for this source and destination (net.ipv4.ip_local_port_range)"
	case sched.ConnectLocalFiles:
		remedy = ": raise the open-file limit"
	case sched.ConnectLocalRoute:
		remedy = ": this machine has no route for it"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return class, mail.Reply{
		Enhanced: "4.4.1", Stage: mail.StageConnect,
		Text: fmt.Sprintf("%s: %v%s", what, err, remedy),
	}
}

func dialClass(err error, from, to netip.Addr) sched.ConnectClass {
	call := ""
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		call = sys.Syscall
	}
	var addrErr *net.AddrError
	switch {
	case errors.Is(err, context.Canceled):
		return sched.ConnectAborted
	case errors.As(err, &addrErr): // source and destination are of different families
		return sched.ConnectLocalRoute
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM):
		return sched.ConnectLocalFiles
	case errors.Is(err, syscall.EADDRNOTAVAIL) && call == "bind":
		return sched.ConnectLocalAddress
	case isAny(err, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EAGAIN):
		// The port is chosen at connect(2), or at bind(2) on systems that cannot put it off.
		return sched.ConnectLocalPorts
	case isAny(err, syscall.EAFNOSUPPORT, syscall.EPERM, syscall.EACCES, syscall.EINVAL):
		// No such family here; a rule of our own firewall; a loopback source for a far address.
		return sched.ConnectLocalRoute
	case isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH) && !routed(from, to):
		return sched.ConnectLocalRoute
	}
	return sched.ConnectHost
}

func isAny(err error, codes ...syscall.Errno) bool {
	for _, code := range codes {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// routed reports whether this machine has a route from from to to. Connecting a UDP socket
// looks up the route and sends nothing, so that "unreachable" from our own table is told
// from the same word coming back over the network.
func routed(from, to netip.Addr) bool {
	d := net.Dialer{}
	if from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	probe, err := d.Dial("udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return !isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH)
	}
	_ = probe.Close()
	return true
}
