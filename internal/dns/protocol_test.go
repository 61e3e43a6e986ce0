package dns_test

import (
	"context"
	"testing"

	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// What is spoken with a host that the operator names, and what TLS it needs by that and by
// the login that it is told.
func TestProtocols(t *testing.T) {
	r := router(dnstest.Resolver(t, world))
	login := policy.Auth{User: "us", Security: policy.AuthVerified}
	for _, c := range []struct {
		gateway  string
		tls      policy.TLSMode
		auth     policy.Auth
		protocol policy.Protocol
		want     sched.TLS
	}{
		{"a.one.test", policy.TLSIfAvailable, policy.Auth{}, policy.SMTP, sched.TLSIfAvailable},
		{"smtps://a.one.test", policy.TLSIfAvailable, policy.Auth{}, policy.SMTPS, sched.TLSRequired},
		{"smtps://a.one.test", policy.TLSNo, policy.Auth{}, policy.SMTPS, sched.TLSRequired},
		{"lmtp://a.one.test", policy.TLSNo, policy.Auth{}, policy.LMTP, sched.TLSNo},
		{"smtps://a.one.test", policy.TLSIfAvailable, login, policy.SMTPS, sched.TLSVerifyHost},
		{"a.one.test", policy.TLSIfAvailable, login, policy.SMTP, sched.TLSVerifyHost},
		{"a.one.test", policy.TLSIfAvailable, policy.Auth{User: "us", Security: policy.AuthEncrypted}, policy.SMTP, sched.TLSRequired},
		{"a.one.test", policy.TLSNo, policy.Auth{User: "us", Security: policy.AuthAnywhere}, policy.SMTP, sched.TLSNo},
	} {
		for _, byRoute := range []bool{false, true} {
			got := r.Resolve(context.Background(), ask("one.test", func(p *policy.Queue) {
				p.Session.TLS, p.Session.Auth = c.tls, c.auth
				if !byRoute {
					p.Session.Gateway = c.gateway
					return
				}
				route, err := policy.ParseRoute("10 " + c.gateway)
				if err != nil {
					t.Fatal(err)
				}
				p.Session.Routes = []policy.Route{route}
			}))
			if len(got.Hosts) != 1 || got.Hosts[0].Protocol != c.protocol || got.Hosts[0].TLS != c.want {
				t.Errorf("%s, tls %v, login %v, by routes %v: %+v", c.gateway, c.tls, c.auth.Security, byRoute, got.Hosts)
			}
		}
	}
}
