package spool_test

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
	"github.com/sluice-mta/sluice/internal/spool/spooltest"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGroupCommit: writers that each store a message of 4 KiB, durably, and finish
// the one they stored before.
func BenchmarkGroupCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			d, err := spool.OpenDisk(spool.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			content := make([]byte, 4<<10)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for range writers {
				wg.Go(func() {
					var last mail.ID
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						env := benchEnvelope(int(n))
						if err := spooltest.Put(d, env, nil, content); err != nil {
							b.Error(err)
							return
						}
						if !last.IsZero() {
							d.Commit(spool.Batch{Changes: []spool.Change{{Message: last, Finish: true}}}, func(error) {})
						}
						last = env.ID
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/float64(d.Stats().Syncs), "msgs/sync")
			if err := d.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func benchEnvelope(n int) *mail.Envelope {
	id := mail.NewID(int64(n), [10]byte{1})
	return &mail.Envelope{
		ID: id, Sender: mail.Address{Local: "sender", Domain: "origin.test"}, Size: 4096,
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "someone", Domain: "one.test"}, Domain: "one.test", Binding: "default"}},
	}
}

// TestRecoverMany measures recovery and memory with many messages of 2 KB; with
// SLUICE_SOAK=1 a million on the real disk.
func TestRecoverMany(t *testing.T) {
	n := 2000
	if os.Getenv("SLUICE_SOAK") != "" {
		n = 1_000_000
	}
	opt := spool.Options{Dir: t.TempDir()}
	d, err := spool.OpenDisk(opt)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 2000)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				env := benchEnvelope(int(i))
				if err := spooltest.Put(d, env, nil, content); err != nil {
					t.Error(err)
					return
				}
				d.Commit(spool.Batch{Changes: []spool.Change{{Message: env.ID, States: []mail.RecipientState{{
					Attempts: 1, Next: 1, Last: mail.Reply{Code: 451, Enhanced: "4.7.1", Text: "try again later"},
				}}}}}, func(error) {})
			}
		})
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	d = nil
	before, began, used := heap(), time.Now(), cpu()
	if d, err = spool.OpenDisk(opt); err != nil {
		t.Fatal(err)
	}
	opened, openedCPU := time.Since(began), cpu()-used
	memory := heap() - before
	began, used = time.Now(), cpu()
	seen := 0
	if err := d.Recover(func(r spool.Recovered) error { seen += len(r.States); return nil }); err != nil {
		t.Fatal(err)
	}
	if seen != n {
		t.Errorf("%d messages with a state recovered, want %d", seen, n)
	}
	t.Logf("%d messages: opened in %v (CPU %v), recovered in %v more (CPU %v), index %.0f octets a message",
		n, opened, openedCPU, time.Since(began), cpu()-used, float64(memory)/float64(n))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
