package sim

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestRandomWorlds tries worlds by seed: a few, or, with SLUICE_SOAK=N, many from seed N
// on for ten minutes. SLUICE_SEED=N tries one.
func TestRandomWorlds(t *testing.T) {
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SLUICE_SEED: %v", err)
		}
		try(t, seed)
		return
	}
	first, n, until := uint64(1), uint64(50), time.Now().Add(2*time.Second)
	if s := os.Getenv("SLUICE_SOAK"); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SLUICE_SOAK: %v", err)
		}
		n, until = 1<<40, time.Now().Add(10*time.Minute)
	}
	for seed := first; seed < first+n && time.Now().Before(until) && !t.Failed(); seed++ {
		try(t, seed)
	}
}

func try(t *testing.T, seed uint64) {
	t.Helper()
	w := Random(seed, seed%4 == 0)
	if err := w.Settle(); err != nil {
		t.Errorf("%v (again with SLUICE_SEED=%d)", err, seed)
		return
	}
	if seed%8 != 1 {
		return
	}
	again := Random(seed, seed%4 == 0)
	if err := again.Settle(); err != nil || again.Hash() != w.Hash() {
		t.Errorf("seed %d gave another course of events the second time: %v", seed, err)
	}
}
