package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Bounds of one resolution.
const (
	maxHostsLooked = 32 // hosts whose addresses are looked up
	lookTogether   = 8  // of them at the same time
	longest        = 24 * time.Hour
	resolveExpiry  = time.Minute
)

// Router turns a domain into the hosts that its mail may go to. Its fields are set
// before first use and not changed after. Safe for concurrent use.
type Router struct {
	Resolver *Resolver
	Now      func() int64 // ns of CLOCK_BOOTTIME

	// Roll says what a domain with the given best MX hosts is counted under: it is asked for
	// domains that go by MX, and may change the policy that holds for them. May be nil.
	Roll func(ctx context.Context, q sched.Resolve, best []string) (Rolled, error)

	// HostPolicy gives the limits of connections from a binding to a host.
	HostPolicy func(binding, host string, addrs []netip.Addr) *policy.Host
	// Own reports whether an address and port is one of our listeners (see Listeners). May
	// be nil.
	Own func(netip.AddrPort) bool
	// OwnHost reports whether a host by its canonical name, and port, is this server: for one
	// whose public address is not on the machine (behind NAT). May be nil.
	OwnHost func(host string, port uint16) bool

	mu     sync.Mutex
	random *rand.Rand
}

// Rolled is the routing domain of a recipient domain and what holds under it.
type Rolled struct {
	Routing    string        // as in sched.Resolved
	Policy     *policy.Queue // nil: that of the question
	Generation uint64
	TTL        time.Duration // how long it holds; 0: as long as the MX records
}

// Seed sets the source of the order among hosts of equal preference. Without it the
// order is that of seed 0.
func (r *Router) Seed(source rand.Source) {
	r.mu.Lock()
	r.random = rand.New(source)
	r.mu.Unlock()
}

// Resolve answers one question of the scheduler (RFC 5321 §5). It never fails: what goes
// wrong is in the answer's Class and Reply. It returns when ctx ends, after a minute at
// most. What TLS each host needs is as tls and tls_verify say.
func (r *Router) Resolve(ctx context.Context, q sched.Resolve) sched.Resolved {
	return r.ResolveSecure(ctx, q, nil)
}

// ResolveSecure is Resolve where secure decides what TLS each host needs.
func (r *Router) ResolveSecure(ctx context.Context, q sched.Resolve, secure Secure) sched.Resolved {
	s := q.Policy.Session
	t := &trip{router: r, q: q, session: s, port: s.Port, ttl: longest, secure: secure}
	if t.port == 0 {
		t.port = 25
	}
	ctx, cancel := context.WithTimeout(ctx, resolveExpiry)
	defer cancel()
	literal, isLiteral := mail.Literal(q.Domain)
	switch {
	case !s.UseIPv4 && !s.UseIPv6:
		t.fail(mail.ClassLocal, "4.3.5", "binding "+q.Binding+" can use neither IPv4 nor IPv6: see bind_address and use_ipv6")
	case s.Gateway != "":
		t.toGateway(ctx)
	case len(s.Routes) > 0:
		t.toRoutes(ctx)
	case isLiteral:
		t.toLiteral(ctx, literal)
	default:
		t.toDomain(ctx)
	}
	t.out.Binding, t.out.Domain = q.Binding, q.Domain
	t.out.Until = r.Now() + int64(t.ttl)
	return t.out
}

// trip is one resolution on its way.
type trip struct {
	router  *Router
	q       sched.Resolve
	session *policy.Session
	port    uint16
	ttl     time.Duration // of all that the answer rests on
	secure  Secure
	byMX    bool   // the hosts are those of MX records
	signed  bool   // what names the hosts is validated
	alias   string // what the domain's name stands for
	out     sched.Resolved
}

func (t *trip) fail(class mail.Class, status, text string) {
	if class == mail.ClassLocal || class == mail.ClassDeferred {
		t.ttl = min(t.ttl, failureKeep)
	}
	t.out.Hosts = nil
	t.out.Class = class
	t.out.Reply = mail.Reply{Enhanced: status, Text: text, Stage: mail.StageResolve}
}

// failLookup turns an unanswered question into a class: our resolvers' silence is our own.
func (t *trip) failLookup(err error, status string) {
	if IsLocal(err) || errors.Is(err, context.Canceled) {
		t.fail(mail.ClassLocal, "4.4.3", err.Error())
		return
	}
	t.fail(mail.ClassDeferred, status, err.Error())
}

func (t *trip) toDomain(ctx context.Context) {
	mx, err := t.router.Resolver.Lookup(ctx, t.q.Domain, TypeMX)
	if err != nil {
		t.failLookup(err, "4.4.3")
		return
	}
	t.ttl = min(t.ttl, mx.TTL)
	t.signed, t.alias = mx.Authentic, mx.Alias
	switch {
	case mx.Status == NoDomain:
		t.fail(mail.ClassRefused, "5.1.2", "domain "+t.q.Domain+" does not exist")
	case mx.Status == NoData:
		// No MX: the domain is its own host (RFC 5321 §5.1).
		t.toMX(ctx, []MX{{Host: t.q.Domain}}, true)
	case len(mx.MX) == 1 && mx.MX[0].Host == ".":
		t.fail(mail.ClassRefused, "5.1.10", "domain "+t.q.Domain+" accepts no mail (null MX)")
	default:
		t.toMX(ctx, mx.MX, false)
	}
}

// toMX routes by MX records, under the policy of the routing domain that they give.
func (t *trip) toMX(ctx context.Context, mx []MX, implicit bool) {
	names, best := hostNames(mx)
	if t.router.Roll != nil {
		r, err := t.router.Roll(ctx, t.q, names[:best])
		if err != nil { // what it is counted under is not known: mail waits, and it is not the receiver's fault
			t.fail(mail.ClassLocal, "4.4.3", err.Error())
			return
		}
		t.take(r)
	}
	switch {
	case t.session.Gateway != "":
		t.toGateway(ctx)
	case len(t.session.Routes) > 0:
		t.toRoutes(ctx)
	default:
		t.byMX = true
		t.route(ctx, t.router.order(mx, t.port), implicit)
	}
	t.out.MX, t.out.Best = names, best
}

// take goes on under the policy of a routing domain.
func (t *trip) take(r Rolled) {
	t.out.Routing, t.out.Generation = r.Routing, r.Generation
	if r.TTL > 0 {
		t.ttl = min(t.ttl, r.TTL)
	}
	if r.Policy != nil {
		t.out.Policy, t.q.Policy, t.session = r.Policy, r.Policy, r.Policy.Session
		t.port = cmp.Or(t.session.Port, 25)
	}
}

// hostNames returns the canonical names of MX hosts, those of the best preference first,
// and how many they are.
func hostNames(mx []MX) (names []string, best int) {
	least := -1
	for _, m := range mx {
		if m.Host != "." && (least < 0 || m.Preference < least) {
			least = m.Preference
		}
	}
	for _, wanted := range [...]bool{true, false} {
		for _, m := range mx {
			if m.Host == "." || (m.Preference == least) != wanted {
				continue
			}
			name, err := mail.CanonicalDomain(m.Host)
			if err != nil {
				name = strings.ToLower(m.Host)
			}
			names = append(names, name)
			if wanted {
				best++
			}
		}
	}
	return names, best
}

// BestHosts returns the MX hosts of a domain's best preference, canonical, and how long
// the answer holds; none when it takes no mail. An error says that nobody could tell.
func (r *Router) BestHosts(ctx context.Context, domain string) ([]string, time.Duration, error) {
	mx, err := r.Resolver.Lookup(ctx, domain, TypeMX)
	switch {
	case err != nil:
		return nil, failureKeep, err
	case mx.Status == NoDomain, len(mx.MX) == 1 && mx.MX[0].Host == ".":
		return nil, mx.TTL, nil
	case mx.Status == NoData:
		return []string{domain}, mx.TTL, nil
	}
	names, best := hostNames(mx.MX)
	return names[:best], mx.TTL, nil
}

// order makes hosts of MX records, best preference first, equals in random order.
func (r *Router) order(mx []MX, port uint16) []*host {
	hosts := make([]*host, 0, len(mx))
	for _, m := range mx {
		if m.Host != "." { // beside other records it says nothing (RFC 7505 §3)
			hosts = append(hosts, &host{name: m.Host, preference: m.Preference, port: port})
		}
	}
	r.sort(hosts)
	return hosts
}

// sort puts hosts of better preference first, equals in random order.
func (r *Router) sort(hosts []*host) {
	r.mu.Lock()
	if r.random == nil {
		r.random = rand.New(rand.NewPCG(0, 0))
	}
	r.random.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	r.mu.Unlock()
	slices.SortStableFunc(hosts, func(a, b *host) int { return cmp.Compare(a.preference, b.preference) })
}

// route looks hosts up, one preference after the other, until there are enough. When we
// are among the hosts of a preference, it and all worse ones are left out: mail must
// only go towards a better one (RFC 5321 §5.1).
func (t *trip) route(ctx context.Context, hosts []*host, implicit bool) {
	enough := max(t.q.Policy.MaxMXHosts, 1)
	var looked, usable []*host
	all := len(hosts)
	for len(hosts) > 0 && len(usable) < enough && len(looked) < maxHostsLooked {
		n := 1
		for n < len(hosts) && hosts[n].preference == hosts[0].preference {
			n++
		}
		group := hosts[:min(n, maxHostsLooked-len(looked))]
		hosts = hosts[n:]
		t.look(ctx, group)
		looked = append(looked, group...)
		if slices.ContainsFunc(group, func(h *host) bool { return h.us }) {
			all = len(looked) // mail must not go to the others
			break
		}
		for _, h := range group {
			if len(h.addresses) > 0 {
				usable = append(usable, h)
			}
		}
	}
	if len(usable) == 0 {
		t.explain(ctx, looked, implicit)
		if t.out.Class == mail.ClassRefused && len(looked) < all {
			// The least final word wins, and nobody has asked the others.
			t.fail(mail.ClassDeferred, "4.4.4", fmt.Sprintf("%d of the %d MX hosts of %s were looked up, and cannot be used: %s", len(looked), all, t.q.Domain, t.out.Reply.Text))
		}
		return
	}
	for _, h := range usable[:min(len(usable), enough)] {
		t.add(h)
	}
}

func (t *trip) look(ctx context.Context, group []*host) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, lookTogether)
	for _, h := range group {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			t.router.look(ctx, h, t.session)
			t.protect(ctx, h)
		})
	}
	wait.Wait()
	for _, h := range group {
		if h.ttl > 0 {
			t.ttl = min(t.ttl, h.ttl)
		}
		if h.tls.Barred {
			t.out.Barred = append(t.out.Barred, h.name)
		}
	}
}

// add puts a host into the answer.
func (t *trip) add(h *host) {
	h.addresses = h.addresses[:min(len(h.addresses), max(t.q.Policy.MaxAddressesPerHost, 1))]
	rh := sched.RouteHost{
		Name: h.name, Preference: h.preference, Addresses: h.addresses, Port: h.port,
		TLS: h.tls.TLS, TLSA: h.tls.TLSA, Names: h.tls.Names, TLSWhy: h.tls.Why, Protocol: h.protocol,
	}
	if h.protocol == policy.SMTPS && (rh.TLS == sched.TLSIfAvailable || rh.TLS == sched.TLSNo) {
		rh.TLS = sched.TLSRequired // it is there from the first octet
	}
	if t.router.HostPolicy != nil {
		rh.Policy = t.router.HostPolicy(t.q.Binding, h.name, h.addresses)
	}
	t.out.Hosts = append(t.out.Hosts, rh)
	t.out.Class = mail.ClassDelivered
}

// toLiteral routes [192.0.2.1]: to that address, and to no other (RFC 5321 §4.1.3).
func (t *trip) toLiteral(ctx context.Context, a netip.Addr) {
	h := &host{name: t.q.Domain, port: t.port, ttl: longest}
	if a.Is4() && !t.session.UseIPv4 || a.Is6() && !t.session.UseIPv6 {
		t.fail(mail.ClassDeferred, "4.4.4", unusableFamily(t.q.Binding, t.q.Domain, a))
		return
	}
	h.use([]netip.Addr{a}, t.session, t.router.Own)
	t.protect(ctx, h)
	if len(h.addresses) == 0 {
		t.explain(ctx, []*host{h}, false)
		return
	}
	t.add(h)
}
