package dns

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// host is one candidate on the way to a route.
type host struct {
	name       string
	preference int
	port       uint16
	protocol   policy.Protocol
	addresses  []netip.Addr // usable, in the order to be tried
	ttl        time.Duration
	alias      string // what its name stands for
	signed     bool   // its addresses are validated
	tls        HostTLS

	// Why it cannot be used, when addresses is empty.
	invalid    bool  // its name is not one that can be looked up
	failure    error // a lookup had no answer
	us         bool  // it is this server
	prohibited netip.Addr
	skipped    netip.Addr
	withheld   mail.Reply // a policy about TLS lets no mail go to it
}

// look finds the addresses of a host in the families that the binding can use.
func (r *Router) look(ctx context.Context, h *host, s *policy.Session) {
	name, err := mail.CanonicalDomain(h.name)
	if _, ip := netip.ParseAddr(h.name); err != nil || ip == nil || h.name[0] == '[' {
		h.invalid = true // an address in the place of a name is not valid (RFC 5321 §5.1)
		return
	}
	h.name = name
	h.us = r.OwnHost != nil && r.OwnHost(name, h.port)
	var v4, v6 Answer
	var err4, err6 error
	var wait sync.WaitGroup
	if s.UseIPv6 {
		wait.Go(func() { v6, err6 = r.Resolver.Lookup(ctx, name, TypeAAAA) })
	}
	if s.UseIPv4 {
		v4, err4 = r.Resolver.Lookup(ctx, name, TypeA)
	}
	wait.Wait()
	h.ttl, h.signed = longest, true
	for _, a := range []struct {
		asked bool
		Answer
		err error
	}{{s.UseIPv4, v4, err4}, {s.UseIPv6, v6, err6}} {
		if !a.asked {
			continue
		}
		if a.err != nil {
			a.TTL, h.failure = failureKeep, a.err
		} else {
			h.signed = h.signed && a.Authentic
			h.alias = cmp.Or(a.Alias, h.alias)
		}
		h.ttl = min(h.ttl, a.TTL)
	}
	h.use(interleave(v6.Addresses, v4.Addresses), s, r.Own)
}

// use keeps of all addresses those that may be connected to.
func (h *host) use(all []netip.Addr, s *policy.Session, own func(netip.AddrPort) bool) {
	for _, a := range all {
		switch {
		case own != nil && own(netip.AddrPortFrom(a, h.port)):
			h.us = true
		case contains(s.SkipHosts, a):
			h.skipped = a
		case prohibited(s.Prohibited, a):
			h.prohibited = a
		default:
			h.addresses = append(h.addresses, a)
		}
	}
	if h.us {
		h.addresses = nil // it is us, by whatever other address it can be reached too
	}
}

// prohibited reports whether a is in the list, or is no address of one machine at all.
func prohibited(list []netip.Prefix, a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || contains(list, a)
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// interleave puts the families in turn, IPv6 first, each in its own order, so that a
// cut leaves some of both (RFC 5321 §5.2, RFC 8305 §4).
func interleave(v6, v4 []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(v6)+len(v4))
	for i := range max(len(v6), len(v4)) {
		if i < len(v6) {
			out = append(out, v6[i])
		}
		if i < len(v4) {
			out = append(out, v4[i])
		}
	}
	return out
}
