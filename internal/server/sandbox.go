package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sink"
)

// sandbox is the world of `serve --sandbox`: every domain's mail goes to one built-in
// receiver, and nothing else can be connected to.
type sandbox struct {
	sink    *sink.Sink
	address netip.AddrPort
}

func newSandbox(o sink.Options) (*sandbox, error) {
	s, err := sink.Start(o)
	if err != nil {
		return nil, fmt.Errorf("sandbox: start the receiver: %w", err)
	}
	a, err := netip.ParseAddrPort(s.Addr())
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("sandbox: address of the receiver: %w", err)
	}
	return &sandbox{sink: s, address: a}, nil
}

// sandboxTTL is how long the sandbox's routes hold.
const sandboxTTL = time.Hour

// resolve sends every domain to the receiver, by an MX host of the domain's own.
func (b *sandbox) resolve(ctx context.Context, q sched.Resolve, host func(binding, host string, addrs []netip.Addr) *policy.Host,
	roll func(context.Context, sched.Resolve, []string) (dns.Rolled, error), now int64,
) sched.Resolved {
	name := sandboxHost(q.Domain)
	addrs := []netip.Addr{b.address.Addr()}
	var rolled dns.Rolled
	if q.Policy.Gateway != "" {
		name = q.Policy.Gateway
	} else {
		rolled, _ = roll(ctx, q, []string{name}) // its names are all known
		if rolled.Policy != nil && rolled.Policy.Gateway != "" {
			name = rolled.Policy.Gateway
		}
	}
	return sched.Resolved{
		Binding: q.Binding, Domain: q.Domain, Class: mail.ClassDelivered, Until: now + int64(sandboxTTL),
		Routing: rolled.Routing, Policy: rolled.Policy, Generation: rolled.Generation, MX: []string{name}, Best: 1,
		Hosts: []sched.RouteHost{{
			Name: name, Preference: 10, Addresses: addrs, Port: b.address.Port(),
			TLS: sched.TLSIfAvailable, Policy: host(q.Binding, name, addrs),
		}},
	}
}

// sandboxHost is the MX host of a domain.
func sandboxHost(domain string) string { return "mx." + domain }

// dial connects to the receiver whatever was asked for: nothing leaves the machine even
// if a configuration names other ports or routes. A binding's address is used when it is
// a loopback one, so that the receiver can tell bindings apart.
func (b *sandbox) dial(ctx context.Context, c *sched.Connect) (net.Conn, error) {
	session := c.Policy.Session
	d := net.Dialer{Timeout: session.ConnectTimeout}
	if session.Source4.IsLoopback() {
		d.LocalAddr = &net.TCPAddr{IP: session.Source4.AsSlice()}
	}
	return d.DialContext(ctx, "tcp", b.address.String())
}

// SandboxStatus is the address at which an HTTP GET returns what the sandbox's receiver
// has seen; empty without a sandbox.
func (s *Server) SandboxStatus() string {
	if s.sandbox == nil {
		return ""
	}
	return s.sandbox.sink.StatusAddr()
}
