package spool

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-mta/sluice/internal/vfs"
)

// Options say how a spool on disk is kept.
type Options struct {
	// Dir is the directory, made with mode 0700 when it is missing. One process at a
	// time uses it.
	Dir string
	// FS is the file system; nil: that of the machine.
	FS vfs.FS
	// SegmentSize is the size of a segment in octets, 32 KiB..1 GiB; 0: 64 MiB.
	SegmentSize int64
	// ChunkSize is the most content in octets that is held in memory for a message being
	// received, and in one record; 0: 256 KiB. At most a quarter of SegmentSize.
	ChunkSize int
	// MinFree is the free space in octets below which messages are refused with ErrFull.
	MinFree int64
	// CacheSize bounds the recent messages kept in memory, in octets; 0: 32 MiB; below
	// 0: none.
	CacheSize int64
	// SyncDelay is the longest that a batch without reports stays unsynced; 0: 1 s.
	SyncDelay time.Duration
	// Log is told of changes of state and of damage; nil: nobody is. It must not block.
	Log func(level slog.Level, text string)

	// byHand: compaction runs when the test says so.
	byHand bool
}

const (
	minSegment = 32 << 10
	maxSegment = 1 << 30
)

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	if o.SegmentSize < minSegment || o.SegmentSize > maxSegment {
		return o, fmt.Errorf("open spool %s: segment size %d: must be %d..%d octets", o.Dir, o.SegmentSize, minSegment, maxSegment)
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = 256 << 10
	}
	o.ChunkSize = min(o.ChunkSize, int(o.SegmentSize/4))
	if o.CacheSize == 0 {
		o.CacheSize = 32 << 20
	}
	if o.SyncDelay == 0 {
		o.SyncDelay = time.Second
	}
	if o.Log == nil {
		o.Log = func(slog.Level, string) {}
	}
	return o, nil
}
