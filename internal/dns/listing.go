package dns

import (
	"context"
	"net/netip"
	"time"
)

// Listing is what `sluice domain` and `sluice dig` show of a name's records.
type Listing struct {
	Domain   string        `json:"domain"`
	Seconds  int           `json:"ttl"` // of the MX records, or of the answer that there are none
	Source   Source        `json:"source"`
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
	// AddressSeconds is the TTL of the addresses, the least of both families; 0 without any.
	AddressSeconds int             `json:"address_ttl"`
	Lookups        []ListingLookup `json:"lookups"` // of both families
	Problem        string          `json:"problem,omitempty"`
}

// ListingLookup is what a host's name has of one family of addresses.
type ListingLookup struct {
	Type      Type         `json:"-"`
	Seconds   int          `json:"ttl"`
	Source    Source       `json:"source"`
	Addresses []netip.Addr `json:"addresses"`
	Problem   string       `json:"problem,omitempty"`
}

// Source says where an answer came from.
type Source string

// The sources of answers.
const (
	FromZone    Source = "zone file"
	FromCache   Source = "cache"
	FromNetwork Source = "network"     // it was asked for just now
	FromStale   Source = "stale cache" // beyond its time, because nothing newer could be had
)

// lookup is Lookup, and says where the answer came from.
func (r *Resolver) lookup(ctx context.Context, name string, t Type) (Answer, Source, error) {
	source := FromNetwork
	if r.zone != nil {
		source = FromZone
	} else {
		r.mu.Lock()
		if _, _, known := r.cache.get(key{name, t}).current(r.now()); known {
			source = FromCache
		}
		r.mu.Unlock()
	}
	a, err := r.Lookup(ctx, name, t)
	if a.Stale {
		source = FromStale
	}
	return a, source, err
}

// List shows the MX records of a canonical name with preference and TTL, and the
// addresses of both families of each host, as they are in the DNS: unfiltered.
func (r *Resolver) List(ctx context.Context, domain string) Listing {
	l := Listing{Domain: domain}
	mx, source, err := r.lookup(ctx, domain, TypeMX)
	l.Source, l.Seconds = source, int(mx.TTL/time.Second)
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
		r.listAddresses(ctx, &h)
		if h.Problem == "" && len(h.Addresses) == 0 {
			h.Problem = "no address"
		}
		l.Hosts = append(l.Hosts, h)
	}
	return l
}

// listAddresses asks for both families of a host's addresses.
func (r *Resolver) listAddresses(ctx context.Context, h *ListingHost) {
	for _, t := range []Type{TypeA, TypeAAAA} {
		a, source, err := r.lookup(ctx, h.Host, t)
		x := ListingLookup{Type: t, Seconds: int(a.TTL / time.Second), Source: source, Addresses: a.Addresses}
		if err != nil {
			x.Problem, h.Problem = err.Error(), err.Error()
		}
		if len(a.Addresses) > 0 && (h.AddressSeconds == 0 || x.Seconds < h.AddressSeconds) {
			h.AddressSeconds = x.Seconds
		}
		h.Addresses = append(h.Addresses, a.Addresses...)
		h.Lookups = append(h.Lookups, x)
	}
}
