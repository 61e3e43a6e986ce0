package smtp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// inBubble runs a session in virtual time, with the client's end of it.
func inBubble(t *testing.T, cfg ServerConfig, f func(t *testing.T, conn net.Conn, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Hostname = "mx.test"
		s := NewServer(cfg, &testHandler{})
		ours, theirs := net.Pipe()
		go s.ServeConn(theirs)
		f(t, ours, s)
		_ = ours.Close()
		_ = s.Close()
		synctest.Wait()
	})
}

// drip sends an octet every few seconds until the connection ends, and returns how long
// that took and what the server said.
func drip(conn net.Conn, every time.Duration, octet string) (time.Duration, string) {
	begin := time.Now()
	_ = conn.SetDeadline(time.Time{})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(every):
			}
			if _, err := io.WriteString(conn, octet); err != nil {
				return
			}
		}
	}()
	b, _ := io.ReadAll(conn)
	took := time.Since(begin)
	close(stop)
	<-done
	return took, string(b)
}

func TestSlowClients(t *testing.T) {
	data := inMail + "C: DATA\nS: 354*\n"
	for _, c := range []struct {
		name, script, octet string
		every               time.Duration
		from, to            time.Duration // when the server gives up
		reply               string
	}{
		{"silent after the greeting", "S: 220*", "", time.Hour, 5 * time.Minute, 5 * time.Minute, "421 4.4.2 mx.test waited"},
		{"silent in a transaction", inMail, "", time.Hour, 5 * time.Minute, 5 * time.Minute, "421 4.4.2"},
		{"an octet of a command now and then", hello, "x", 5 * time.Second, 5 * time.Minute, 5 * time.Minute, "421 4.4.2"},
		{"silent in the data", data, "", time.Hour, 3 * time.Minute, 3 * time.Minute, "421 4.4.2"},
		{"an octet of data now and then", data, "x", 5 * time.Second, 5 * time.Minute, 6 * time.Minute, "421 4.4.2"},
		{"an octet of a chunk now and then", inMail + "C- BDAT 100000 LAST\\r\\n", "x", 5 * time.Second, 5 * time.Minute, 6 * time.Minute, "421 4.4.2"},
		{"an octet of a refused chunk now and then", hello + "C- BDAT 100000 LAST\\r\\n", "x", 5 * time.Second, 5 * time.Minute, 6 * time.Minute, "421 4.4.2"},
		{"NOOP now and then", hello, "NOOP\r\n", time.Minute, 199 * time.Minute, 202 * time.Minute, "421 4.7.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, ServerConfig{}, func(t *testing.T, conn net.Conn, _ *Server) {
				smtptest.Play(t, conn, c.script)
				took, said := drip(conn, c.every, c.octet)
				if took < c.from || took > c.to || !strings.Contains(said, c.reply) {
					t.Errorf("after %v %q, want %q after %v to %v", took, said, c.reply, c.from, c.to)
				}
			})
		})
	}
}

// TestSlowButSteady is a client with a thin line: slow, and not cut off.
func TestSlowButSteady(t *testing.T) {
	inBubble(t, ServerConfig{}, func(t *testing.T, conn net.Conn, _ *Server) {
		smtptest.Play(t, conn, inMail+"C: DATA\nS: 354*")
		_ = conn.SetDeadline(time.Time{})
		line := strings.Repeat("x", 998) + "\r\n"
		for range 1800 { // half an hour, 1000 octets a second
			if _, err := io.WriteString(conn, line+line); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		smtptest.Play(t, conn, "C: .\nS: 250*")
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	inBubble(t, ServerConfig{}, func(t *testing.T, conn net.Conn, s *Server) {
		begin := time.Now()
		synctest.Wait() // the greeting waits to be taken
		for s.Sessions() > 0 {
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took > 2*time.Minute {
			t.Errorf("held for %v", took)
		}
	})
}

func TestIdleSessionGivesItsBufferBack(t *testing.T) {
	big := map[mail.Stage]bool{} // whether the session had a big buffer at its last reply
	cfg := ServerConfig{Intercept: func(c *ServerConn, stage mail.Stage, _ *mail.Reply) Verdict {
		big[stage] = c.in.big != nil
		return SendReply
	}}
	const script = "C: DATA\nS: 354*\nC: .\nS: 250*\nC: RSET\nS: 250*\nwait 3s\nC: MAIL FROM:<a@b.test>\nS: 250*"
	inBubble(t, cfg, func(t *testing.T, conn net.Conn, _ *Server) {
		smtptest.Play(t, conn, inMail+script)
	})
	if !big[mail.StageDot] || !big[mail.StageRset] || big[mail.StageMail] {
		t.Errorf("big buffer: %v", big)
	}
	clear(big) // under TLS the read that is interrupted goes on too
	cfg.TLS = serverTLS(t)
	inBubble(t, cfg, func(t *testing.T, conn net.Conn, _ *Server) {
		smtptest.Play(t, conn, `S: 220*
C: EHLO c
S: 250-**
S: 250 ENH*
C: STARTTLS
S: 220*
tls
C: EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>
S: 250-**
S: 250 ENH*
S: 250*
S: 250*
`+script)
	})
	if !big[mail.StageDot] || big[mail.StageMail] {
		t.Errorf("big buffer under TLS: %v", big)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	inBubble(t, ServerConfig{}, func(t *testing.T, conn net.Conn, s *Server) {
		smtptest.Play(t, conn, inMail+"C: DATA\nS: 354*")
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		begin := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestFailedLoginsAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &testHandler{logins: map[string]string{"u": "p"}}
		s := NewServer(ServerConfig{Auth: true}, h)
		ours, theirs := net.Pipe()
		loop := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
		go s.ServeConn(addrConn{theirs, loop})
		begin := time.Now()
		smtptest.Play(t, ours, "S: 220*\nC: EHLO c\nS: 250-**\nS: 250 ENH*\nC: AUTH PLAIN AHUAeA==\nS: 535*")
		if took := time.Since(begin); took != time.Second {
			t.Errorf("answered after %v", took)
		}
		_ = ours.Close()
		_ = s.Close()
	})
}

type addrConn struct {
	net.Conn
	addr net.Addr
}

func (c addrConn) RemoteAddr() net.Addr { return c.addr }
func (c addrConn) LocalAddr() net.Addr  { return c.addr }

// outOfFilesListener fails as a process without file descriptors does, then gives one
// connection, then fails on.
type outOfFilesListener struct {
	fails  atomic.Int64
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *outOfFilesListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	default:
		l.fails.Add(1)
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
}

func (l *outOfFilesListener) Close() error                { l.once.Do(func() { close(l.closed) }); return nil }
func (l *outOfFilesListener) SetDeadline(time.Time) error { return nil }
func (l *outOfFilesListener) Addr() net.Addr              { return &net.TCPAddr{} }

func TestAcceptOutOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(ServerConfig{Hostname: "mx.test"}, &testHandler{})
		l := &outOfFilesListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		time.Sleep(time.Hour)
		if n := l.fails.Load(); n > 2*3600+20 {
			t.Errorf("%d accepts in an hour without files", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	})
}

func TestAcceptRefusesWithTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		l := &outOfFilesListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		s := NewServer(ServerConfig{Hostname: "mx.test"}, &testHandler{})
		a := acceptor{server: s, listener: l}
		a.hold()
		l.conns <- theirs
		go a.refuseOne()
		line, err := bufio.NewReader(ours).ReadString('\n')
		if err != nil || line != "421 4.3.2 mx.test out of resources, try again later\r\n" {
			t.Errorf("%q, %v", line, err)
		}
		synctest.Wait()
		a.close()
		_ = s.Close()
	})
}

func TestAcceptErrorThatStays(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s := NewServer(ServerConfig{}, &testHandler{})
	defer s.Close()
	if err := s.Serve(l); err == nil || errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}

func TestSessionLimits(t *testing.T) {
	s, addr := start(t, ServerConfig{MaxSessions: 3, MaxSessionsPerAddress: 2}, &testHandler{})
	one, two := smtptest.Connect(t, addr), smtptest.Connect(t, addr)
	smtptest.Play(t, one, "S: 220*")
	smtptest.Play(t, two, "S: 220*")
	smtptest.Play(t, smtptest.Connect(t, addr), "S: 421 4.7.0 mx.test too many sessions from your address\nclose")
	s.SetConfig(ServerConfig{Hostname: "mx.test", MaxSessions: 2})
	smtptest.Play(t, smtptest.Connect(t, addr), "S: 421 4.7.0 mx.test too many sessions, try again later\nclose")
	smtptest.Play(t, one, "C: QUIT\nS: 221*\nclose")
	for s.Sessions() > 1 { // the session ends just after its last word
		time.Sleep(time.Millisecond)
	}
	smtptest.Play(t, smtptest.Connect(t, addr), "S: 220*\nC: QUIT\nS: 221*")
}
