package deliver

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// shareLocalPorts puts the choice of the local port off until connect(2), so that one
// port can serve connections to several receivers. Without it a source address has
// about 28,000 connections in all.
func shareLocalPorts(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		// A kernel that does not know it (before 4.2) still connects.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
}
