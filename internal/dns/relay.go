package dns

import (
	"cmp"
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// toGateway routes to the host that the configuration names. Its trouble is our own:
// no recipient is refused because a gateway's name is wrong. prohibited_hosts protects
// from other people's records and does not hold for it.
func (t *trip) toGateway(ctx context.Context) {
	g, err := ParseGateway(t.session.Gateway)
	if err != nil {
		t.fail(mail.ClassLocal, "4.3.5", err.Error())
		return
	}
	h := &host{name: g.Host, port: cmp.Or(g.Port, t.port), protocol: g.Protocol, ttl: longest}
	t.trusted()
	if !t.lookRelay(ctx, h, g.Address, "gateway ") {
		return
	}
	switch {
	case len(h.addresses) > 0:
		t.add(h)
	case h.us:
		t.fail(mail.ClassLocal, "4.3.5", "gateway "+t.session.Gateway+" is this server itself, on port "+strconv.Itoa(int(h.port)))
	case h.failure != nil:
		t.failLookup(h.failure, "4.4.3")
	case !h.withheld.IsZero():
		t.withhold(h)
	default:
		t.fail(mail.ClassLocal, "4.4.4", "gateway "+strings.ToLower(t.session.Gateway)+" has no address that binding "+t.q.Binding+" can use")
	}
}

// trusted goes on without the lists that protect from other people's records.
func (t *trip) trusted() {
	free := *t.session
	free.Prohibited, free.SkipHosts = nil, nil
	t.session = &free
}

// lookRelay finds the addresses of a host that the configuration names. It reports
// whether the binding can use the family of an address that was given.
func (t *trip) lookRelay(ctx context.Context, h *host, a netip.Addr, what string) bool {
	if !a.IsValid() {
		t.look(ctx, []*host{h})
		return true
	}
	h.name = a.String()
	if a.Is4() && !t.session.UseIPv4 || a.Is6() && !t.session.UseIPv6 {
		t.fail(mail.ClassLocal, "4.4.4", unusableFamily(t.q.Binding, what+h.name, a))
		return false
	}
	h.use([]netip.Addr{a}, t.session, t.router.Own)
	t.protect(ctx, h)
	return true
}

// toRoutes routes to the hosts of the option routes, which are the operator's own as a
// gateway is: their trouble is ours, and prohibited_hosts does not hold for them. One that
// cannot be used leaves the others.
func (t *trip) toRoutes(ctx context.Context) {
	t.trusted()
	var usable []*host
	var why error
	var withheld *host
	reason := "no host of routes has an address that binding " + t.q.Binding + " can use"
	for _, r := range t.session.Routes {
		h := &host{name: r.Host, preference: r.Preference, port: cmp.Or(r.Port, t.port), protocol: r.Protocol, ttl: longest}
		if !t.lookRelay(ctx, h, r.Address, "route ") {
			continue
		}
		switch {
		case h.us:
			reason = "route " + r.Host + " is this server itself, on port " + strconv.Itoa(int(h.port))
		case h.failure != nil && len(h.addresses) == 0:
			why = h.failure
		case !h.withheld.IsZero():
			withheld = first(withheld, h)
		case len(h.addresses) > 0:
			usable = append(usable, h)
		}
	}
	switch {
	case len(usable) > 0:
		t.out.Reply = mail.Reply{} // what was said of others
		t.router.sort(usable)
		for _, h := range usable[:min(len(usable), max(t.q.Policy.MaxMXHosts, 1))] {
			t.add(h)
		}
	case why != nil:
		t.failLookup(why, "4.4.3")
	case withheld != nil:
		t.withhold(withheld)
	default:
		t.fail(mail.ClassLocal, "4.4.4", reason)
	}
}
