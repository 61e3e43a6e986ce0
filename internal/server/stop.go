package server

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// flushWait is how long a stop waits for accounting records to be taken by a disk that
// fails. Outcomes that were not recorded are not stored either: their mail goes again.
const flushWait = 5 * time.Second

// Stop ends the server in order: listeners, scheduler, accounting, spool. Transactions
// that wait for their final reply have drain_timeout to end; then they are cut, logged,
// and may be delivered again after the next start.
func (s *Server) Stop() error {
	s.gate.stopping.Store(true)
	drain := s.policies.snapshot().DrainTimeout
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	go func() {
		select {
		case <-s.hurry:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.stopListening(ctx)
	s.driver.Step(sched.Stop{})
	if !s.agentEnded(ctx) {
		why := "drain_timeout passed"
		if errors.Is(ctx.Err(), context.Canceled) {
			why = "asked to stop at once"
		}
		s.log.Warn(why+": connections are cut; their messages may be delivered again",
			"connections", s.agent.Connections(), "drain_timeout", drain)
		s.cut()
	}
	s.tracer.End()
	s.stopControl()
	return s.flush()
}

// Hurry makes a Stop that is on its way, or comes later, wait for no transaction.
func (s *Server) Hurry() { s.hurried.Do(func() { close(s.hurry) }) }

// agentEnded waits for all connections to end.
func (s *Server) agentEnded(ctx context.Context) bool {
	ended := make(chan struct{})
	go func() { s.agent.Wait(); close(ended) }()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut aborts the connections that are left.
func (s *Server) cut() {
	s.agent.Abort()
	s.agent.Wait()
}

// flush writes what is still under way and closes everything.
func (s *Server) flush() error {
	// The last outcomes go through accounting and back before they are stored, so
	// accounting ends while the scheduler still listens, and the store after it.
	s.edges.accounts.close()
	select {
	case <-s.edges.accounted:
	case <-time.After(flushWait): // a failing disk holds the writer up; Close says what it cost
	}
	errAccount := s.accounts.Close()
	<-s.edges.accounted
	s.store.giveUp.Store(true)
	s.store.in.close()
	<-s.store.done
	s.driver.Halt()
	s.cancel()
	s.edges.logs.close()
	errSpool := errors.Join(s.notebook.close(), s.tls.close(), s.suppression.close(), s.spool.Close())
	if r := s.resolver.Load(); r != nil {
		r.Close()
	}
	var errSandbox error
	if s.sandbox != nil {
		errSandbox = s.sandbox.sink.Close()
	}
	return errors.Join(errAccount, errSpool, errSandbox)
}

// abandon undoes a start that failed half-way.
func (s *Server) abandon() {
	s.cancel()
	for _, l := range s.bound {
		l.Close()
	}
	if s.driver != nil {
		s.driver.Halt()
	}
	if s.accounts != nil {
		_ = s.accounts.Close() // the start has failed with an error of its own
	}
	if s.suppression != nil {
		_ = s.suppression.close()
	}
	if s.notebook != nil {
		_ = s.notebook.close()
	}
	_ = s.tls.close()
	if s.spool != nil {
		_ = s.spool.Close()
	}
	if s.sandbox != nil {
		_ = s.sandbox.sink.Close()
	}
}
