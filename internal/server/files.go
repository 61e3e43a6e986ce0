package server

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// raiseFiles raises the soft limit of open files to the hard one, and the hard one too
// where the process may and more are wanted; it returns what holds afterwards.
func raiseFiles(want int) (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	if want > 0 && lim.Max < uint64(want) {
		higher := unix.Rlimit{Cur: uint64(want), Max: uint64(want)}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &higher) == nil {
			return want, nil
		}
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return 0, fmt.Errorf("raise the limit of open files to %d: %w", lim.Max, err)
		}
	}
	return int(min(lim.Cur, 1<<30)), nil
}
