// Package spooltest proves that a form of spool.Spool does what the interface says: one
// suite, run over every form.
package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
)

// Open makes an empty spool for one test. reopen closes it and opens what it left; nil
// when nothing outlives the process.
type Open func(t *testing.T) (s spool.Spool, reopen func(spool.Spool) spool.Spool)

// Run runs the suite, random histories included.
func Run(t *testing.T, open Open) {
	RunCases(t, open)
	t.Run("random histories", func(t *testing.T) { testHistories(t, open) })
}

// RunCases runs the fixed cases of the suite.
func RunCases(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"a message comes back as it was", testRoundTrip},
		{"nothing is visible before commit or after abort", testAbort},
		{"an id is taken once", testTwice},
		{"done is called in order", testOrder},
		{"a finished message stays readable until close", testFinishedOpen},
		{"reports come into being with the changes", testReports},
		{"changes to unknown messages are ignored", testUnknown},
		{"large content", testLarge},
		{"recover yields states, oldest first", testRecover},
		{"recover ends with the error of yield", testRecoverError},
		{"closed", testClosed},
		{"many at once", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testRoundTrip(t *testing.T, open Open) {
	s, reopen := open(t)
	for i, size := range []int{0, 1, 4096, 100_000} {
		must(t, Put(s, Envelope(ID(i), i*3), []byte("Prefix: x\r\n"), noise(size, uint64(i))))
	}
	must(t, Put(s, &mail.Envelope{ID: ID(9)}, nil, []byte("bare"))) // all fields zero
	check := func() {
		for i, size := range []int{0, 1, 4096, 100_000} {
			must(t, Check(s, Envelope(ID(i), i*3), append([]byte("Prefix: x\r\n"), noise(size, uint64(i))...)))
		}
		must(t, Check(s, &mail.Envelope{ID: ID(9)}, []byte("bare")))
		if n := s.Stats().Messages; n != 5 {
			t.Errorf("stats: %d messages, want 5", n)
		}
	}
	check()
	if reopen != nil {
		s = reopen(s)
		check()
	}
	must(t, s.Close())
}

func testAbort(t *testing.T, open Open) {
	s, _ := open(t)
	defer s.Close()
	d := s.Create(ID(1))
	_, err := d.Write([]byte("gone"))
	must(t, err)
	if _, err := s.Open(ID(1)); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("open before commit: %v", err)
	}
	d.Abort()
	if _, err := s.Open(ID(1)); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("open after abort: %v", err)
	}
	if err := d.Commit(Envelope(ID(1), 1), nil); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("commit after abort: %v", err)
	}
	if _, err := d.Write([]byte("x")); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("write after abort: %v", err)
	}
	d = s.Create(ID(1))
	must(t, d.Commit(Envelope(ID(1), 1), []byte("kept")))
	d.Abort()
	must(t, Check(s, Envelope(ID(1), 1), []byte("kept")))
}

func testTwice(t *testing.T, open Open) {
	s, _ := open(t)
	defer s.Close()
	must(t, Put(s, Envelope(ID(1), 1), nil, []byte("one")))
	if err := Put(s, Envelope(ID(1), 1), nil, []byte("two")); err == nil {
		t.Error("a second message of the same id was taken")
	}
	d := s.Create(ID(2))
	if err := d.Commit(Envelope(ID(3), 1), nil); err == nil {
		t.Error("an envelope of another id was taken")
	}
	must(t, Check(s, Envelope(ID(1), 1), []byte("one")))
}

// testOrder is the first half of P3.
func testOrder(t *testing.T, open Open) {
	s, _ := open(t)
	defer s.Close()
	must(t, Put(s, Envelope(ID(0), 1), nil, nil))
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	const n = 200
	for i := range n {
		b := spool.Batch{Changes: []spool.Change{{Message: ID(0), States: []mail.RecipientState{{Attempts: i}}}}}
		switch i % 5 {
		case 3:
			b = spool.Batch{}
		case 4:
			b.Reports = []spool.Report{{Envelope: Envelope(ID(i), 1), Content: []byte("report")}}
		}
		wg.Add(1)
		s.Commit(b, func(err error) {
			defer wg.Done()
			if err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
		})
	}
	wg.Wait()
	for i := range order {
		if order[i] != i {
			t.Fatalf("done of batch %d came as number %d", order[i], i)
		}
	}
}

func testFinishedOpen(t *testing.T, open Open) {
	s, _ := open(t)
	for i, size := range []int{10, 50_000, 2_000_000} {
		content := noise(size, uint64(i))
		must(t, Put(s, Envelope(ID(i), 1), nil, content))
		m, err := s.Open(ID(i))
		must(t, err)
		must(t, Commit(s, spool.Batch{Changes: []spool.Change{{Message: ID(i), Finish: true}}}))
		if _, err := s.Open(ID(i)); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("open after finish: %v", err)
		}
		if i == 2 {
			must(t, s.Close())
		}
		got, err := Content(m)
		must(t, err)
		if !bytes.Equal(got, content) {
			t.Errorf("content of %d octets differs after finish", size)
		}
		m.Close()
	}
}

func testReports(t *testing.T, open Open) {
	s, reopen := open(t)
	must(t, Put(s, Envelope(ID(1), 2), nil, []byte("original")))
	large := noise(1_500_000, 3)
	must(t, Commit(s, spool.Batch{
		Changes: []spool.Change{{Message: ID(1), States: []mail.RecipientState{{Index: 1, Status: mail.Failed}}}},
		Reports: []spool.Report{{Envelope: Envelope(ID(2), 1), Content: []byte("dsn")}, {Envelope: Envelope(ID(3), 1), Content: large}},
	}))
	check := func() {
		must(t, Check(s, Envelope(ID(2), 1), []byte("dsn")))
		must(t, Check(s, Envelope(ID(3), 1), large))
	}
	check()
	if reopen != nil {
		s = reopen(s)
		check()
	}
	must(t, Commit(s, spool.Batch{Changes: []spool.Change{{Message: ID(2), Finish: true}, {Message: ID(3), Finish: true}, {Message: ID(1), Finish: true}}}))
	if n := s.Stats().Messages; n != 0 {
		t.Errorf("%d messages left", n)
	}
	must(t, s.Close())
}

func testUnknown(t *testing.T, open Open) {
	s, _ := open(t)
	defer s.Close()
	must(t, Commit(s, spool.Batch{Changes: []spool.Change{
		{Message: ID(5), Finish: true}, {Message: ID(6), States: []mail.RecipientState{{Attempts: 1}}},
	}}))
	must(t, s.Recover(func(r spool.Recovered) error { return fmt.Errorf("recovered %s", r.Envelope.ID) }))
}

func testLarge(t *testing.T, open Open) {
	s, reopen := open(t)
	content := noise(3_000_000, 5)
	d := s.Create(ID(1))
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 70_001)
		_, err := d.Write(rest[:n])
		must(t, err)
		rest = rest[n:]
	}
	prefix := noise(5000, 6)
	must(t, d.Commit(Envelope(ID(1), 1), prefix))
	whole := append(prefix, content...)
	must(t, Check(s, Envelope(ID(1), 1), whole))
	if reopen != nil {
		s = reopen(s)
		must(t, Check(s, Envelope(ID(1), 1), whole))
	}
	must(t, s.Close())
}

func testRecover(t *testing.T, open Open) {
	s, reopen := open(t)
	for _, i := range []int{3, 1, 2} {
		must(t, Put(s, Envelope(ID(i), 5), nil, []byte("x")))
	}
	last := mail.RecipientState{
		Index: 4, Attempts: 3, Next: 1_800_000_000_000_000_001, Binding: "ip-9", Group: "g",
		Last: mail.Reply{Code: 451, Enhanced: "4.7.1", Text: "later\nplease \x00\xff", Stage: mail.StageDot},
	}
	must(t, Commit(s, spool.Batch{Changes: []spool.Change{
		{Message: ID(1), States: []mail.RecipientState{{Index: 4, Attempts: 1}, {Index: 0, Status: mail.Delivered, Attempts: 1}}},
		{Message: ID(2), Finish: true},
	}}))
	must(t, Commit(s, spool.Batch{Changes: []spool.Change{{Message: ID(1), States: []mail.RecipientState{last}}}}))
	if reopen != nil {
		s = reopen(s)
	}
	var got []spool.Recovered
	must(t, s.Recover(func(r spool.Recovered) error { got = append(got, r); return nil }))
	if len(got) != 2 || got[0].Envelope.ID != ID(1) || got[1].Envelope.ID != ID(3) {
		t.Fatalf("recovered %+v", got)
	}
	must(t, sameEnvelope(got[0].Envelope, Envelope(ID(1), 5)))
	want := []mail.RecipientState{{Index: 0, Status: mail.Delivered, Attempts: 1}, last}
	if fmt.Sprint(got[0].States) != fmt.Sprint(want) || len(got[1].States) != 0 {
		t.Errorf("states %v and %v, want %v and none", got[0].States, got[1].States, want)
	}
	must(t, s.Close())
}

func testRecoverError(t *testing.T, open Open) {
	s, _ := open(t)
	defer s.Close()
	must(t, Put(s, Envelope(ID(1), 1), nil, nil))
	must(t, Put(s, Envelope(ID(2), 1), nil, nil))
	stop := errors.New("stop")
	calls := 0
	if err := s.Recover(func(spool.Recovered) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func testClosed(t *testing.T, open Open) {
	s, _ := open(t)
	d := s.Create(ID(1))
	must(t, s.Close())
	if err := d.Commit(Envelope(ID(1), 1), nil); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("commit of a draft: %v", err)
	}
	if err := Commit(s, spool.Batch{}); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("commit of a batch: %v", err)
	}
	must(t, s.Close())
}

func testConcurrent(t *testing.T, open Open) {
	s, reopen := open(t)
	const writers, each = 16, 30
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := w*each + i
				content := noise(100+n*7, uint64(n))
				if err := Put(s, Envelope(ID(n), 2), nil, content); err != nil {
					t.Error(err)
				}
				if err := Check(s, Envelope(ID(n), 2), content); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					s.Commit(spool.Batch{Changes: []spool.Change{{Message: ID(n), Finish: true}}}, func(err error) {
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
	wg.Wait()
	must(t, Commit(s, spool.Batch{}))
	if reopen != nil {
		s = reopen(s)
	}
	if n := s.Stats().Messages; n != writers*each/2 {
		t.Errorf("%d messages alive, want %d", n, writers*each/2)
	}
	for n := range writers * each {
		if n%each%2 == 1 {
			must(t, Check(s, Envelope(ID(n), 2), noise(100+n*7, uint64(n))))
		}
	}
	must(t, s.Close())
}
