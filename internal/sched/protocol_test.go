package sched

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// A connection takes mail over only from where the same is spoken.
func TestProtocolIsKept(t *testing.T) {
	m := New(Config{})
	p := m.placeFor(placeKey{host: "mx.test"})
	for _, x := range []struct {
		conn, route policy.Protocol
		want        bool
	}{{policy.SMTP, policy.SMTP, true}, {policy.SMTPS, policy.SMTPS, true}, {policy.LMTP, policy.SMTP, false}, {policy.SMTP, policy.LMTP, false}, {policy.SMTPS, policy.SMTP, false}} {
		if got := m.content(&conn{place: p, tls: TLSRequired, protocol: x.conn}, &routeHost{tls: TLSRequired, protocol: x.route}); got != x.want {
			t.Errorf("over %v for %v: %v", x.conn, x.route, got)
		}
	}
}

// What is spoken is told to the connection.
func TestProtocolIsTold(t *testing.T) {
	r := newRig(t)
	r.submit(testPolicy(bd(8)), "one.test", 1)
	h := mx("store.test", 10, "192.0.2.1")
	h.Protocol = policy.LMTP
	if c := only[Connect](t, r.resolve("one.test", h)); c.Protocol != policy.LMTP {
		t.Errorf("speaks %v", c.Protocol)
	}
}
