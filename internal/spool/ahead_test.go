package spool_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-mta/sluice/internal/spool"
	"github.com/sluice-mta/sluice/internal/spool/spooltest"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// Zeros are written where the log comes to blocks that were never written to, once for
// many messages; not where a message is large.
func TestZerosGoAhead(t *testing.T) {
	for _, c := range []struct {
		name     string
		content  int
		messages int
		want     int64 // writes to segments beside those of the messages
	}{
		{"small messages", 2 << 10, 50, 1},
		{"over the first zeros", 8 << 10, 40, 2},
		{"large messages", 100 << 10, 5, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var writes atomic.Int64
			fs := vfs.NewFaulty(vfs.NewMem(), func(c vfs.Call) error {
				if c.Op == vfs.OpWrite && strings.HasSuffix(c.Name, ".seg") {
					writes.Add(1)
				}
				return nil
			})
			d, err := spool.OpenDisk(spool.Options{Dir: "/spool", FS: fs, SegmentSize: 4 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			began := writes.Load()
			for i := range c.messages {
				if err := spooltest.Put(d, benchEnvelope(i+1), nil, make([]byte, c.content)); err != nil {
					t.Fatal(err)
				}
			}
			if got := writes.Load() - began - int64(c.messages); got != c.want {
				t.Errorf("%d further writes, want %d", got, c.want)
			}
		})
	}
}
