package server

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ownFiles is what the process needs besides connections: spool segments, logs,
// resolver sockets, listeners, and slack.
const ownFiles = 128

// fileBudget divides the open files that the system gives.
type fileBudget struct {
	limit    int    // RLIMIT_NOFILE in force
	outbound int    // connections that may be open to receivers
	warning  string // empty: the limits ask for no more than there is
}

// raiseFiles raises the soft limit to the hard one, and the hard one too where the
// process may; it returns what holds afterwards.
func raiseFiles(want int) (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("read the open-file limit: %w", err)
	}
	if lim.Max < uint64(want) {
		higher := unix.Rlimit{Cur: uint64(want), Max: uint64(want)}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &higher) == nil {
			return want, nil
		}
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return 0, fmt.Errorf("raise the open-file limit to %d: %w", lim.Max, err)
		}
	}
	return int(min(lim.Cur, 1<<30)), nil
}

// budget divides limit open files among inbound sessions and outbound connections.
// asked is the most connections that the configured limits could ask for, -1 without a
// bound.
func budget(limit, sessions, asked int) fileBudget {
	b := fileBudget{limit: limit}
	// Inbound sessions may take at most half of what is left, so that mail goes out
	// however many clients come.
	rest := max(limit-ownFiles, 16)
	b.outbound = max(rest-min(sessions, rest/2), 8)
	if asked < 0 || asked > b.outbound {
		what := fmt.Sprintf("%d connections", asked)
		if asked < 0 {
			what = "connections without bound"
		}
		b.warning = fmt.Sprintf("the limits allow %s, the open-file limit of %d leaves room for %d; raise it (LimitNOFILE= of the service, ulimit -n) or lower server_max_outbound_connections",
			what, limit, b.outbound)
	}
	return b
}
