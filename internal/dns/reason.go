package dns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// maxNamed is how many hosts an explanation names.
const maxNamed = 4

// explain says why none of the hosts can be used. Nothing is refused for good while a
// lookup may still succeed, and MX records that lead nowhere are never replaced by the
// domain's own address (RFC 5321 §5.1).
func (t *trip) explain(ctx context.Context, hosts []*host, implicit bool) {
	var own, prohibited, skipped, withheld *host
	var failed []*host
	for _, h := range hosts {
		switch {
		case h.us:
			own = first(own, h)
		case !h.withheld.IsZero():
			withheld = first(withheld, h)
		case h.failure != nil:
			failed = append(failed, h)
		case h.prohibited.IsValid():
			prohibited = first(prohibited, h)
		case h.skipped.IsValid():
			skipped = first(skipped, h)
		}
	}
	switch {
	case withheld != nil:
		t.withhold(withheld)
	case len(failed) > 0:
		t.explainFailed(failed)
	case own != nil:
		t.fail(mail.ClassRefused, "5.4.6", fmt.Sprintf("mail for %s would come back to this server: host %s, port %d, is where it listens; route the domain elsewhere with gateway, or correct its MX records",
			t.q.Domain, own.name, own.port))
	case prohibited != nil:
		t.fail(mail.ClassRefused, "5.4.6", fmt.Sprintf("host %s of %s has the address %s, to which no mail is sent; if it is meant, set prohibited_hosts without it",
			prohibited.name, t.q.Domain, prohibited.prohibited))
	case skipped != nil:
		t.fail(mail.ClassRefused, "5.4.4", fmt.Sprintf("every host of %s is in skip_hosts (%s is %s)", t.q.Domain, skipped.name, skipped.skipped))
	default:
		t.explainMissing(ctx, hosts, implicit)
	}
}

// withhold keeps mail that a policy about TLS lets go to none of the hosts: until the policy
// or the hosts are others, or the mail has expired.
func (t *trip) withhold(h *host) {
	t.fail(mail.ClassDeferred, h.withheld.Enhanced, h.withheld.Text)
}

func first(a, b *host) *host {
	if a != nil {
		return a
	}
	return b
}

// explainFailed is for hosts about whose addresses nobody could be asked.
func (t *trip) explainFailed(failed []*host) {
	local := true
	for _, h := range failed {
		local = local && IsLocal(h.failure)
	}
	if local {
		t.fail(mail.ClassLocal, "4.4.3", failed[0].failure.Error())
		return
	}
	t.fail(mail.ClassDeferred, "4.4.4", "no host of "+t.q.Domain+" can be found: "+failed[0].failure.Error())
}

// explainMissing is for hosts that have no address of a family that the binding can use.
// An address of the other family is looked for only to say so: then the domain is right
// and we are lacking, so its mail waits.
func (t *trip) explainMissing(ctx context.Context, hosts []*host, implicit bool) {
	for _, h := range hosts[:min(len(hosts), maxNamed)] {
		if a, ok := t.otherFamily(ctx, h); ok {
			t.fail(mail.ClassDeferred, "4.4.4", unusableFamily(t.q.Binding, h.name, a))
			return
		}
	}
	if implicit {
		t.fail(mail.ClassRefused, "5.1.2", "domain "+t.q.Domain+" has neither MX records nor an address")
		return
	}
	t.fail(mail.ClassRefused, "5.4.4", "none of the MX hosts of "+t.q.Domain+" has an address: "+names(hosts))
}

func (t *trip) otherFamily(ctx context.Context, h *host) (netip.Addr, bool) {
	if h.invalid || t.session.UseIPv4 && t.session.UseIPv6 {
		return netip.Addr{}, false
	}
	other := TypeAAAA
	if !t.session.UseIPv4 {
		other = TypeA
	}
	a, err := t.router.Resolver.Lookup(ctx, h.name, other)
	if err != nil || len(a.Addresses) == 0 {
		return netip.Addr{}, false
	}
	return a.Addresses[0], true
}

func unusableFamily(binding, name string, a netip.Addr) string {
	family, remedy := "IPv6", "set use_ipv6 or bind_address_secondary"
	if a.Is4() {
		family, remedy = "IPv4", "give it an IPv4 bind_address"
	}
	return fmt.Sprintf("%s is reached by %s only (%s), which binding %s cannot use: %s", name, family, a, binding, remedy)
}

func names(hosts []*host) string {
	var out []string
	for _, h := range hosts[:min(len(hosts), maxNamed)] {
		out = append(out, h.name)
	}
	if len(hosts) > maxNamed {
		out = append(out, "...")
	}
	return strings.Join(out, ", ")
}
