package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/sink"
)

func operate(t *testing.T, s *Server, op admin.Operation) admin.Operated {
	t.Helper()
	r, err := backend{s}.Operate(op)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSuspendNamesSomebody(t *testing.T) {
	w := newWorld(t)
	s := w.start("")
	defer stop(t, s)
	b := backend{s}
	operate(t, s, admin.Operation{Verb: "suspend", Domain: "one.test"})
	send(t, s, "1", "a@one.test")
	list, err := b.Explain("one.test")
	if err != nil || !strings.HasPrefix(list.State, "suspended by an operator ") {
		t.Errorf("%+v, %v", list, err)
	}
	for _, op := range []admin.Operation{
		{Verb: "resume", Domain: "one.test", Binding: "default/shop"},
		{Verb: "resume", Binding: "no-such"},
		{Verb: "suspend", Job: "spring"},
		{Verb: "delete", Domain: "one.test"},
		{Verb: "rebind", Domain: "one.test"},
		{Verb: "rebind", Domain: "one.test", To: "no-such"},
		{Verb: "retry", Domain: "one.test", To: "default"},
		{Verb: "fail", Domain: "no domain"},
	} {
		if _, err := b.Operate(op); err == nil {
			t.Errorf("%+v was taken", op)
		}
	}
}

// What an operator has suspended stays suspended over a restart, and says by whom, why and
// since when; what was resumed does not come back.
func TestSuspensionsSurvive(t *testing.T) {
	w := newWorld(t)
	k := w.sink(sink.Options{})
	s := w.start("")
	operate(t, s, admin.Operation{Verb: "suspend", Domain: "one.test", By: "ada", Reason: "listed\r\nat work"})
	operate(t, s, admin.Operation{Verb: "suspend", Tenant: "shop", By: "ada"})
	operate(t, s, admin.Operation{Verb: "suspend", Domain: "gone.test", By: "ada"})
	operate(t, s, admin.Operation{Verb: "resume", Domain: "gone.test", By: "ada"})
	send(t, s, "1", "a@one.test")
	before := backend{s}.Suspensions()
	stop(t, s)

	w.wall.Store(int64(time.Hour))
	s = w.start("")
	after := backend{s}.Suspensions()
	if len(after) != 2 || after[0].Since != before[0].Since || after[0].Domain != "one.test" || after[0].Reason != "listed  at work" || after[1].Tenant != "shop" {
		t.Errorf("%+v, before the restart %+v", after, before)
	}
	x, err := backend{s}.Explain("one.test")
	if err != nil || x.State != "suspended by ada 1h0m1s ago: listed  at work" && x.State != "suspended by ada 1h0m0s ago: listed  at work" {
		t.Errorf("%q, %v", x.State, err)
	}
	send(t, s, "2", "a@gone.test")
	until(t, "what was resumed", func() bool { return k.Report().Messages.Distinct == 1 })
	operate(t, s, admin.Operation{Verb: "resume", By: "ada"})
	until(t, "the rest", func() bool { return k.Report().Messages.Distinct == 2 })
	stop(t, s)
	s = w.start("")
	if left := (backend{s}).Suspensions(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	stop(t, s)
}

// An order that cannot be written holds, and the operator is told that it will not last.
func TestSuspensionThatCannotBeKept(t *testing.T) {
	if os.Getuid() == 0 {
		// Permissions do not bind root: a directory in the place of the file does.
		t.Log("as root")
	}
	w := newWorld(t)
	s := w.start("")
	defer stop(t, s)
	dir := filepath.Join(w.dir, "spool", "state")
	if err := os.MkdirAll(filepath.Join(dir, "state.new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := backend{s}.Operate(admin.Operation{Verb: "suspend", Domain: "one.test"})
	if err == nil || !strings.Contains(err.Error(), "a restart will not know of it") {
		t.Errorf("%v", err)
	}
	if list := (backend{s}).Suspensions(); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// Fail counts first when asked, ends what matches and reports it with the reason; rebind
// moves mail for good.
func TestFailAndRebind(t *testing.T) {
	w := newWorld(t)
	k := w.sink(sink.Options{})
	two := `Binding_Group "pool" { Binding "ip-1" { } Binding "ip-2" { } }`
	s := w.start(two)
	operate(t, s, admin.Operation{Verb: "suspend"})
	send(t, s, "1", "a@one.test", "b@one.test")
	send(t, s, "2", "a@two.test")
	count := operate(t, s, admin.Operation{Verb: "fail", Domain: "one.test", DryRun: true})
	if count.Queues != 1 || count.Messages != 1 || count.Recipients != 2 || queued(s) != 2 {
		t.Errorf("%+v, %d queued", count, queued(s))
	}
	operate(t, s, admin.Operation{Verb: "fail", Domain: "one.test", Reason: "no such customer"})
	until(t, "two bounced records", func() bool { return len(w.records("b")) == 2 })
	if b := strings.Join(w.records("b"), ""); strings.Count(b, "no such customer") != 2 || strings.Count(b, "5.7.1") != 2 {
		t.Errorf("bounced records:\n%s", b)
	}
	operate(t, s, admin.Operation{Verb: "rebind", Domain: "two.test", To: "ip-2"})
	until(t, "the mail at ip-2", func() bool {
		x, err := backend{s}.Explain("two.test/ip-2")
		return err == nil && x.Queued+x.Ready == 1
	})
	stop(t, s)

	s = w.start(two)
	if x, err := (backend{s}).Explain("two.test/ip-2"); err != nil || x.Queued+x.Ready != 1 {
		t.Errorf("after the restart: %+v, %v", x, err)
	}
	operate(t, s, admin.Operation{Verb: "resume"})
	until(t, "the message and the report", func() bool {
		by := k.Report().Recipients.ByDomain
		return by["two.test"] == 1 && by["sender.test"] == 1
	})
	until(t, "queue empty", func() bool { return queued(s) == 0 })
	stop(t, s)
	if d := strings.Join(w.records("d"), ""); !strings.Contains(d, "ip-2") {
		t.Errorf("delivered records:\n%s", d)
	}
}
