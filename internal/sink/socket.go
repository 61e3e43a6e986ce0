package sink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// listener is a listening socket whose accept4 the sink calls itself, so that a
// connection is counted in the same step.
type listener struct {
	file *os.File // non-blocking, in the runtime's poller
	name string   // the address as the report names it
	addr netip.AddrPort
}

func listen(address string) (*listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	defer func() { _ = l.Close() }() // its descriptor lives on as a duplicate
	tcp := l.(*net.TCPListener)
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if dupErr != nil {
		return nil, fmt.Errorf("listen on %s: duplicate descriptor: %w", address, dupErr)
	}
	return &listener{
		file: os.NewFile(uintptr(fd), address), name: tcp.Addr().String(),
		addr: tcp.Addr().(*net.TCPAddr).AddrPort(),
	}, nil
}

// accept waits for a connection and has the referee count it in the same step. It
// returns the limit that the connection is over, empty when none.
func (l *listener) accept(r *referee, idle time.Duration) (*socket, string, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, "", fmt.Errorf("accept on %s: %w", l.name, err)
	}
	var s *socket
	var over string
	var acceptErr error
	err = raw.Read(func(fd uintptr) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		nfd, sa, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if err != nil {
			acceptErr = err
			return true
		}
		s = &socket{fd: nfd, referee: r, listener: l.name, local: l.addr, remote: addrPort(sa), idle: idle}
		over = r.admit(s, time.Now())
		return true
	})
	if err = errors.Join(err, acceptErr); err != nil {
		return nil, "", fmt.Errorf("accept on %s: %w", l.name, err)
	}
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // a line without it still works
	s.file = os.NewFile(uintptr(s.fd), s.remote.String())
	return s, over, nil
}

// lasting reports whether an error of accept ends the listener.
func lasting(err error) bool {
	for _, e := range []error{unix.ECONNABORTED, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EINTR} {
		if errors.Is(err, e) {
			return false
		}
	}
	return true
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// socket is one accepted connection: the real one, under the line if there is one.
type socket struct {
	fd       int
	file     *os.File
	referee  *referee
	listener string
	local    netip.AddrPort
	remote   netip.AddrPort
	idle     time.Duration // longest wait of one Read or Write

	deadline atomic.Int64 // unix ns of the deadline now set; it is moved only when it is old

	// Guarded by referee.mu.
	groups  [3]*group // all, source, listener
	counted bool
}

// keepAlive moves the deadline when an eighth of the time is used up: a system of
// timers should not be asked for every line.
func (s *socket) keepAlive() {
	now := time.Now()
	end := now.Add(s.idle).UnixNano()
	if old := s.deadline.Load(); end-old > int64(s.idle/8) {
		s.deadline.Store(end)
		_ = s.file.SetDeadline(now.Add(s.idle)) // fails only on a closed file, which the next call says
	}
}

func (s *socket) Read(p []byte) (int, error) {
	s.keepAlive()
	n, err := s.file.Read(p)
	if err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.referee.release(s) // end of stream or reset: the kernel has shown that the client closed
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	s.keepAlive()
	return s.file.Write(p)
}

// WriteLast lowers the count, then writes what tells the client that the sink closes.
func (s *socket) WriteLast(p []byte) (int, error) {
	s.referee.release(s)
	return s.Write(p)
}

// Close lowers the count, then closes.
func (s *socket) Close() error {
	s.referee.release(s)
	return s.file.Close()
}

// CloseWrite lowers the count, then sends the end of stream.
func (s *socket) CloseWrite() error {
	s.referee.release(s)
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var shutErr error
	err = raw.Control(func(fd uintptr) { shutErr = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, shutErr)
}

// gone asks the kernel whether the client has closed.
func (s *socket) gone() bool {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		poll(fds)
		closed = fds[0].Revents != 0
	})
	return err != nil || closed
}

// kernel asks about many sockets at once; its slices are used again.
type kernel struct {
	fds     []unix.PollFd
	sockets []*socket
	closed  []*socket
}

// closedByClient returns the sockets whose client has closed or reset, as far as the
// kernel shows it now: POLLRDHUP is set even while data is unread. Nobody closes a
// counted descriptor without lowering its count first, under the caller's lock.
func (k *kernel) closedByClient(open map[*socket]struct{}) []*socket {
	k.fds, k.sockets, k.closed = k.fds[:0], k.sockets[:0], k.closed[:0]
	for s := range open {
		k.fds = append(k.fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLRDHUP})
		k.sockets = append(k.sockets, s)
	}
	poll(k.fds)
	for i, p := range k.fds {
		if p.Revents != 0 { // POLLRDHUP, POLLHUP or POLLERR
			k.closed = append(k.closed, k.sockets[i])
		}
	}
	return k.closed
}

// poll looks without waiting. An error other than EINTR cannot happen to valid
// arguments; then nothing is shown closed.
func poll(fds []unix.PollFd) {
	if len(fds) == 0 {
		return
	}
	for {
		if _, err := unix.Poll(fds, 0); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// settle makes the kernel finish what has arrived for a socket while a thread of the
// sink was inside a system call on it: TCP_INFO takes the socket's lock, and whoever
// gives that lock back works off the backlog first.
func settle(fd int) {
	_, _ = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
}
