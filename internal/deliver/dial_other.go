//go:build !linux

package deliver

import "syscall"

// shareLocalPorts does nothing: other systems choose the local port at bind.
func shareLocalPorts(_, _ string, _ syscall.RawConn) error { return nil }
