package deliver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestDialFromTheBindingsAddress(t *testing.T) {
	w := scripted(t, hello+taken+quit)
	w.action.Policy.Session.Source4 = netip.MustParseAddr("127.0.0.77")
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	if a := until[sched.Attempted](w, 1).Attempt; a.Local != netip.MustParseAddr("127.0.0.77") {
		t.Errorf("the source address is %v", a.Local)
	}
	until[sched.Wants](w, 2)
	w.agent.Close(sched.Close{Conn: 1})
	until[sched.Closed](w, 1)
}

func TestSourceAddressIsMissing(t *testing.T) {
	w := newWorld(t, netip.MustParseAddrPort("127.0.0.1:9"))
	w.action.Policy.Session.Source4 = netip.MustParseAddr("192.0.2.77") // TEST-NET-1
	w.start()
	got := until[sched.ConnectFailed](w, 1)
	if got.Class != sched.ConnectLocalAddress || !strings.Contains(got.Reply.Text, "192.0.2.77") {
		t.Errorf("got %s", tell(got))
	}
}

func TestProhibitedAddresses(t *testing.T) {
	tests := map[string]func(w *world){
		"prohibited_hosts": func(w *world) {
			w.action.Policy.Session.Prohibited = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		},
		"own listener": func(w *world) {
			own := netip.AddrPortFrom(w.action.Address, w.action.Port)
			w.config.OwnListener = func(a netip.AddrPort) bool { return a == own }
		},
	}
	for name, forbid := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, netip.MustParseAddrPort("127.0.0.1:9"))
			w.config.Dial = func(context.Context, *sched.Connect) (net.Conn, error) {
				t.Error("it dialled")
				return nil, net.ErrClosed
			}
			forbid(w)
			w.start()
			if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectHost || got.Reply.Enhanced != "5.4.6" {
				t.Errorf("got %s", tell(got))
			}
			until[sched.Closed](w, 1)
		})
	}
}

func TestGatewayMayBeProhibitedToOthers(t *testing.T) {
	w := scripted(t, hello+taken+quit)
	w.action.Policy.Session.Prohibited = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	w.action.Policy.Session.Gateway = w.action.Address.String()
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	if got := until[sched.Attempted](w, 1); got.Outcomes[0].Class != mail.ClassDelivered {
		t.Errorf("got %s", tell(got))
	}
	until[sched.Wants](w, 2)
	w.agent.Close(sched.Close{Conn: 1})
	until[sched.Closed](w, 1)
}

// TestConnectTimeout connects to a socket whose queue of connections is full.
func TestConnectTimeout(t *testing.T) {
	addr, fill := fullListener(t)
	defer fill()
	w := newWorld(t, addr)
	w.action.Policy.Session.ConnectTimeout = 20 * time.Millisecond
	w.start()
	if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectHost || !strings.Contains(got.Reply.Text, "timeout") {
		t.Errorf("got %s", tell(got))
	}
}

// fullListener listens with a queue of one, and fills it.
func fullListener(t *testing.T) (netip.AddrPort, func()) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	sa := name.(*syscall.SockaddrInet4)
	addr := netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	var conns []net.Conn
	for range 8 {
		c, err := net.DialTimeout("tcp", addr.String(), 50*time.Millisecond)
		if err != nil {
			break
		}
		conns = append(conns, c)
	}
	return addr, func() {
		for _, c := range conns {
			_ = c.Close()
		}
		_ = syscall.Close(fd)
	}
}

func TestDialClasses(t *testing.T) {
	to := netip.MustParseAddr("127.0.0.1")
	failure := func(call string, code syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, code)}
	}
	tests := []struct {
		err  error
		want sched.ConnectClass
	}{
		{failure("connect", syscall.ECONNREFUSED), sched.ConnectHost},
		{failure("connect", syscall.ETIMEDOUT), sched.ConnectHost},
		{failure("connect", syscall.ECONNRESET), sched.ConnectHost},
		{os.ErrDeadlineExceeded, sched.ConnectHost},
		{failure("connect", syscall.EHOSTUNREACH), sched.ConnectHost}, // there is a route to loopback
		{failure("connect", syscall.ENETUNREACH), sched.ConnectHost},
		{failure("bind", syscall.EADDRNOTAVAIL), sched.ConnectLocalAddress},
		{failure("connect", syscall.EADDRNOTAVAIL), sched.ConnectLocalPorts},
		{failure("bind", syscall.EADDRINUSE), sched.ConnectLocalPorts},
		{failure("connect", syscall.EAGAIN), sched.ConnectLocalPorts},
		{failure("socket", syscall.EMFILE), sched.ConnectLocalFiles},
		{failure("socket", syscall.ENFILE), sched.ConnectLocalFiles},
		{failure("socket", syscall.EAFNOSUPPORT), sched.ConnectLocalRoute},
		{failure("connect", syscall.EPERM), sched.ConnectLocalRoute},
		{context.Canceled, sched.ConnectAborted},
	}
	for _, tt := range tests {
		if got := dialClass(fmt.Errorf("dial: %w", tt.err), netip.Addr{}, to); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}

// TestNoFilesLeft lowers the open-file limit of this process to what is open already.
func TestNoFilesLeft(t *testing.T) {
	w := scripted(t, "close!")
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	next, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(next) // the lowest number that is free
	low := syscall.Rlimit{Cur: uint64(next), Max: was.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	w.start()
	got := until[sched.ConnectFailed](w, 1)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if got.Class != sched.ConnectLocalFiles {
		t.Errorf("got %s", tell(got))
	}
	if got := until[sched.Closed](w, 1); got.Class != sched.ConnectLocalFiles {
		t.Errorf("got %s", tell(got))
	}
}
