package sim

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRandomWorlds tries worlds by seed, a few seconds of them. SLUICE_WORLDS says how
// many (a number) or how long (a duration); SLUICE_SEED=N tries one, or begins there;
// SLUICE_SEED=new begins where nobody has been.
func TestRandomWorlds(t *testing.T) {
	first, n, until := uint64(1), uint64(60), time.Now().Add(3*time.Second)
	switch s := os.Getenv("SLUICE_SEED"); s {
	case "":
	case "new":
		first = uint64(time.Now().UnixNano())
	default:
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SLUICE_SEED: %v", err)
		}
		first, n, until = seed, 1, time.Now().Add(time.Hour)
	}
	if s := os.Getenv("SLUICE_WORLDS"); s != "" && !testing.Short() {
		d, err := time.ParseDuration(s)
		many, wrong := strconv.ParseUint(s, 10, 64)
		switch {
		case wrong == nil:
			n, until = many, time.Now().Add(24*time.Hour)
		case err == nil:
			n, until = 1<<40, time.Now().Add(d)
		default:
			t.Fatalf("SLUICE_WORLDS: %v", err)
		}
	}
	var tried atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for time.Now().Before(until) && !t.Failed() {
				i := tried.Add(1) - 1
				if i >= n {
					break
				}
				try(t, first+i)
			}
		})
	}
	workers.Wait()
	t.Logf("%d worlds from SLUICE_SEED=%d on", min(tried.Load(), n), first)
}

// TestWorldsThatFailed tries those in which something was wrong once: a part that asked for
// fewer tokens than its queue, a rate changed and changed back, two queues that sent each
// other between two rates without end, a debt that outlived its rate, a claimant that waited
// for a token held for another one, a connection that went on for another queue while DNS was
// asked, mail at a worse host that did not hear of the better one.
func TestWorldsThatFailed(t *testing.T) {
	for _, seed := range []uint64{1891, 4208, 4657, 4943, 5619, 5875, 6177} {
		try(t, seed)
	}
}

func try(t *testing.T, seed uint64) {
	t.Helper()
	p := RandomPlan(seed)
	w := p.World()
	// A world takes about a second. One that never ends must still say which one it is.
	watch := time.AfterFunc(3*time.Minute, func() { panic(fmt.Sprintf("the world of SLUICE_SEED=%d does not end", seed)) })
	defer watch.Stop()
	if err := w.Settle(); err != nil {
		watch.Stop()
		t.Logf("SLUICE_SEED=%d fails and is being made smaller: %v", seed, err)
		small := Shrink(p, 300)
		w = small.World()
		t.Errorf("%v (again with SLUICE_SEED=%d)\nmade smaller: %v\n%s%s", err, seed, w.Settle(), small, w.explain())
		return
	}
	if seed%8 != 1 {
		return
	}
	if again := Random(seed); again.Settle() != nil || again.Hash() != w.Hash() {
		t.Errorf("seed %d gave another course of events the second time: %v", seed, again.Err())
	}
}

// TestSameCourse runs worlds on one processor and on several: the same seed gives the
// same course of events. In a soak each runs a hundred times.
func TestSameCourse(t *testing.T) {
	procs := []int{1, 2, 7}
	if os.Getenv("SLUICE_SOAK") != "" {
		procs = nil
		for i := range 100 {
			procs = append(procs, 1+i%8)
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []uint64
	for i, n := range procs {
		runtime.GOMAXPROCS(n)
		for seed := uint64(1); seed <= 4; seed++ {
			w := Random(seed)
			if err := w.Settle(); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = append(first, w.Hash())
			} else if w.Hash() != first[seed-1] {
				t.Errorf("seed %d: another course in run %d, with %d processors", seed, i+1, n)
			}
		}
	}
	t.Logf("%d runs of %d worlds, each with one trace: %x", len(procs), len(first), first)
}

// TestShrink makes a world smaller that fails for a reason of its own.
func TestShrink(t *testing.T) {
	p := RandomPlan(3)
	p.Acts = append(p.Acts, act{What: "set", At: time.Minute, Path: "global", Set: &assign{option: "no_such_option", n: 1}})
	small := Shrink(p, 200)
	err := small.World().Settle()
	if err == nil || !strings.Contains(err.Error(), "no_such_option") {
		t.Fatalf("the smaller world ends with %v", err)
	}
	if len(small.Acts) > 1 || len(small.Domains) > 1 {
		t.Errorf("it could have been smaller:\n%s", small)
	}
}
