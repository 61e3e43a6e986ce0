package live

import (
	"sync"
	"testing"
	"time"
)

// What Boot gives lies between two readings of CLOCK_BOOTTIME, or
// before the first by what its offset was measured late, and never goes back.
func TestBootIsCLOCK_BOOTTIME(t *testing.T) {
	boot := SystemClock().Boot
	last := int64(0)
	for range 20_000 {
		before := bootTime()
		got := boot()
		if after := bootTime(); got > after || got < before-int64(time.Minute) {
			t.Fatalf("Boot() = %d, CLOCK_BOOTTIME was %d before it and %d after", got, before, after)
		}
		if got < last {
			t.Fatalf("Boot() went back from %d to %d", last, got)
		}
		last = got
	}
}

// After a sleep of the machine the wall clock is ahead: the time slept is read at once.
func TestBootAfterSleep(t *testing.T) {
	b := newBootClock()
	const slept = int64(time.Hour)
	b.slept.Add(-slept) // as it was before the machine slept an hour
	b.apart.Add(-slept)
	if got, want := b.now(), bootTime(); want-got > int64(time.Minute) || got > want {
		t.Fatalf("after a sleep Boot is %v from CLOCK_BOOTTIME", time.Duration(want-got))
	}
}

// When the wall clock was set so that it hides the sleep, the next refresh tells.
func TestBootRefreshes(t *testing.T) {
	b := newBootClock()
	b.slept.Add(-int64(time.Hour))
	b.read.Add(-bootRefresh)
	if got, want := b.now(), bootTime(); want-got > int64(time.Minute) || got > want {
		t.Fatalf("Boot is %v from CLOCK_BOOTTIME after the refresh", time.Duration(want-got))
	}
}

func TestBootConcurrently(t *testing.T) {
	b := newBootClock()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := int64(0)
			for i := range 5_000 {
				if i%100 == 0 {
					b.refresh()
				}
				n := b.now()
				if n < last {
					t.Errorf("went back by %d ns", last-n)
					return
				}
				last = n
			}
		})
	}
	wg.Wait()
}
