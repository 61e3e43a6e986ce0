package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/admin/client"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sink"
)

// What a reload cannot change is compared with what the server was started with, however
// many reloads came between.
func TestReloadSaysWhatWaitsForTheNextStart(t *testing.T) {
	w := newWorld(t)
	s := w.start("")
	defer stop(t, s)
	conf := filepath.Join(w.dir, "sluice.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(text), `directory = "log"`, `directory = "log" max_age = 1h`)
	w.file("sluice.conf", strings.ReplaceAll(other, "Control_Listener {", "Control_Listener { Listen \"unix:other.sock\" { }"))
	for range 2 {
		warnings, err := s.Reload()
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(warnings, "\n")
		if !strings.Contains(all, "other.sock") || !strings.Contains(all, "accounting") {
			t.Errorf("warnings: %s", all)
		}
	}
	if got := s.Addresses(policy.ListenControl); len(got) != 1 || !strings.HasSuffix(got[0], "control.sock") {
		t.Errorf("control at %v", got)
	}
	w.file("sluice.conf", string(text))
	if warnings, err := s.Reload(); err != nil || len(warnings) != 0 {
		t.Errorf("back at what runs: %v %v", warnings, err)
	}
}

// A stop that is asked for twice waits for nobody.
func TestHurry(t *testing.T) {
	w := newWorld(t)
	k := w.sink(sink.Options{Faults: []sink.Fault{{Kind: sink.StallDot, Share: 1}}})
	s := w.start("drain_timeout = 1h")
	send(t, s, "m", "u@one.test")
	until(t, "a connection", func() bool { return k.Report().Connections.Open == 1 })
	stopped := make(chan struct{})
	go func() { stop(t, s); close(stopped) }()
	s.Hurry()
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		t.Fatal("it still waits")
	}
}

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

// While a stop waits for its transactions the control still answers.
func TestControlAnswersDuringTheDrain(t *testing.T) {
	w := newWorld(t)
	k := w.sink(sink.Options{Faults: []sink.Fault{{Kind: sink.StallDot, Share: 1}}})
	s := w.start("drain_timeout = 1h")
	send(t, s, "m", "u@one.test")
	until(t, "a connection", func() bool { return k.Report().Connections.Open == 1 })
	until(t, "a message on it", func() bool {
		rows, _ := backend{s}.Queues("", 1)
		return len(rows) == 1 && strings.HasPrefix(rows[0].State, "delivering")
	})
	stopped := make(chan struct{})
	go func() { stop(t, s); close(stopped) }()
	c := client.New(s.Addresses(policy.ListenControl)[0])
	until(t, "the drain", func() bool { st, err := c.Status(); return err == nil && st.Pressure != "" })
	s.Hurry()
	<-stopped
	if _, err := c.Status(); err == nil {
		t.Error("it answers after the stop")
	}
}
