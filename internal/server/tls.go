package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/state"
	"github.com/sluice-mta/sluice/internal/tlspolicy"
)

// tlsPolicies is what receivers demand of TLS, with the disk that it is kept on.
type tlsPolicies struct {
	engine *tlspolicy.Engine
	store  *state.Store
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
	return nil
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
