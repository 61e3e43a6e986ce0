// Package smtp is the wire layer of SMTP: the server session and the client
// session. It is strict (RFC 5321 line ends, nothing else), bounded in memory and
// time at every step, and knows nothing of what becomes of a message.
//
// The server half:
//
//	server.go          Server: accept, limits on sessions, Shutdown
//	server_config.go   ServerConfig: bounds and their defaults
//	server_handler.go  Handler, Session: what the server asks of its user
//	server_conn.go     ServerConn: one connection, its replies and deadlines
//	server_command.go  the commands
//	server_auth.go     AUTH PLAIN and LOGIN (RFC 4954)
//	server_content.go  Content: the data of DATA, checked and without dot-stuffing
//	server_bdat.go     BDAT (RFC 3030)
//	server_reader.go   lineReader: buffer of what the client sent
//	wire.go            address, path, parameter and xtext syntax
//
// A session is one goroutine that reads, decides and answers; nothing is shared
// between sessions but the counts in Server:
//
//	greeting → EHLO → (STARTTLS → EHLO) → (AUTH) → [ MAIL → RCPT+ → DATA | BDAT+ ]* → QUIT
//
// Replies gather in a buffer that is written just before the session would block
// on reading, which is all that PIPELINING (RFC 2920) asks of a server.
package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/sluice-mta/sluice/internal/mail"
)

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("smtp server is closed")

// Server accepts SMTP connections and runs their sessions. Make it with NewServer;
// all methods are safe for concurrent use.
type Server struct {
	handler Handler
	config  atomic.Pointer[ServerConfig]
	closing atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*ServerConn]struct{}
	perAddr   map[netip.Addr]int
	sheds     int           // connections being refused beside conns
	stopped   chan struct{} // closed by stop
	idle      chan struct{} // closed when the last connection has ended after stopped
}

// NewServer returns a server that asks h. Zero fields of cfg get their defaults.
func NewServer(cfg ServerConfig, h Handler) *Server {
	s := &Server{
		handler:   h,
		listeners: map[net.Listener]struct{}{},
		conns:     map[*ServerConn]struct{}{},
		perAddr:   map[netip.Addr]int{},
		stopped:   make(chan struct{}),
		idle:      make(chan struct{}),
	}
	s.SetConfig(cfg)
	return s
}

// SetConfig changes the settings for connections accepted from now on.
func (s *Server) SetConfig(cfg ServerConfig) {
	cfg.setDefaults()
	s.config.Store(&cfg)
}

// Sessions returns the number of connections open now.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Serve accepts connections from l until Shutdown, Close or an error that does not
// pass, and closes l. It returns ErrServerClosed after Shutdown or Close.
func (s *Server) Serve(l net.Listener) error {
	if !s.addListener(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.removeListener(l)
	a := acceptor{server: s, listener: l}
	defer a.close()
	if err := a.run(); !s.closing.Load() {
		return fmt.Errorf("accept on %s: %w", l.Addr(), err)
	}
	return ErrServerClosed
}

// ServeConn runs one session on conn and closes it: for connections that did not
// come from a listener (tests, inherited sockets).
func (s *Server) ServeConn(conn net.Conn) {
	if c := s.addConn(conn); c != nil {
		c.run()
	}
}

// Shutdown stops accepting, answers 421 4.3.2 to sessions that wait for a command,
// lets transactions past DATA finish, and returns when all sessions have ended. When
// ctx ends first the rest is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
	}
	s.cut()
	<-s.idle
	return ctx.Err()
}

// Close cuts off all sessions and returns when they have ended.
func (s *Server) Close() error {
	s.stop()
	s.cut()
	<-s.idle
	return nil
}

// stop closes the listeners and wakes sessions that wait for a command.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Swap(true) {
		return
	}
	close(s.stopped)
	for l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		c.wake()
	}
	s.checkIdle()
}

func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Abort()
	}
}

// checkIdle is called with mu held.
func (s *Server) checkIdle() {
	if s.closing.Load() && len(s.conns) == 0 {
		select {
		case <-s.idle:
		default:
			close(s.idle)
		}
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	_ = l.Close()
}

// addConn registers a connection, or closes it when the server is closing or far
// over its limit of sessions: those just over it are told so by their own goroutine.
func (s *Server) addConn(conn net.Conn) *ServerConn {
	cfg := s.config.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() || cfg.MaxSessions > 0 && len(s.conns) >= cfg.MaxSessions+maxSheds {
		_ = conn.Close()
		return nil
	}
	c := newServerConn(s, cfg, conn)
	s.conns[c] = struct{}{}
	return c
}

// admit counts the connection for its address and says whether it may stay.
func (s *Server) admit(c *ServerConn) mail.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if max := c.cfg.MaxSessions; max > 0 && len(s.conns)-s.sheds > max {
		s.sheds++
		c.shed = true
		return mail.Reply{Code: 421, Enhanced: "4.7.0", Text: c.cfg.Hostname + " too many sessions, try again later"}
	}
	addr := c.remote.Addr()
	if !addr.IsValid() { // a pipe or a unix socket
		return mail.Reply{}
	}
	if max := c.cfg.MaxSessionsPerAddress; max > 0 && s.perAddr[addr] >= max {
		return mail.Reply{Code: 421, Enhanced: "4.7.0", Text: c.cfg.Hostname + " too many sessions from your address"}
	}
	s.perAddr[addr]++
	c.counted = true
	return mail.Reply{}
}

func (s *Server) removeConn(c *ServerConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.shed {
		s.sheds--
	}
	if c.counted {
		addr := c.remote.Addr()
		if s.perAddr[addr]--; s.perAddr[addr] == 0 {
			delete(s.perAddr, addr)
		}
	}
	s.checkIdle()
}
