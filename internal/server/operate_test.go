package server

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/admin"
)

func TestSuspendNamesSomebody(t *testing.T) {
	w := newWorld(t)
	s := w.start("")
	defer stop(t, s)
	b := backend{s}
	if _, err := b.Operate(admin.Operation{Verb: "suspend", Domain: "one.test"}); err != nil {
		t.Fatal(err)
	}
	send(t, s, "1", "a@one.test")
	list, err := b.Explain("one.test")
	if err != nil || list.State != "suspended by an operator" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, binding := range []string{"default/shop", "no-such"} {
		if _, err := b.Operate(admin.Operation{Verb: "resume", Domain: "one.test", Binding: binding}); err == nil {
			t.Errorf("resume of binding %q, which is none, was taken", binding)
		}
	}
}
