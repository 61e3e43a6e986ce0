package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/deliver"
	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/inject"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/state"
	"github.com/sluice-mta/sluice/internal/tlspolicy"
)

// tlsPolicies is what receivers demand of TLS, with the disk that it is kept on.
type tlsPolicies struct {
	engine  *tlspolicy.Engine
	reports *tlspolicy.Reporter
	store   *state.Store
}

// openTLS opens the policies below the spool's directory: apart from operators' orders, so
// that no receiver can take their room.
func (s *Server) openTLS() error {
	if s.opts.Sandbox != nil {
		return nil
	}
	store, err := state.Open(state.Options{
		Dir: filepath.Join(s.policies.snapshot().Spool.Directory, "tls"),
		Log: func(level slog.Level, text string) { s.log.Log(context.Background(), level, text) },
	})
	if err != nil {
		return err
	}
	s.tls = &tlsPolicies{store: store, engine: tlspolicy.New(tlspolicy.Config{
		Resolver: s.resolver.Load, Store: store, Now: s.wall, Log: s.log,
		Port: func() uint16 { return s.policies.snapshot().MTASTSPort },
	})}
	s.tls.reports = s.tls.engine.Report(tlspolicy.ReporterConfig{
		Store: store, Now: s.wall, Log: s.log, Mail: s.mailReport,
		Hostname: func() string { return s.policies.snapshot().Hostname },
		Who:      func() policy.TLSReports { return s.policies.snapshot().TLSReports },
		Barred:   func() []netip.Prefix { return s.policies.snapshot().Queue(defaultBinding, "").Session.Prohibited },
	})
	return nil
}

// mailReport puts a TLS report into the queue. It leaves through the binding that honours no
// policies about TLS: what it tells of may be what keeps mail from going (RFC 8460 §5.3).
func (s *Server) mailReport(from string, to mail.Address, content []byte) error {
	local, domain, _ := strings.Cut(from, "@")
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	origin := &inject.Origin{
		Source: mail.Source{Client: netip.AddrPortFrom(loopback, 0), Helo: s.policies.snapshot().Hostname}, Protocol: "local",
		Listener: &policy.Listener{
			RelayNetworks: []netip.Prefix{netip.PrefixFrom(loopback, 32)}, Binding: policy.TLSReportBinding, Tenant: reportTenant,
		},
	}
	m, r := s.injector.Begin(origin, inject.Start{Sender: mail.Address{Local: local, Domain: domain}})
	if r.Code != 0 {
		return fmt.Errorf("queue a report to %s: %s", to, r)
	}
	defer m.Abort()
	if r := m.AddRecipient(to, mail.NotifyNever, ""); r.Code != 0 {
		return fmt.Errorf("queue a report to %s: %s", to, r)
	}
	if _, err := m.Write(content); err != nil {
		return fmt.Errorf("queue a report to %s: %w", to, err)
	}
	if r := m.Accept(); r.Class() != 2 {
		return fmt.Errorf("queue a report to %s: %s", to, r)
	}
	return nil
}

// results are the words of RFC 8460 §4.3 for what can go wrong in a handshake.
var results = map[deliver.TLSFailure]tlspolicy.Result{
	deliver.TLSNotOffered: tlspolicy.ResultNoSTARTTLS,
	deliver.TLSHandshake:  tlspolicy.ResultValidation,
	deliver.TLSUntrusted:  tlspolicy.ResultUntrusted,
	deliver.TLSExpired:    tlspolicy.ResultExpired,
	deliver.TLSName:       tlspolicy.ResultNameMismatch,
	deliver.TLSRecords:    tlspolicy.ResultValidation,
}

// secured counts how the encryption of a connection went.
func (t *tlsPolicies) secured(r deliver.TLSResult) {
	t.reports.Session(r.Domain, r.Host, r.Local, r.Address, results[r.Failure], r.Reason)
}

// run begins to keep policies fresh. By then names can be looked up.
func (t *tlsPolicies) run(snapshot func() *policy.Snapshot) {
	if t == nil {
		return
	}
	session := func() *policy.Session { return snapshot().Queue(defaultBinding, "").Session }
	t.engine.Run(func() time.Duration { return session().MTASTSTimeout }, func() []netip.Prefix { return session().Prohibited })
}

func (t *tlsPolicies) close() error {
	if t == nil {
		return nil
	}
	t.engine.Close()
	return t.store.Close()
}

// demands finds out what a domain demands of connections to its hosts; nil: nothing is
// asked.
func (s *Server) demands(ctx context.Context, q sched.Resolve) dns.Secure {
	if s.tls == nil {
		return nil
	}
	p, _ := s.policies.queue(q.Binding, q.Domain)
	return s.tls.engine.Domain(ctx, q.Domain, p.Session).Host
}

// explainTLS says in words what a domain's hosts ask of connections from the binding
// "default".
func (s *Server) explainTLS(ctx context.Context, domain string) []string {
	p, _ := s.policies.queue(defaultBinding, domain)
	q := sched.Resolve{Binding: defaultBinding, Domain: domain, Policy: p}
	demands := s.demands(ctx, q)
	if demands == nil || p.Session.Gateway != "" {
		return []string{}
	}
	var mu sync.Mutex
	lines := []string{}
	s.router.Load().ResolveSecure(ctx, q, func(ctx context.Context, h dns.HostQuestion) dns.HostTLS {
		out := demands(ctx, h)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !out.Withheld.IsZero():
			lines = append(lines, fmt.Sprintf("%s: no mail: %s", h.Host, out.Withheld.Text))
		case out.Why != "":
			lines = append(lines, fmt.Sprintf("%s: TLS %s: %s", h.Host, out.TLS, out.Why))
		}
		return out
	})
	slices.Sort(lines)
	return lines
}
