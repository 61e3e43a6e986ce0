package smtp

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Waits after an accept that failed for want of resources.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
	// refusePause is how long refuseOne waits for a connection: Linux reports EMFILE also
	// when none is there.
	refusePause = 10 * time.Millisecond
)

// acceptor accepts connections from one listener. It never spins: after an error
// that may pass it waits, twice as long each time. Out of files it gives up a
// descriptor held in reserve, to take the waiting connection and tell it 421.
type acceptor struct {
	server   *Server
	listener net.Listener
	reserve  *os.File
	pause    time.Duration
}

func (a *acceptor) run() error {
	a.hold()
	for {
		conn, err := a.listener.Accept()
		if err == nil {
			a.pause = 0
			if c := a.server.addConn(conn); c != nil {
				go c.run()
			}
			continue
		}
		if a.server.closing.Load() || !passes(err) {
			return err
		}
		if outOfFiles(err) {
			a.refuseOne()
		}
		a.wait()
	}
}

func (a *acceptor) wait() {
	a.pause = min(max(2*a.pause, acceptPause), acceptPauseMax)
	t := time.NewTimer(a.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.server.stopped:
	}
}

func (a *acceptor) hold() {
	if a.reserve == nil {
		a.reserve, _ = os.Open(os.DevNull) // without it connections only wait longer
	}
}

func (a *acceptor) close() {
	if a.reserve != nil {
		_ = a.reserve.Close()
	}
}

// refuseOne takes one waiting connection, if there is one, with the descriptor held
// in reserve, and refuses it. Somebody else may get hold of the descriptor: then
// connections wait until there are files again.
func (a *acceptor) refuseOne() {
	l, ok := a.listener.(interface{ SetDeadline(time.Time) error })
	if a.reserve == nil || !ok || l.SetDeadline(time.Now().Add(refusePause)) != nil {
		a.hold()
		return
	}
	defer func() { _ = l.SetDeadline(time.Time{}) }()
	_ = a.reserve.Close()
	a.reserve = nil
	if conn, err := a.listener.Accept(); err == nil {
		_ = conn.SetDeadline(time.Now().Add(acceptPauseMax))
		_, _ = conn.Write([]byte("421 4.3.2 " + a.server.config.Load().Hostname + " out of resources, try again later\r\n"))
		_ = conn.Close()
	}
	a.hold()
}

func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// passes reports whether accept may work again later.
func passes(err error) bool {
	if outOfFiles(err) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EPROTO) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
