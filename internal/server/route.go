package server

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// routeBy makes the resolver of a configuration.
func (s *Server) routeBy(snap *policy.Snapshot) error {
	if s.opts.Sandbox != nil && s.sandbox == nil {
		b, err := newSandbox(*s.opts.Sandbox)
		if err != nil {
			return err
		}
		s.sandbox = b
	}
	cfg := dns.Config{Servers: snap.DNS.Resolvers, TrustAD: snap.DNS.TrustAD, Now: s.opts.Clock.Boot}
	if f := snap.DNS.ZoneFile; f != "" {
		zone, err := dns.ReadZoneFile(f)
		if err != nil {
			return fmt.Errorf("dns zone_file: %w", err)
		}
		cfg.Zone = zone
	}
	r, err := dns.New(cfg)
	if err != nil {
		return err
	}
	router := &dns.Router{Resolver: r, Now: s.opts.Clock.Boot, HostPolicy: s.policies.host, Roll: s.roll, Own: dns.Listeners(s.listening())}
	old := s.resolver.Swap(r)
	s.router.Store(router)
	if old != nil {
		s.lookups.retire(old.Stats())
		// Lookups that are on their way end by themselves.
		go func() {
			time.Sleep(time.Minute)
			old.Close()
		}()
	}
	return nil
}

// resolve answers the scheduler.
func (s *Server) resolve(ctx context.Context, q sched.Resolve, secure dns.Secure) sched.Resolved {
	r := s.policies.now.Load()
	q.Policy = r.queue(q.Binding, q.Domain, "")
	var out sched.Resolved
	if s.sandbox != nil {
		out = s.sandbox.resolve(ctx, q, s.policies.host, s.roll, s.opts.Clock.Boot())
	} else {
		out = s.router.Load().ResolveSecure(ctx, q, secure)
	}
	if out.Policy == nil { // it goes through a gateway or by routes
		out.Policy, out.Generation = q.Policy, r.Snapshot().Generation
	}
	return out
}

// lookup shows a domain's records.
func (s *Server) lookup(ctx context.Context, domain string) admin.Domain {
	out := admin.Domain{Domain: domain, MX: []admin.MX{}, TLS: []string{}}
	if s.sandbox != nil {
		out.TTL = int(sandboxTTL / time.Second)
		out.MX = []admin.MX{{
			Preference: 10, Host: sandboxHost(domain), TTL: out.TTL, AddressTTL: out.TTL,
			Addresses: []string{s.sandbox.address.Addr().String()},
		}}
		return out
	}
	l := s.resolver.Load().List(ctx, domain)
	out.Failure, out.TTL, out.Null = l.Problem, l.Seconds, l.Null
	for _, h := range l.Hosts {
		out.MX = append(out.MX, admin.MX{
			Preference: h.Preference, Host: h.Host, TTL: h.Seconds, AddressTTL: h.AddressSeconds, Failure: h.Problem,
			Addresses: texts(h.Addresses),
		})
	}
	if l.Problem == "" && !l.Null {
		out.TLS = s.explainTLS(ctx, domain)
	}
	return out
}

// Dig implements admin.Backend.
func (b backend) Dig(name string) (admin.Dig, error) {
	domain, err := mail.CanonicalDomain(name)
	if err != nil {
		return admin.Dig{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, lookupTimeout)
	defer cancel()
	out := admin.Dig{Domain: domain, Records: []admin.Record{}}
	if b.sandbox != nil {
		for _, mx := range b.lookup(ctx, domain).MX {
			out.Add(admin.Record{Name: domain, TTL: mx.TTL, Type: "MX", Data: fmt.Sprintf("%d %s.", mx.Preference, mx.Host), Source: "sandbox"})
			out.Add(admin.Record{Name: mx.Host, TTL: mx.TTL, Type: "A", Data: strings.Join(mx.Addresses, " "), Source: "sandbox"})
		}
		return out, nil
	}
	l := b.resolver.Load().List(ctx, domain)
	out.Failure, out.Null, out.NoMX = l.Problem, l.Null, l.Implicit
	for _, h := range l.Hosts {
		if !l.Implicit {
			out.Add(admin.Record{Name: domain, TTL: h.Seconds, Type: "MX", Data: fmt.Sprintf("%d %s.", h.Preference, h.Host), Source: string(l.Source)})
		}
	}
	for _, h := range l.Hosts {
		for _, x := range h.Lookups {
			r := admin.Record{Name: h.Host, TTL: x.Seconds, Type: x.Type.String(), Source: string(x.Source), Failure: x.Problem}
			for _, a := range x.Addresses {
				r.Data = a.String()
				out.Add(r)
			}
			if x.Problem != "" {
				out.Add(r)
			}
		}
	}
	return out, nil
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
