package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/inject/smtpin"
	"github.com/sluice-mta/sluice/internal/policy"
)

// bind opens every listener of the configuration, so that a port in use is told at
// once; nothing is accepted before serve.
func (s *Server) bind() error {
	for i := range s.begun.Listeners {
		l := &s.begun.Listeners[i]
		var bound net.Listener
		var err error
		switch l.Kind {
		case policy.ListenESMTP:
			bound, err = net.Listen("tcp", l.Address)
		case policy.ListenControl:
			bound, err = admin.Listen(l.Address)
		case policy.ListenHTTP:
			// Injection by HTTP is not there yet; the stanza is known and says so.
			s.log.Warn("HTTP_Listener is configured and not served yet", "listen", l.Address, "set_at", l.Origin.String())
		}
		if err != nil {
			return fmt.Errorf("listen on %s (%s): %w; %s", l.Address, l.Origin, err, listenRemedy(err))
		}
		s.bound = append(s.bound, bound) // nil keeps the index of the stanza
	}
	return nil
}

func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "the address is not on this machine: correct the Listen stanza"
	case errors.Is(err, syscall.EACCES):
		return "give the program the right to it (CAP_NET_BIND_SERVICE for ports below 1024) or change the Listen stanza"
	}
	return "stop what uses it or change the Listen stanza"
}

// listening returns the addresses that connections reach us on, the port chosen by
// the system where port 0 was asked for.
func (s *Server) listening() []string {
	var out []string
	for _, l := range s.bound {
		if l != nil && l.Addr().Network() == "tcp" {
			out = append(out, l.Addr().String())
		}
	}
	return out
}

// Addresses returns where the server listens, by kind.
func (s *Server) Addresses(kind policy.ListenerKind) []string {
	var out []string
	for i, l := range s.begun.Listeners {
		if l.Kind == kind && i < len(s.bound) && s.bound[i] != nil {
			a := s.bound[i].Addr()
			if a.Network() == "unix" {
				out = append(out, "unix:"+a.String())
			} else {
				out = append(out, a.String())
			}
		}
	}
	return out
}

// serve begins to take connections.
func (s *Server) serve() error {
	for i := range s.begun.Listeners {
		l, bound := &s.begun.Listeners[i], s.bound[i]
		switch l.Kind {
		case policy.ListenESMTP:
			front, err := smtpin.New(s.injector, l)
			if err != nil {
				return err
			}
			s.fronts[l.Address] = front
			s.goServe(func() error { return front.Serve(bound) })
		case policy.ListenControl:
			h := &http.Server{
				Handler: admin.Handler(backend{s}, s.log), ReadHeaderTimeout: 10 * time.Second,
				ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
				ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
			}
			s.control = append(s.control, h)
			s.goServe(func() error {
				if err := h.Serve(netutil.LimitListener(bound, l.MaxSessions)); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("control listener %s: %w", bound.Addr(), err)
				}
				return nil
			})
		}
	}
	return nil
}

func (s *Server) goServe(serve func() error) {
	s.serving.Go(func() {
		if err := serve(); err != nil {
			s.log.Error("listener failed", "error", err)
			select {
			case s.fatal <- err:
			default: // one is enough to end the program
			}
		}
	})
}

// stopListening ends intake: sessions past DATA are answered, the others end with 421.
func (s *Server) stopListening(ctx context.Context) {
	for address, f := range s.fronts {
		if err := f.Shutdown(ctx); err != nil {
			s.log.Warn("sessions were cut off", "listen", address, "error", err)
		}
	}
}

// stopControl ends the control listeners, after the drain: until then they tell how it goes.
func (s *Server) stopControl() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, h := range s.control {
		if h.Shutdown(ctx) != nil {
			_ = h.Close() // who still asks has had a second
		}
	}
}
