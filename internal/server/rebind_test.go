package server

import (
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/sink"
)

// Mail of a binding that the configuration no longer has never leaves from an address
// that nobody chose, whether the server was running when the binding went or not.
func TestRestartWithoutTheBinding(t *testing.T) {
	const declared = `
Binding "gone" { bind_address = 127.0.0.81 suspend_delivery = on }
Binding_Group "pool" {
  Binding "left" { bind_address = 127.0.0.82 suspend_delivery = on }
  Binding "stays" { bind_address = 127.0.0.83 suspend_delivery = on }
}
`
	const reduced = `Binding_Group "pool" { Binding "stays" { bind_address = 127.0.0.83 } }`
	w := newWorld(t)
	k := w.sink(sink.Options{})
	s := w.start(declared)
	sendVia(t, s, "alone", "gone", "u@one.test")
	for range 8 {
		sendVia(t, s, "pooled", "pool", "u@one.test")
	}
	stop(t, s)

	s = w.start(reduced)
	until(t, "the group's mail", func() bool { return k.Report().Messages.Accepted == 8 })
	for source, n := range k.Report().Connections.AcceptedBySource {
		if source != "127.0.0.83" {
			t.Errorf("%d connections came from %s", n, source)
		}
	}
	e, err := backend{s}.Explain("one.test/gone")
	if err != nil {
		t.Fatal(err)
	}
	if e.Ready != 1 || !strings.Contains(e.State, "removed") {
		t.Errorf("the other waits with %q", e.State)
	}
	stop(t, s)

	s = w.start(`unknown_binding = default`)
	until(t, "all mail", func() bool { return k.Report().Messages.Accepted == 9 })
	stop(t, s)
}
