package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/policy"
)

func TestReloadIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	s := w.start("domain \"one.test\" { max_outbound_connections = 4 }")
	defer stop(t, s)
	b := backend{s}
	conf := filepath.Join(w.dir, "sluice.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		a, err := b.Eval([]string{"domain", "one.test", "max_outbound_connections"})
		if err != nil {
			t.Fatal(err)
		}
		return strings.SplitN(a.Text, "\n", 2)[0]
	}
	w.file("sluice.conf", string(text)+"\nno_such_option = 1\n")
	if _, err := s.Reload(); err == nil || !strings.Contains(err.Error(), "no_such_option") {
		t.Errorf("reload of a broken file: %v", err)
	}
	if got := ask(); got != "Max_Outbound_Connections = 4" {
		t.Errorf("after a refused reload: %s", got)
	}
	w.file("sluice.conf", strings.ReplaceAll(string(text), "connections = 4", "connections = 9"))
	if _, err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "Max_Outbound_Connections = 9" {
		t.Errorf("after a reload: %s", got)
	}
}

// TestReloadNamesWhatWaitsForAStart: what is told is the difference to what runs, not to
// the configuration read last.
func TestReloadNamesWhatWaitsForAStart(t *testing.T) {
	w := newWorld(t)
	s := w.start("")
	defer stop(t, s)
	smtp := s.Addresses(policy.ListenESMTP)
	conf := filepath.Join(w.dir, "sluice.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	w.file("sluice.conf", string(text)+"\nESMTP_Listener { Listen \"127.0.0.1:1\" { } }\nspool { segment_size = 1MB }\n")
	told, err := s.Reload()
	if all := strings.Join(told, "\n"); err != nil || !strings.Contains(all, "127.0.0.1:1 begins at the next start") || !strings.Contains(all, "spool:") {
		t.Errorf("a listener and the spool changed: %q, %v", told, err)
	}
	if got := s.Addresses(policy.ListenESMTP); fmt.Sprint(got) != fmt.Sprint(smtp) {
		t.Errorf("listens on %v, and says %v", smtp, got)
	}
	w.file("sluice.conf", string(text))
	if told, err := s.Reload(); err != nil || strings.Contains(strings.Join(told, "\n"), "next start") {
		t.Errorf("back to what runs: %q, %v", told, err)
	}
}

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
	if err != nil || list[0].State != "suspended by an operator" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, binding := range []string{"default/shop", "no-such"} {
		if _, err := b.Operate(admin.Operation{Verb: "resume", Domain: "one.test", Binding: binding}); err == nil {
			t.Errorf("resume of binding %q, which is none, was taken", binding)
		}
	}
}
