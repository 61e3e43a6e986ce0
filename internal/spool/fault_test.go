package spool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
	"github.com/sluice-mta/sluice/internal/spool/spooltest"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// failAt lives a history on a disk that fails from the n-th changing call on, `times`
// calls long, then loses the power: what was acknowledged is there (P4).
func failAt(seed uint64, n, times int, cause error) (reached bool, err error) {
	mem := vfs.NewMem()
	poisoned := map[string]bool{}
	var again error
	faulty := vfs.NewFaulty(mem, nil)
	faulty.SetFail(func(c vfs.Call) error {
		segment := strings.HasSuffix(c.Name, ".seg")
		if segment && (c.Op == vfs.OpWrite || c.Op == vfs.OpSync) && poisoned[c.Name] {
			again = fmt.Errorf("%s of %s after a failed write or sync", c.Op, path.Base(c.Name))
		}
		if c.N < n || c.N >= n+times {
			return nil
		}
		reached = true
		if c.Op == vfs.OpWrite || c.Op == vfs.OpSync {
			poisoned[c.Name] = true
		}
		return cause
	})
	h := newHistory(seed, mem)
	d, err := spool.OpenDisk(crashOptions(faulty, h.log))
	if err != nil {
		if n > 40 {
			return reached, err
		}
		return reached, nil // a disk that fails at the first start: said, and no spool
	}
	for range historySteps {
		h.ledger.Step(d, 9000, compactAll(d, h.rng))
	}
	h.fs = mem.Crash(rand.New(rand.NewPCG(seed, uint64(n))))
	d.Close()
	if again != nil {
		return reached, again
	}
	if err := h.reopen(true); err != nil {
		return reached, fmt.Errorf("%w\nlog: %s", err, strings.Join(h.said, "\nlog: "))
	}
	return reached, nil
}

// TestFailingCalls: every call fails once, or from then on for a while (P4, P6).
func TestFailingCalls(t *testing.T) {
	first := seed(t)
	points := 0
	rng := rand.New(rand.NewPCG(first, 3))
	stride := func() int { return 1 + rng.IntN(soak(4, 1)) }
	for i := range uint64(soak(1, 40)) {
		for _, f := range []struct {
			times int
			err   error
		}{{1, syscall.EIO}, {3, syscall.EIO}, {6, syscall.ENOSPC}, {1 << 30, syscall.EIO}} {
			for n := 1; ; n += stride() {
				reached, err := failAt(first+i, n, f.times, f.err)
				if err != nil {
					t.Fatalf("SLUICE_SEED=%d, %v at call %d, %d times: %v", first+i, f.err, n, f.times, err)
				}
				if !reached {
					break
				}
				points++
			}
		}
	}
	t.Logf("%d failures", points)
}

func openMem(t *testing.T, fs vfs.FS) *spool.Disk {
	t.Helper()
	d, err := spool.OpenDisk(crashOptions(fs, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// eventually waits until f holds; the spool heals by itself within its backoff.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 3000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond) // between two looks, not a synchronisation
	}
	t.Fatalf("never: %s", what)
}

// TestSickHeals: with a disk that fails to sync, nothing is acknowledged, and intake
// goes on by itself when the disk is well again (P4).
func TestSickHeals(t *testing.T) {
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem, nil)
	d := openMem(t, faulty)
	put := func(i int) error { return spooltest.Put(d, spooltest.Envelope(spooltest.ID(i), 1), nil, []byte("x")) }
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	if err := spooltest.Commit(d, spool.Batch{Changes: []spool.Change{{Message: spooltest.ID(1), States: []mail.RecipientState{{Attempts: 4}}}}}); err != nil {
		t.Fatal(err)
	}
	faulty.SetFail(func(c vfs.Call) error {
		if c.Op == vfs.OpSync {
			return syscall.EIO
		}
		return nil
	})
	if err := put(2); !errors.Is(err, spool.ErrSick) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("put on a failing disk: %v", err)
	}
	if st := d.Stats(); !st.Sick || st.SickReason == "" {
		t.Errorf("stats: %+v", st)
	}
	if err := spooltest.Commit(d, spool.Batch{Changes: []spool.Change{{Message: spooltest.ID(1), Finish: true}}}); !errors.Is(err, spool.ErrSick) {
		t.Errorf("batch on a failing disk: %v", err)
	}
	faulty.SetFail(nil)
	eventually(t, "healed", func() bool { return !d.Stats().Sick })
	if err := put(3); err != nil {
		t.Fatal(err)
	}
	after, err := spool.OpenDisk(crashOptions(mem.Crash(rand.New(rand.NewPCG(1, 1))), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	var got []string
	_ = after.Recover(func(r spool.Recovered) error {
		got = append(got, fmt.Sprint(r.Envelope.ID == spooltest.ID(1), r.Envelope.ID == spooltest.ID(3), r.States))
		return nil
	})
	if want := "[true false [{0 pending 4 0   }] false true []]"; fmt.Sprint(got) != want {
		t.Errorf("after a power loss: %v, want %v", got, want)
	}
}

// TestFull: a full disk refuses messages and loses none; outcomes go on in the
// reserved segment, free room, and intake heals (P6).
func TestFull(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(300 << 10)
	opt := crashOptions(mem, nil)
	d, err := spool.OpenDisk(opt)
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for cycle := range 3 {
		for {
			err := spooltest.Put(d, spooltest.Envelope(spooltest.ID(stored), 1), nil, make([]byte, 3000))
			if err != nil {
				if !errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrSick) {
					t.Fatalf("put on a full disk: %v", err)
				}
				break
			}
			stored++
		}
		if st := d.Stats(); !st.Full || st.Sick {
			t.Errorf("stats of a full spool: %+v", st)
		}
		for i := range stored { // many outcomes, then all are finished
			c := spool.Change{Message: spooltest.ID(i), States: []mail.RecipientState{{Attempts: cycle, Last: mail.Reply{Code: 450, Text: "later"}}}}
			if err := spooltest.Commit(d, spool.Batch{Changes: []spool.Change{c}}); err != nil {
				t.Fatalf("outcome %d on a full disk: %v", i, err)
			}
		}
		for i := range stored {
			if i%10 == cycle {
				continue
			}
			if err := spooltest.Commit(d, spool.Batch{Changes: []spool.Change{{Message: spooltest.ID(i), Finish: true}}}); err != nil {
				t.Fatalf("finish %d on a full disk: %v", i, err)
			}
		}
		for did := true; did; {
			if did, err = d.CompactOnce(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "room again", func() bool { return !d.Stats().Full })
	}
	for i := range stored {
		if _, err := d.Open(spooltest.ID(i)); err != nil && !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMinFree: below the free space asked for, messages are refused and outcomes are
// not; it heals (P6).
func TestMinFree(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(1 << 20)
	opt := crashOptions(mem, nil)
	opt.MinFree = 900 << 10
	d, err := spool.OpenDisk(opt)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := spooltest.Put(d, spooltest.Envelope(spooltest.ID(1), 1), nil, nil); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Create("/ballast")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Preallocate(200 << 10); err != nil {
		t.Fatal(err)
	}
	n := 1
	eventually(t, "refused", func() bool {
		n++
		err := spooltest.Put(d, spooltest.Envelope(spooltest.ID(n), 1), nil, nil)
		return errors.Is(err, spool.ErrFull)
	})
	if err := spooltest.Commit(d, spool.Batch{Changes: []spool.Change{{Message: spooltest.ID(1), Finish: true}}}); err != nil {
		t.Errorf("outcome: %v", err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room again", func() bool { return !d.Stats().Full })
}

// TestStartTrouble: a spool that cannot be used says why.
func TestStartTrouble(t *testing.T) {
	mem := vfs.NewMem()
	d := openMem(t, mem)
	_, err := spool.OpenDisk(crashOptions(mem, nil))
	if err == nil || !strings.Contains(err.Error(), "held by process 1") || !strings.Contains(err.Error(), "stop that server") {
		t.Errorf("second server: %v", err)
	}
	d.Close()
	if _, err := spool.OpenDisk(crashOptions(vfs.NewFaulty(mem, vfs.ReadOnly), nil)); !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only file system: %v", err)
	}
	f, err := mem.OpenWrite(crashDir + "/FORMAT")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("sluice spool 9\n"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.OpenDisk(crashOptions(mem, nil)); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("another format: %v", err)
	}
	if _, err := spool.OpenDisk(spool.Options{Dir: crashDir, FS: mem, SegmentSize: 5}); err == nil {
		t.Error("a segment size of 5 octets was taken")
	}
}
