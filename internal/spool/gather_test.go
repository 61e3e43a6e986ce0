package spool

import (
	"testing"
	"time"
)

func TestGatherTime(t *testing.T) {
	for _, c := range []struct {
		name  string
		usual float64
		n     int
		sync  time.Duration
		want  time.Duration
	}{
		{"a single client", 1, 1, time.Millisecond, 0},
		{"a few", 3.9, 1, time.Millisecond, 0},
		{"a crowd, all there", 8.5, 8, time.Millisecond, 0},
		{"a crowd, some missing", 8.5, 7, 100 * time.Microsecond, 50 * time.Microsecond},
		{"a fast disk", 8, 1, time.Microsecond, minGather},
		{"a slow disk", 8, 1, 20 * time.Millisecond, maxGather},
	} {
		if got := gatherTime(c.usual, c.n, c.sync); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A crowd that has left is not waited for again and again.
func TestGatherForgets(t *testing.T) {
	w := &writer{d: &Disk{}, usual: 40}
	for range 5 {
		w.gather()
	}
	if got := gatherTime(w.usual, 0, time.Second); got != 0 {
		t.Errorf("waits %v after rounds that brought nobody", got)
	}
}
