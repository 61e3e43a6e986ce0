package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Config is what an Engine works with.
type Config struct {
	// Resolver answers at this moment; a reload may put another in its place.
	Resolver func() *dns.Resolver
	Store    Store            // keeps policies over restarts
	Now      func() time.Time // wall clock
	Log      *slog.Logger
	// Port is that of policy hosts at this moment, 443 (mta_sts_port).
	Port func() uint16
	// Roots are trusted for policy hosts; nil: those of the system.
	Roots *x509.CertPool
	// Dial connects to policy hosts; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Engine decides what TLS hosts need. Safe for concurrent use.
type Engine struct {
	cfg    Config
	sts    *stsCache
	report *Reporter // nil: no reports
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// New returns an Engine that knows the policies kept in the store. Close it.
func New(cfg Config) *Engine {
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	e := &Engine{cfg: cfg}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.sts = &stsCache{
		lookup: func() Lookup { return cfg.Resolver() },
		fetch: func(ctx context.Context, domain string, barred []netip.Prefix) (string, error) {
			return e.web(barred).fetchPolicy(ctx, domain, cfg.Port())
		},
		store: cfg.Store, now: cfg.Now, log: cfg.Log, slots: make(chan struct{}, maxFetches), base: ctx,
		policies: map[string]*cached{}, used: map[string]time.Time{}, failures: map[string]failure{}, flights: map[string]*flight{},
	}
	e.sts.load()
	return e
}

// Run fetches policies in use anew before they end, and sends reports, until Close. wait bounds one fetch,
// barred are networks that are not connected to, at this moment.
func (e *Engine) Run(wait func() time.Duration, barred func() []netip.Prefix) {
	e.wait.Go(func() { e.sts.run(e.sts.base, wait, barred) })
	if e.report != nil {
		e.report.start(e.sts.base)
	}
}

// Report has what happens counted, and reported by Run. It is called before anything is
// asked.
func (e *Engine) Report(cfg ReporterConfig) *Reporter {
	e.report = newReporter(cfg, e)
	return e.report
}

// Close ends what is under way and keeps what was counted.
func (e *Engine) Close() {
	e.cancel()
	if e.report != nil {
		e.report.wait.Wait()
	}
	e.wait.Wait()
	e.sts.wait.Wait()
}

func (e *Engine) web(barred []netip.Prefix) web {
	return web{lookup: e.cfg.Resolver(), roots: e.cfg.Roots, dial: e.cfg.Dial, barred: barred}
}

// Domain is what a domain asks of connections to its hosts, at one moment.
type Domain struct {
	engine *Engine
	name   string
	sts    finding
	report bool // it wants reports, and gets them
}

// Domain finds out what a recipient domain asks for. It waits for a policy to be fetched for
// mta_sts_timeout at most.
func (e *Engine) Domain(ctx context.Context, domain string, s *policy.Session) *Domain {
	d := &Domain{engine: e, name: domain}
	if _, literal := mail.Literal(domain); asksSTS(s) && !literal {
		d.sts = e.sts.find(ctx, domain, s.MTASTSTimeout, s.Prohibited)
	}
	d.report = e.report != nil && s.TLSReports && e.wantsReports(ctx, domain)
	return d
}

// wantsReports reports whether a domain asks for reports.
func (e *Engine) wantsReports(ctx context.Context, domain string) bool {
	a, err := e.cfg.Resolver().Lookup(ctx, rptName(domain), dns.TypeTXT)
	if err != nil {
		return false
	}
	t := parseTargets(a.Text)
	return !t.none()
}

// asksSTS reports whether MTA-STS has a say: it speaks of MX hosts, and not where the
// operator wants no TLS at all.
func asksSTS(s *policy.Session) bool {
	return s.UseMTASTS && s.TLS != policy.TLSNo && s.Gateway == "" && len(s.Routes) == 0
}

// asksDANE reports whether TLSA records have a say: not where the operator has said what a
// certificate must prove.
func asksDANE(s *policy.Session) bool {
	return s.UseDANE && s.TLS != policy.TLSNo && s.TLSVerify == policy.VerifyNo
}

// Host is a dns.Secure.
func (d *Domain) Host(ctx context.Context, q dns.HostQuestion) dns.HostTLS {
	out := dns.HostTLS{TLS: dns.RequiredTLS(q.Session)}
	applied := Applied{Domain: d.name, Host: q.Host, Type: PolicyNone}
	if !d.byDANE(ctx, &q, &out, &applied) && q.ByMX && asksSTS(q.Session) {
		d.bySTS(&q, &out, &applied)
	}
	if d.report && q.ByMX {
		d.engine.report.apply(applied)
	}
	return out
}

// byDANE reports whether TLSA records decide (RFC 7672).
func (d *Domain) byDANE(ctx context.Context, q *dns.HostQuestion, out *dns.HostTLS, applied *Applied) bool {
	resolver := d.engine.cfg.Resolver()
	if !asksDANE(q.Session) || !resolver.TrustsAD() {
		return false
	}
	f := findTLSA(ctx, resolver, q)
	switch {
	case f.failed != nil:
		out.Withheld = withheldByDANE(q.Host, f.failed)
		applied.Type, applied.Failure, applied.Reason = PolicyTLSA, ResultDNSSECInvalid, f.failed.Error()
		return true
	case !f.there:
		return false
	}
	applied.Type, applied.TLSA, out.TTL = PolicyTLSA, f.records, f.ttl
	if len(f.records) == 0 {
		// There are records, and none can be used: TLS, unauthenticated (RFC 7672 §2.2), unless a
		// policy asks for more.
		out.TLS = max(out.TLS, sched.TLSRequired)
		out.Why = "DANE: none of the TLSA records of " + f.base + " can be used"
		applied.Failure, applied.Reason = ResultTLSAInvalid, out.Why
		return false
	}
	out.TLS, out.TLSA = sched.TLSDANE, f.records
	out.Names = daneNames(f.base, q)
	out.Why = fmt.Sprintf("DANE: %s of %s", count(len(f.records), "TLSA record"), f.base)
	return true
}

// daneNames are those of which a certificate under a trust anchor must show one
// (RFC 7672 §3.2.2): that of the records first, which SNI asks for (§8.1).
func daneNames(base string, q *dns.HostQuestion) []string {
	names := []string{base}
	for _, n := range [...]string{q.Host, q.Domain, q.Alias} {
		if n == "" || n == base || n != q.Host && !q.ByMX {
			continue
		}
		names = append(names, n)
	}
	return names
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// bySTS applies the domain's policy (RFC 8461 §4, §5).
func (d *Domain) bySTS(q *dns.HostQuestion, out *dns.HostTLS, applied *Applied) {
	f := &d.sts
	if f.busy {
		// Nobody could tell whether there is a policy: without one mail could go in clear that
		// must not.
		out.Withheld = mail.Reply{
			Enhanced: "4.7.5", Stage: mail.StageResolve,
			Text: "MTA-STS: the policy of " + d.name + " could not be fetched in time; too many others are being fetched",
		}
		return
	}
	if f.trouble != nil {
		applied.Type = PolicySTS
		applied.Failure, applied.Reason = ResultSTSFetch, f.trouble.Error()
		var bad *tls.CertificateVerificationError
		switch {
		case f.invalid:
			applied.Failure = ResultSTSInvalid
		case errors.As(f.trouble, &bad):
			applied.Failure = ResultSTSWebPKI
		}
	}
	p := f.policy
	if p == nil || p.Mode == ModeNone {
		return
	}
	applied.Type, applied.STS, applied.Testing = PolicySTS, p, p.Mode == ModeTesting
	matches := p.Matches(q.Host)
	if p.Mode == ModeTesting {
		why := "MTA-STS: " + d.name + " tests a policy, id " + p.ID
		if !matches {
			why += ", that does not have this host"
			applied.Failure, applied.Reason = ResultValidation, "the policy does not have the MX host "+q.Host
		}
		out.Why = strings.TrimPrefix(out.Why+"; "+why, "; ")
		return
	}
	if !matches {
		out.Withheld = mail.Reply{
			Enhanced: "4.7.5", Stage: mail.StageResolve,
			Text: fmt.Sprintf("MTA-STS: the policy of %s (enforce, id %s, until %s) does not have the MX host %s, so no mail may go there",
				d.name, p.ID, p.Expires.UTC().Format(time.RFC3339), q.Host),
		}
		out.Barred = true
		applied.Failure, applied.Reason = ResultValidation, "the policy does not have the MX host "+q.Host
		return
	}
	out.TLS = max(out.TLS, sched.TLSVerifyHost)
	out.Why = "MTA-STS: " + d.name + " enforces its policy, id " + p.ID
	if left := p.Expires.Sub(d.engine.cfg.Now()); left > 0 {
		out.TTL = left
	}
}
