package spool_test

import (
	"log/slog"
	"testing"

	"github.com/sluice-mta/sluice/internal/spool"
	"github.com/sluice-mta/sluice/internal/spool/spooltest"
	"github.com/sluice-mta/sluice/internal/vfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	spooltest.Run(t, func(*testing.T) (spool.Spool, func(spool.Spool) spool.Spool) { return spool.NewMemory(), nil })
}

// diskForm opens spools with small segments and no cache, so that everything is read
// from segments, and compaction has work.
func diskForm(fs func() vfs.FS, dir func(*testing.T) string) spooltest.Open {
	return func(t *testing.T) (spool.Spool, func(spool.Spool) spool.Spool) {
		opt := spool.Options{Dir: dir(t), FS: fs(), SegmentSize: 64 << 10, ChunkSize: 8 << 10, CacheSize: -1, Log: testLog(t)}
		open := func() spool.Spool {
			s, err := spool.OpenDisk(opt)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		return open(), func(s spool.Spool) spool.Spool {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		}
	}
}

// testLog fails the test at any trouble: these tests have none.
func testLog(t *testing.T) func(slog.Level, string) {
	return func(l slog.Level, text string) {
		if l >= slog.LevelWarn {
			t.Errorf("log: %s", text)
		}
	}
}

func TestDiskInMemory(t *testing.T) {
	spooltest.Run(t, diskForm(func() vfs.FS { return vfs.NewMem() }, func(*testing.T) string { return "/var/spool" }))
}

func TestDisk(t *testing.T) {
	spooltest.RunCases(t, diskForm(func() vfs.FS { return vfs.OS{} }, func(t *testing.T) string { return t.TempDir() }))
}
