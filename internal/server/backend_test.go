package server

import (
	"encoding/json"
	"strings"
	"testing"
)

// Those who read the JSON find lists, never null, whether there is anything in them or not.
func TestEmptyListsAreListsInJSON(t *testing.T) {
	w := newWorld(t)
	s := w.start("suspend_delivery = on\nBinding \"idle\" { }\nDomain \"two.test\" { gateway = \"gate.test:99\" }")
	defer stop(t, s)
	send(t, s, "m", "u@one.test")
	b := backend{s}
	explained, err := b.Explain("one.test")
	if err != nil {
		t.Fatal(err)
	}
	domain, err := b.Domain("two.test")
	if err != nil {
		t.Fatal(err)
	}
	if domain.Gateway != "gate.test:99" {
		t.Errorf("the gateway of two.test is %q", domain.Gateway)
	}
	idle, err := b.Binding("idle")
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"explain": explained, "domain": domain, "binding": idle, "bindings": b.Bindings()} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.NewReplacer(`"waiting_on":null`, "", `"estimate":null`, "").Replace(string(text)); strings.Contains(got, ":null") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
