package inject

import (
	"net/netip"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Origin is who hands a message in, and by which rules.
type Origin struct {
	Source   mail.Source
	Protocol string           // WITH of the Received field: "ESMTPSA"
	Listener *policy.Listener // the rules of the way in
	User     *policy.User     // nil without a login
}

// MayRelay reports whether mail may be taken from o for the world: its address is in
// relay_networks of the listener, or it has logged in.
func (o *Origin) MayRelay() bool {
	return o.User != nil || InNetworks(o.Listener.RelayNetworks, o.Source.Client.Addr())
}

// InNetworks reports whether an address is in one of the networks. An address that is
// not known is in none.
func InNetworks(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range networks {
		if a.IsValid() && p.Contains(a) {
			return true
		}
	}
	return false
}

// maxSize returns the largest message in octets that o may hand in; 0: no limit.
func (o *Origin) maxSize() int64 {
	n := o.Listener.MaxMessageSize
	if o.User != nil && o.User.MaxMessageSize > 0 && (n <= 0 || o.User.MaxMessageSize < n) {
		n = o.User.MaxMessageSize
	}
	return max(n, 0)
}

// mayName reports whether a header of o's may choose bindings at all: the login lists
// some, or the listener has binding_header on.
func (o *Origin) mayName() bool {
	return o.User != nil && len(o.User.Bindings) > 0 || o.Listener.BindingHeader
}

// tenant returns the tenant of o's message. A login's own tenant stands, or any login
// could spend another's share; the header counts where binding_header is on.
func (o *Origin) tenant(header string) string {
	if o.User != nil && o.User.Tenant != "" {
		return o.User.Tenant
	}
	if header != "" && o.Listener.BindingHeader {
		return header
	}
	return o.Listener.Tenant
}
