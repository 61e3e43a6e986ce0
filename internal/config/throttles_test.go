package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// throttleTexts writes throttles as "connect_rate(b,d)=1/1,burst=1 connections": the option
// without its ends, the key, the rate, what it counts; one by stanza with its stanza.
func throttleTexts(ts []policy.Throttle) string {
	var out []string
	for _, t := range ts {
		var key []string
		for _, e := range byLetters {
			if t.By&e.by != 0 {
				key = append(key, e.letter)
			}
		}
		name := strings.NewReplacer("outbound_throttle_connections", "conns", "outbound_throttle_messages", "messages").Replace(t.Option)
		s := fmt.Sprintf("%s(%s)=%s %s", name, strings.Join(key, ","), t.Rate, t.Act)
		if t.By == policy.ByStanza {
			s += " of " + t.Origin.Stanza
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestQueueThrottles(t *testing.T) {
	for _, c := range []struct {
		name, conf, binding, domain, want string
	}{
		{"none", ``, "default", "a.test", ""},
		{"0 and unlimited are none", `max_connect_rate = 0 max_message_rate = unlimited outbound_throttle_messages = 0/60`, "default", "a.test", ""},
		{
			"bursts", `max_connect_rate = 10/s max_message_rate = 300/h outbound_throttle_connections = 60/3 outbound_throttle_messages = 83/5s`,
			"default", "a.test",
			"max_connect_rate(b,d)=10/1,burst=1 connections; max_message_rate(b,d)=300/3600,burst=1 recipients; " +
				"conns(S)=60/3,burst=1 connections of global; messages(S)=83/5,burst=16 messages of global",
		},
		{"a burst that is set", `max_connect_rate = "1/s,burst=4"`, "default", "a.test", "max_connect_rate(b,d)=1/1,burst=4 connections"},
		{
			"group domain beats binding", `Binding_Group g { Domain a.test { max-msg-rate = 7/h } Binding b { max-msg-rate = 15/h } }`,
			"b", "a.test", "max_message_rate(b,d)=7/3600,burst=1 recipients",
		},
		{
			"only the most specific of those by reference", `outbound_throttle_messages = 9
			Domain a.test { outbound_throttle_messages = 5 } Domain b.test { outbound_throttle_messages = unlimited }`,
			"default", "a.test", `messages(S)=5/1,burst=5 messages of domain "a.test"`,
		},
		{
			"unlimited no longer spends the broader one", `outbound_throttle_messages = 9
			Domain a.test { outbound_throttle_messages = 5 } Domain b.test { outbound_throttle_messages = unlimited }`,
			"default", "b.test", "",
		},
		{
			"a group's is shared by its bindings", `Binding_Group g { outbound_throttle_connections = 2 Binding b { } } Domain a.test { outbound_throttle_connections = 1 }`,
			"b", "a.test", `conns(S)=2/1,burst=1 connections of binding_group "g"`,
		},
		{
			"an exact stanza takes from a pattern what it leaves unset", `Domain "/test$/" { outbound_throttle_messages = 3 max_message_rate = 4 } Domain a.test { max_message_rate = 2 }`,
			"default", "a.test", `max_message_rate(b,d)=2/1,burst=2 recipients; messages(S)=3/1,burst=3 messages of domain "/test$/"`,
		},
		{
			"cluster in addition", `outbound_throttle_messages = 9 cluster_outbound_throttle_messages = 20 Binding b { cluster_outbound_throttle_connections = 3 }`,
			"b", "a.test",
			`messages(S)=9/1,burst=9 messages of global; cluster_conns(S)=3/1,burst=1 connections of binding "b"; cluster_messages(S)=20/1,burst=20 messages of global`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := throttleTexts(parseOK(t, c.conf).Queue(c.binding, c.domain).Throttles); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestHostThrottles(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		name, conf, want, wantAddr string
	}{
		{"never the domain chain", `outbound_throttle_messages = 9`, "", ""},
		{"by name", `Host "/^mx/" { outbound_throttle_messages = 9 }`, `messages(S)=9/1,burst=9 messages of host "/^mx/"`, ""},
		{
			"the group's beats the global one, and takes its place", `Host mx.test { outbound_throttle_connections = 9 }
			Binding_Group g { Host mx.test { outbound_throttle_connections = 2 } Binding b { } }`,
			`conns(S)=2/1,burst=1 connections of binding_group "g" / host "mx.test"`, "",
		},
		{
			"name and block", `Host mx.test { outbound_throttle_messages = 9 } Host 192.0.2.0/24 { outbound_throttle_messages = 4 cluster_outbound_throttle_messages = 5 }
			Host 192.0.0.0/16 { outbound_throttle_messages = 1 outbound_throttle_connections = 1 }`,
			`messages(S)=9/1,burst=9 messages of host "mx.test"`,
			`conns(S)=1/1,burst=1 connections of host "192.0.0.0/16"; messages(S)=4/1,burst=4 messages of host "192.0.2.0/24"; cluster_messages(S)=5/1,burst=5 messages of host "192.0.2.0/24"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := parseOK(t, c.conf).Host("b", "mx.test", []netip.Addr{addr, netip.MustParseAddr("198.51.100.1")})
			if got := throttleTexts(h.Throttles); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := throttleTexts(h.AddressThrottles[addr]); got != c.wantAddr {
				t.Errorf("address: got  %s\nwant %s", got, c.wantAddr)
			}
			if len(h.AddressThrottles) > 1 {
				t.Errorf("the other address has throttles: %v", h.AddressThrottles)
			}
		})
	}
}

// TestSeedRates: the rates of the imported configuration, with where they stand.
func TestSeedRates(t *testing.T) {
	snap, diags := Load("testdata/cases/seed004-powermta.conf")
	if snap == nil {
		t.Fatal(diags.Err())
	}
	high := snap.Queue("ip-1", "gmail.com").Throttles
	if got, want := throttleTexts(high), "max_connect_rate(b,d)=1/1,burst=1 connections; max_message_rate(b,d)=300/3600,burst=1 recipients"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o := high[0].Origin; o.Stanza != `binding_group "high-rep-pool"` || o.Line != 4 {
		t.Errorf("%+v", o)
	}
	if got, want := throttleTexts(snap.Queue("ip-9", "gmail.com").Throttles), "max_message_rate(b,d)=50/3600,burst=1 recipients"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
