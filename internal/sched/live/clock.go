package live

import (
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
	return Clock{Boot: bootTime, Wall: func() int64 { return time.Now().UnixNano() }}
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
