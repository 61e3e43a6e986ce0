package deliver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp"
)

func TestHabits(t *testing.T) {
	var m habits
	now := time.Unix(1e9, 0)
	p := place{"mx.test", netip.MustParseAddr("192.0.2.1")}
	m.note(p, smtp.Habits{}, smtp.Habits{Proven: smtp.Pipelining}, now)
	m.note(p, smtp.Habits{Proven: smtp.Pipelining}, smtp.Habits{Proven: smtp.Pipelining, Broken: smtp.Chunking, Silent: smtp.Chunking, Why: "lost"}, now)
	// Another session, that had begun before, knows of neither, and finds something else.
	m.note(p, smtp.Habits{}, smtp.Habits{Proven: smtp.Pipelining, Broken: smtp.Ahead, Why: "503"}, now.Add(time.Hour))
	h := m.at(p, now.Add(2*time.Hour))
	if h.Broken != smtp.Chunking|smtp.Ahead || h.Silent != smtp.Chunking || h.Proven != smtp.Pipelining || h.Why != "503" {
		t.Errorf("two sessions: %+v", h)
	}
	if o := m.at(place{"mx.test", netip.MustParseAddr("192.0.2.2")}, now); o != (Habit{}) {
		t.Errorf("another address: %+v", o)
	}
	m.acquit(p, smtp.Chunking|smtp.Ahead, now.Add(3*time.Hour))
	if h = m.at(p, now.Add(3*time.Hour)); h.Broken != smtp.Ahead || h.Silent != 0 || h.Proven != smtp.Pipelining|smtp.Chunking {
		t.Errorf("acquitted of what no reply spoke for: %+v", h)
	}
	if h = m.at(p, now.Add(25*time.Hour)); h.Broken != 0 || h.Proven != smtp.Pipelining|smtp.Chunking {
		t.Errorf("a day after the last: %+v", h)
	}
}

// TestHabitsAreBounded: who is asked for stays, the rest goes.
func TestHabitsAreBounded(t *testing.T) {
	var m habits
	now := time.Unix(1e9, 0)
	first := place{"first.test", netip.MustParseAddr("192.0.2.1")}
	m.note(first, smtp.Habits{}, smtp.Habits{Broken: smtp.Chunking, Why: "x"}, now)
	for i := range 5 * mostHabits {
		m.note(place{fmt.Sprint(i), first.addr}, smtp.Habits{}, smtp.Habits{Proven: smtp.Ahead}, now)
		if i%1000 == 0 && m.at(first, now).Broken != smtp.Chunking {
			t.Fatalf("forgotten after %d others", i)
		}
	}
	if n := len(m.young) + len(m.old); n > 2*mostHabits {
		t.Errorf("%d addresses are remembered, want %d at most", n, 2*mostHabits)
	}
	if h := m.at(place{"0", first.addr}, now); h != (Habit{}) {
		t.Errorf("an address nobody asked for: %+v", h)
	}
}
