package sched

import (
	"net/netip"
	"testing"

	"github.com/sluice-mta/sluice/internal/limit"
)

// Every counter is found by the name under which it is printed, and by no other.
func TestCounterByName(t *testing.T) {
	m := New(Config{})
	keys := []limit.Key{
		{Option: "o"},
		{Option: "p"},
		{Option: "o", Binding: "b"},
		{Option: "o", Group: "g"},
		{Option: "o", Binding: "b", Domain: "one.test"},
		{Option: "o", Binding: "b", Host: "mx.test"},
		{Option: "o", Binding: "b", Address: netip.MustParseAddr("2001:db8::1")},
		{Option: "o", Group: "g", Binding: "b", Domain: "one.test", Host: "mx.test"},
		{Option: "o", Stanza: `host "192.0.2.0/24"`},
		{Option: "o", Binding: "b", Stanza: `binding "b" / domain "/a/b/"`},
		{Option: "o", Domain: "server"},
	}
	for _, k := range keys {
		m.limits.Counter(k, 1, 0)
	}
	for _, k := range keys {
		id, ok := m.findCounter(k.Option + " " + k.String())
		if !ok || m.limits.Key(id).String() != k.String() || m.limits.Key(id).Option != k.Option {
			t.Errorf("%+v: found %v, %v", k, m.limits.Key(id), ok)
		}
	}
	for _, name := range []string{"", "o", "o ", "q server", `o host "mx.test"`, "o b/two.test", "o /b"} {
		if id, ok := m.findCounter(name); ok {
			t.Errorf("%q finds %v", name, m.limits.Key(id))
		}
	}
}
