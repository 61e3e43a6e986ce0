package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
)

func read(t *testing.T, conf string) *policy.Snapshot {
	t.Helper()
	snap, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", conf)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", conf, diags.Err())
	}
	return snap
}

// What a rollup's name is asked for, and what the recipient's domain.
func TestQueueUnder(t *testing.T) {
	s := read(t, `
idle_timeout = 5s
Rollup big.rollup { mx = ( *.big.test ) }
Domain big.rollup {
  max_outbound_connections = 7
  max_connect_rate = 2/s
  scope_max_outbound_connections = 9
  idle_timeout = 9s
  retry_interval = 99m
  message_expiration = 9d
  tls = no
  tls_timeout = 99s
}
Domain "/\.rollup$/" { max_mx_hosts = 3 }
Domain one.test {
  idle_timeout = 1s
  retry_interval = 11m
  message_expiration = 1d
  max_retries = 4
  tls = required
  tls_timeout = 11s
}
Binding_Group g { idle_timeout = 2s Domain big.rollup { max_outbound_connections = 6 } Binding b { } }`)
	q := s.QueueUnder("default", "one.test", "big.rollup")
	got := fmt.Sprint(q.Limits[0].Max, " ", q.Limits[0].Origin.Line, q.Limits[1].Max, q.Throttles[0].Rate, q.IdleTimeout, q.MaxMXHosts,
		q.Retry.Steps, q.Expiration, q.MaxRetries, q.Session.TLS, q.Session.TLSTimeout, q.Under)
	want := fmt.Sprint(7, " ", 5, 9, q.Throttles[0].Rate, 9*time.Second, 3,
		[]time.Duration{11 * time.Minute}, 24*time.Hour, 4, policy.TLSRequired, 11*time.Second,
		policy.Under{Kind: policy.UnderRollup, Origin: s.Rollups[0].Origin})
	if got != want {
		t.Errorf("under the rollup\n%s\nwant\n%s", got, want)
	}
	if q := s.QueueUnder("b", "two.test", "big.rollup"); q.Limits[0].Max != 6 || q.IdleTimeout != 2*time.Second || q.Retry.Steps[0] != 20*time.Minute {
		t.Errorf("in the group: %+v", q)
	}
	if q := s.Queue("default", "one.test"); q.Limits[0].Max != 32 || q.IdleTimeout != time.Second || q.Under.Kind != policy.UnderNone {
		t.Errorf("under none: %+v", q)
	}
}

// With a gateway, domain stanzas are asked for its name, in lower case and without port.
func TestQueueThroughGateway(t *testing.T) {
	s := read(t, `
Domain one.test { gateway = "Relay.Test:2525" idle_timeout = 1s message_expiration = 1d }
Domain relay.test { max_outbound_connections = 3 idle_timeout = 7s message_expiration = 7d tls = required }
Domain held.test { gateway = relay.test suspend_delivery = on }
Domain 192.0.2.1 { max_outbound_connections = 2 }
Rollup big.rollup { mx = ( *.big.test ) }
Domain big.rollup { gateway = relay.test }
Binding b { gateway = "192.0.2.1" }`)
	q := s.Queue("default", "one.test")
	if q.Gateway != "relay.test" || q.Session.Gateway != "Relay.Test:2525" || q.Limits[0].Max != 3 || q.IdleTimeout != 7*time.Second ||
		q.Under != (policy.Under{Kind: policy.UnderGateway, Origin: s.Queue("default", "one.test").Under.Origin}) || q.Under.Origin.Line != 2 {
		t.Errorf("%+v", q)
	}
	if q.Expiration != 24*time.Hour || q.Session.TLS != policy.TLSRequired {
		t.Errorf("expiration %v, TLS %v: asked for the recipient's domain, then for the gateway", q.Expiration, q.Session.TLS)
	}
	if q := s.Queue("default", "held.test"); !q.Suspended || q.SuspendedOrigin.Line != 4 {
		t.Errorf("a suspended domain with a gateway: %+v", q)
	}
	if q := s.Queue("b", "any.test"); q.Gateway != "192.0.2.1" || q.Limits[0].Max != 2 {
		t.Errorf("by address: %+v", q)
	}
	if q := s.QueueUnder("default", "two.test", "big.rollup"); q.Gateway != "relay.test" || q.Session.Gateway != "relay.test" || q.Limits[0].Max != 3 {
		t.Errorf("a rollup's gateway: %+v", q)
	}
}

func TestRollupSetting(t *testing.T) {
	const rollup = "Rollup big.rollup { mx = ( *.big.test ) }\n"
	for _, c := range []struct{ conf, want string }{
		{"", "none"},
		{"mx_rollup = off", "off at t.conf:1"},
		{rollup, "stanzas"},
		{rollup + "mx_rollup = auto", "auto at t.conf:2"},
		{rollup + "mx-rollup = Big.Rollup", "named big.rollup at t.conf:2"},
		{rollup + "mx-rollup = Gmail.COM", "domain gmail.com at t.conf:2"},
		{rollup + "Binding b { mx_rollup = off }", "off at t.conf:2"},
		{rollup + "mx_rollup = auto Domain a.test { mx_rollup = off }", "off at t.conf:2"},
		// A domain stanza with a say of its own.
		{rollup + "Domain a.test { max_outbound_connections = 3 }", "stanzas but max_outbound_connections t.conf:2"},
		{rollup + "Domain a.test { scope_max_outbound_connections = -1 }", "stanzas but scope_max_outbound_connections t.conf:2"},
		{rollup + "Domain a.test { max-msg-rate = 3/s }", "stanzas but max_message_rate t.conf:2"},
		{rollup + "Domain a.test { outbound_throttle_connections = 3/s }", "stanzas but outbound_throttle_connections t.conf:2"},
		{rollup + "Domain a.test { routes = x.test }", "stanzas but routes t.conf:2"},
		{rollup + "Domain a.test { suspend_delivery = off }", "stanzas but suspend_delivery t.conf:2"},
		{rollup + "Domain a.test { idle_timeout = 3 retry_interval = 3 }", "stanzas"},
		{rollup + "Domain b.test { max_outbound_connections = 3 }", "stanzas"},
		{rollup + `Domain "/^a/" { max_outbound_connections = 3 }`, "stanzas but max_outbound_connections t.conf:2"},
		{rollup + "Binding b { Domain a.test { max_outbound_connections = 3 } }", "stanzas but max_outbound_connections t.conf:2"},
		{rollup + "Binding_Group g { Domain a.test { max_outbound_connections = 3 } Binding b { } }", "stanzas but max_outbound_connections t.conf:2"},
		{rollup + "Binding other { Domain a.test { max_outbound_connections = 3 } }", "stanzas"},
		{"Domain a.test { max_outbound_connections = 3 }", "none"},
		{rollup + "mx_rollup = off Domain a.test { max_outbound_connections = 3 }", "off at t.conf:2"},
		// It names the rollup, or another one.
		{rollup + "Domain a.test { max_outbound_connections = 3 mx_rollup = big.rollup }", "named big.rollup at t.conf:2"},
		{rollup + "Domain a.test { max_outbound_connections = 3 mx_rollup = auto }", "auto at t.conf:2"},
		{rollup + "Domain a.test { mx_rollup = big.rollup }\nDomain \"/^a/\" { max_outbound_connections = 3 }", "named big.rollup at t.conf:2 but max_outbound_connections t.conf:3"},
		{rollup + "Domain a.test { mx_rollup = big.rollup }\nDomain \"/^a/\" { max_outbound_connections = 3 mx_rollup = auto }", "named big.rollup at t.conf:2 but max_outbound_connections t.conf:3"},
		{rollup + "Domain a.test { mx_rollup = big.rollup }\nDomain \"/^a/\" { max_outbound_connections = 3 mx_rollup = BIG.rollup }", "named big.rollup at t.conf:2"},
	} {
		s := read(t, c.conf)
		binding := "default"
		if s.Bindings["b"] != nil {
			binding = "b"
		}
		x := s.Queue(binding, "a.test").Rollup
		got := [...]string{"none", "stanzas", "off", "auto", "named", "domain"}[x.Mode]
		if x.Name != "" {
			got += " " + x.Name
		}
		if !x.Origin.IsDefault() {
			got += " at " + x.Origin.String()
		}
		if x.Apart != "" {
			got += " but " + x.Apart + " " + x.ApartOrigin.String()
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.conf, got, c.want)
		}
	}
}

func TestRollupStanzas(t *testing.T) {
	s := read(t, "Rollup Two.Rollup { mx = ( *.TWO.test. mx.two.example ) }\nRollup one.rollup { mx = * }\nmx_rollup = x.test Domain a.test { mx_rollup = Y.test } Binding b { mx_rollup = x.test }")
	if got := fmt.Sprint(s.Rollups[0].Name, s.Rollups[0].MX, s.Rollups[1].Name, s.Rollups[1].MX, s.RollupDomains()); got != "two.rollup[*.two.test mx.two.example]one.rollup[*] [x.test y.test]" {
		t.Error(got)
	}
	for conf, want := range map[string]string{
		"Rollup \"no name\" { mx = * }":                                                "1:8: error: Rollup \"no name\"",
		"Rollup auto { mx = * }":                                                       "1:8: error: Rollup \"auto\"",
		"Rollup g { mx = ( \"a b.test\" ) }":                                           `1:12: error: "a b.test" is not a pattern of host names`,
		"Rollup g { mx = ( *.* ) }":                                                    `1:12: error: "*.*" matches hosts of all kinds`,
		"mx_rollup = gmail.rolup\nRollup gmail.rollup { mx = * }":                      `1:1: warning: mx_rollup = gmail.rolup: taken as a domain, because there is no Rollup of that name (did you mean gmail.rollup?)`,
		"routes = ( \"x y z\" )":                                                       `is not HOST, HOST:PORT or PREFERENCE HOST:PORT`,
		"routes = ( \"99999 relay.test\" )":                                            `the preference before the host must be from 0 to 65535`,
		"routes = ( smtps://relay.test )":                                              "",
		"gateway = smtps://relay.test":                                                 "",
		"Rollup g.rollup { mx = * }\nDomain g.rollup { retry_interval = 3m }":          `2:19: warning: retry_interval is asked for the recipient's domain`,
		"Rollup g.rollup { mx = * }\nDomain other.rollup { retry_interval = 3m }":      "",
		"gateway = relay.test:2525 routes = ( \"10 relay.test:25\" \"[2001:db8::1]\")": "",
	} {
		_, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", conf)
		text := fmt.Sprint(diags)
		if want == "" && len(diags) > 0 || !strings.Contains(text, want) {
			t.Errorf("%s\ngot  %s\nwant %s", conf, text, want)
		}
	}
}

// Names that nothing tells apart share one Queue, under one rollup; under another, or
// under their own, they do not.
func TestQueueUnderIsShared(t *testing.T) {
	r := NewResolver(read(t, "Rollup a.rollup { mx = a.* } Rollup b.rollup { mx = b.* } mx_rollup = auto Domain own.test { idle_timeout = 1 }"))
	q := r.QueueUnder("default", "one.test", "a.rollup")
	if q != r.QueueUnder("default", "two.test", "a.rollup") || r.QueueUnder("default", "one.test", "auto:x") != r.QueueUnder("default", "two.test", "auto:y") {
		t.Error("equal answers are made twice")
	}
	for _, other := range []*policy.Queue{
		r.QueueUnder("default", "one.test", "b.rollup"), r.QueueUnder("default", "one.test", "auto:x"), r.Queue("default", "one.test"),
		r.QueueUnder("default", "own.test", "a.rollup"), r.QueueUnder("default", "one.test", "one.test"), r.QueueUnder("other", "one.test", "a.rollup"),
	} {
		if other == q {
			t.Errorf("one answer for two questions: %+v", other)
		}
	}
}

func TestRoutes(t *testing.T) {
	s := read(t, `routes = ( "20 Worse.Test" "10 relay.test:2525" "10 [2001:db8::1]:26" ) Domain mx.test { gateway = g.test }`)
	var got []string
	for _, x := range s.Queue("default", "one.test").Session.Routes {
		got = append(got, fmt.Sprintf("%d %s %d %v", x.Preference, x.Host, x.Port, x.Address.IsValid()))
	}
	if want := "10 relay.test 2525 false, 10 2001:db8::1 26 true, 20 worse.test 0 false"; strings.Join(got, ", ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
	}
	if q := s.Queue("default", "mx.test"); len(q.Session.Routes) != 0 {
		t.Error("a gateway goes before routes")
	}
}
