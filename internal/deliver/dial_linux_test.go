package deliver

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestLocalPortIsChosenAtConnect(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		to := netip.MustParseAddr(loopback)
		l, err := net.Listen("tcp", netip.AddrPortFrom(to, 0).String())
		if err != nil {
			t.Logf("%s: %v", loopback, err) // a machine without IPv6
			continue
		}
		s := &policy.Session{Source4: to, Source6: to, ConnectTimeout: patience}
		conn, err := dial(context.Background(), &sched.Connect{
			Address: to, Port: l.Addr().(*net.TCPAddr).AddrPort().Port(), Policy: &policy.Queue{Session: s},
		})
		_ = l.Close()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			on, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT)
			nodelay, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
			if err != nil || on != 1 || nodelay != 1 {
				t.Errorf("%s: IP_BIND_ADDRESS_NO_PORT %d, TCP_NODELAY %d, %v", loopback, on, nodelay, err)
			}
		})
		_ = conn.Close()
	}
}
