package live

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Clock gives the two times: Boot for every interval, Wall for what is written down.
type Clock struct {
	// Boot is nanoseconds of CLOCK_BOOTTIME: it counts while the machine sleeps and never
	// steps.
	Boot func() int64
	// Wall is nanoseconds since the Unix epoch; it may step.
	Wall func() int64
}

// SystemClock returns the clocks of the machine.
func SystemClock() Clock {
	b := newBootClock()
	return Clock{Boot: b.now, Wall: func() int64 { return time.Now().UnixNano() }}
}

const (
	// bootRefresh is how old what was read of CLOCK_BOOTTIME may be.
	bootRefresh = int64(100 * time.Millisecond)
	// bootJump is how far wall and monotonic clock may part before it is read anew.
	bootJump = int64(time.Millisecond)
)

// bootClock is CLOCK_BOOTTIME without its system call, which the runtime's clocks do not
// need: CLOCK_MONOTONIC and what the machine has slept. The latter is read anew when it
// is old, and as soon as the wall clock has gone further than the monotonic one, as it
// does over a sleep. What is read is a lower bound (the monotonic clock is read after it),
// so the sum neither runs ahead of CLOCK_BOOTTIME nor goes back.
type bootClock struct {
	base  time.Time
	slept atomic.Int64 // to be added to the nanoseconds since base; never falls
	apart atomic.Int64 // wall less monotonic, when slept was read
	read  atomic.Int64 // nanoseconds since base, likewise
}

func newBootClock() *bootClock {
	b := &bootClock{base: time.Now()}
	for range 3 { // the best of a few: the goroutine may be interrupted between two clocks
		b.refresh()
	}
	return b
}

func (b *bootClock) now() int64 {
	t := time.Now()
	mono := int64(t.Sub(b.base))
	apart := t.UnixNano() - mono - b.apart.Load()
	if mono-b.read.Load() > bootRefresh || apart > bootJump || apart < -bootJump {
		mono = b.refresh()
	}
	return mono + b.slept.Load()
}

// refresh reads CLOCK_BOOTTIME and returns the nanoseconds since base after it.
func (b *bootClock) refresh() int64 {
	boot := bootTime()
	t := time.Now()
	mono := int64(t.Sub(b.base))
	b.apart.Store(t.UnixNano() - mono)
	b.read.Store(mono)
	for {
		known := b.slept.Load()
		if boot-mono <= known || b.slept.CompareAndSwap(known, boot-mono) {
			return mono
		}
	}
}

func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // Linux has it since 2.6.39
	}
	return ts.Nano()
}

// ToWall turns a boot time into a wall time; 0 stays 0.
func (c Clock) ToWall(boot int64) int64 {
	if boot == 0 {
		return 0
	}
	return c.Wall() + boot - c.Boot()
}

// ToBoot turns a wall time into a boot time; 0 stays 0.
func (c Clock) ToBoot(wall int64) int64 {
	if wall == 0 {
		return 0
	}
	return c.Boot() + wall - c.Wall()
}

// Time formats a boot time as RFC 3339 in UTC; empty for 0.
func (c Clock) Time(boot int64) string {
	if boot == 0 {
		return ""
	}
	return time.Unix(0, c.ToWall(boot)).UTC().Format(time.RFC3339)
}
