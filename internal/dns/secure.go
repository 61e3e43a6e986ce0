package dns

import (
	"context"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Secure decides what TLS a host needs. Called for several hosts at once.
type Secure func(ctx context.Context, q HostQuestion) HostTLS

// HostQuestion is a host that mail for a domain could go to.
type HostQuestion struct {
	Domain  string // the recipient's
	Session *policy.Session
	Host    string
	Port    uint16
	ByMX    bool   // it is one of the domain's MX hosts; else the operator has named it
	Signed  bool   // the answer that names the host is validated (DNSSEC); always, where the operator has
	Alias   string // what the domain's name stands for in the DNS; empty: itself
	// HostSigned says that the host's addresses are validated, HostAlias what its name stands
	// for; empty: itself.
	HostSigned bool
	HostAlias  string
}

// HostTLS is what a connection to a host must do about TLS.
type HostTLS struct {
	TLS   sched.TLS
	TLSA  []mail.TLSA   // as in sched.RouteHost
	Names []string      // likewise
	Why   string        // likewise
	TTL   time.Duration // how long it holds; 0: as long as the addresses
	// Withheld, when it says something, is why no mail may go to the host now. Barred: a policy
	// of the domain excludes it.
	Withheld mail.Reply
	Barred   bool
}

// RequiredTLS is what the options tls and tls_verify ask of a connection. A wish to
// verify makes TLS a requirement: what may be left out need not be verified. So does a login,
// unless auth_security says otherwise.
func RequiredTLS(s *policy.Session) sched.TLS {
	switch {
	case s.Auth.User != "" && s.Auth.Security == policy.AuthVerified:
		return sched.TLSVerifyHost
	case s.Auth.User != "" && s.Auth.Security == policy.AuthEncrypted && s.TLSVerify == policy.VerifyNo:
		return sched.TLSRequired
	case s.TLS == policy.TLSNo:
		return sched.TLSNo
	case s.TLSVerify == policy.VerifyHost:
		return sched.TLSVerifyHost
	case s.TLSVerify == policy.VerifyCA:
		return sched.TLSVerifyCA
	case s.TLS == policy.TLSRequired:
		return sched.TLSRequired
	}
	return sched.TLSIfAvailable
}

// protect finds out what TLS a host needs that could be connected to.
func (t *trip) protect(ctx context.Context, h *host) {
	h.tls = HostTLS{TLS: RequiredTLS(t.session)}
	if t.secure == nil || len(h.addresses) == 0 {
		return
	}
	h.tls = t.secure(ctx, HostQuestion{
		Domain: t.q.Domain, Session: t.session, Host: h.name, Port: h.port,
		ByMX: t.byMX, Signed: t.signed || !t.byMX, Alias: t.alias, HostSigned: h.signed, HostAlias: h.alias,
	})
	if h.tls.TTL > 0 {
		h.ttl = min(h.ttl, h.tls.TTL)
	}
	if h.withheld = h.tls.Withheld; !h.withheld.IsZero() {
		h.addresses = nil
	}
}
