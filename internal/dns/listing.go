package dns

import (
	"context"
	"net/netip"
	"time"
)

// Listing is what `sluice domain` and `sluice dig` show of a name's records.
type Listing struct {
	Domain   string        `json:"domain"`
	Null     bool          `json:"null_mx"`
	Implicit bool          `json:"implicit_mx"` // no MX: the name is its own host
	Problem  string        `json:"problem,omitempty"`
	Hosts    []ListingHost `json:"hosts"`
}

// ListingHost is one MX host.
type ListingHost struct {
	Preference int           `json:"preference"`
	Host       string        `json:"host"`
	TTL        time.Duration `json:"-"`   // of the MX record
	Seconds    int           `json:"ttl"` // the same in seconds
	Addresses  []netip.Addr  `json:"addresses"`
	Problem    string        `json:"problem,omitempty"`
}

// List shows the MX records of a canonical name with preference and TTL, and the
// addresses of both families of each host, as they are in the DNS: unfiltered.
func (r *Resolver) List(ctx context.Context, domain string) Listing {
	l := Listing{Domain: domain}
	mx, err := r.Lookup(ctx, domain, TypeMX)
	switch {
	case err != nil:
		l.Problem = err.Error()
		return l
	case mx.Status == NoDomain:
		l.Problem = "no such domain"
		return l
	case mx.Status == NoData:
		l.Implicit = true
		mx.MX = []MX{{Host: domain}}
	case len(mx.MX) == 1 && mx.MX[0].Host == ".":
		l.Null = true
		return l
	}
	for _, m := range mx.MX[:min(len(mx.MX), maxHostsLooked)] {
		h := ListingHost{Preference: m.Preference, Host: m.Host, TTL: mx.TTL, Seconds: int(mx.TTL / time.Second)}
		for _, t := range []Type{TypeA, TypeAAAA} {
			a, err := r.Lookup(ctx, m.Host, t)
			if err != nil {
				h.Problem = err.Error()
			}
			h.Addresses = append(h.Addresses, a.Addresses...)
		}
		if h.Problem == "" && len(h.Addresses) == 0 {
			h.Problem = "no address"
		}
		l.Hosts = append(l.Hosts, h)
	}
	return l
}
