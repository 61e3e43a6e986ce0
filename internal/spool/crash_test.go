package spool_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/spool"
	"github.com/sluice-mta/sluice/internal/spool/spooltest"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// soak returns how often a test repeats: short in every run, long with SLUICE_SOAK=1.
func soak(short, long int) int {
	if os.Getenv("SLUICE_SOAK") != "" {
		return long
	}
	return short
}

// seed returns the seed of a random test: SLUICE_SEED, or a new one; it is printed.
func seed(t *testing.T) uint64 {
	s := rand.Uint64() >> 1
	if v, err := strconv.ParseUint(os.Getenv("SLUICE_SEED"), 10, 64); err == nil {
		s = v
	}
	t.Logf("SLUICE_SEED=%d", s)
	return s
}

const crashDir = "/spool"

func crashOptions(fs vfs.FS, log func(slog.Level, string)) spool.Options {
	return spool.ByHand(spool.Options{
		Log: log,
		Dir: crashDir, FS: fs, SegmentSize: 32 << 10, ChunkSize: 4 << 10, CacheSize: -1, SyncDelay: time.Hour,
	})
}

// compactAll frees what can be freed, and now and then what need not be.
func compactAll(d *spool.Disk, rng *rand.Rand) func() {
	return func() {
		if rng.IntN(3) == 0 {
			d.Doom()
		}
		for range 50 {
			if did, err := d.CompactOnce(); !did || err != nil {
				return
			}
		}
	}
}

// history is one random life of a spool: steps, with orderly restarts in between.
type history struct {
	fs     *vfs.Mem
	ledger *spooltest.Ledger
	rng    *rand.Rand
	said   []string // what was logged
}

func (h *history) log(_ slog.Level, text string) { h.said = append(h.said, text) }

func newHistory(seed uint64, fs *vfs.Mem) *history {
	rng := rand.New(rand.NewPCG(seed, 7))
	return &history{fs: fs, rng: rng, ledger: spooltest.NewLedger(rng)}
}

// run does n steps on the file system. It ends early when the power is lost.
func (h *history) run(n int, lost func() bool) error {
	opt := crashOptions(h.fs, h.log)
	d, err := spool.OpenDisk(opt)
	if err != nil {
		return err
	}
	defer func() { d.Close() }()
	for range n {
		if lost() {
			return vfs.ErrPowerLost
		}
		if h.rng.IntN(15) == 0 {
			d.Close()
			again, err := spool.OpenDisk(opt)
			if err != nil {
				return err
			}
			d = again
			continue
		}
		h.ledger.Step(d, 9000, compactAll(d, h.rng))
	}
	return nil
}

// reopen opens the spool after a crash and audits it.
func (h *history) reopen(audit bool) error {
	d, err := spool.OpenDisk(crashOptions(h.fs, h.log))
	if err != nil {
		return fmt.Errorf("the spool does not start after a crash: %w", err)
	}
	defer d.Close()
	if audit {
		return h.ledger.Audit(d, true)
	}
	return nil
}

const historySteps = 40

// crashAt lives a history until the power is lost at its n-th changing call, then
// checks what is there: at once, after a second loss during recovery, and after going on.
func crashAt(seed uint64, n int) (err error) {
	fs := vfs.NewMem()
	fs.CrashAfter(n)
	h := newHistory(seed, fs)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nlog: %s", err, strings.Join(h.said, "\nlog: "))
		}
	}()
	lost := func() bool { return fs.Calls() >= n }
	_ = h.run(historySteps, lost) // its trouble is the power loss
	coin := rand.New(rand.NewPCG(seed, uint64(n)))

	h.fs = fs.Crash(coin)
	if coin.IntN(2) == 0 { // the power goes again during recovery
		h.fs.CrashAfter(1 + coin.IntN(12))
		_ = h.reopen(false)
		h.fs = h.fs.Crash(coin)
	}
	if err := h.reopen(true); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	never := func() bool { return false }
	if err := h.run(8, never); err != nil {
		return fmt.Errorf("going on after the crash: %w", err)
	}
	h.fs = h.fs.Crash(coin)
	if err := h.reopen(true); err != nil {
		return fmt.Errorf("after a crash after the crash: %w", err)
	}
	return nil
}

// TestCrash: power is lost after every single call of random histories (P1, P2, P3,
// P5), compaction, restarts and recovery included.
func TestCrash(t *testing.T) {
	first := seed(t)
	points := 0
	for i := range uint64(soak(2, 150)) {
		fs := vfs.NewMem()
		h := newHistory(first+i, fs)
		if err := h.run(historySteps, func() bool { return false }); err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= fs.Calls(); n++ {
			points++
			if err := crashAt(first+i, n); err != nil {
				t.Fatalf("SLUICE_SEED=%d, power lost at call %d of %d: %v", first+i, n, fs.Calls(), err)
			}
		}
	}
	t.Logf("%d crash points", points)
}
