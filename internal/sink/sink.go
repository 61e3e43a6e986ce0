package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is a running receiver.
type Sink struct {
	opts      Options
	shares    map[FaultKind]float64
	listeners []*listener
	referee   *referee
	tally     *tally
	alarm     *alarm
	ledger    *ledger
	dump      *dump
	tlsConfig *tls.Config
	status    *http.Server
	statusAt  string

	done    context.Context // ends when Close begins
	stop    context.CancelFunc
	running sync.WaitGroup // accept loops, sessions and the status server
	numbers atomic.Uint64  // connections so far

	mu      sync.Mutex
	sockets map[*socket]struct{} // all that are not closed, counted or not
	trouble error                // what went wrong on our side
	closed  bool
}

// Start listens on every address of o and serves until Close. It fails when an
// option is out of range, an address cannot be listened on, or a file cannot be made.
func Start(o Options) (*Sink, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	s := &Sink{opts: o, shares: o.shares(), tally: newTally(o), sockets: map[*socket]struct{}{}}
	s.done, s.stop = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("start sink: %w", errors.Join(err, s.Close()))
	}
	for _, l := range s.listeners {
		s.running.Go(func() { s.accept(l) })
	}
	return s, nil
}

func (s *Sink) open() (err error) {
	if s.alarm, err = newAlarm(); err != nil {
		return err
	}
	if s.tlsConfig, err = s.opts.encryption(); err != nil {
		return err
	}
	if s.ledger, err = openLedger(s.opts.Ledger); err != nil {
		return err
	}
	if s.dump, err = openDump(s.opts.Dump, s.opts.DumpMax); err != nil {
		return err
	}
	var names []string
	for _, a := range s.opts.Listen {
		l, err := listen(a)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
		names = append(names, l.name)
	}
	s.referee = newReferee(s.opts, names)
	return s.openStatus()
}

// Addr returns the first listening address.
func (s *Sink) Addr() string { return s.listeners[0].name }

// Addrs returns every listening address, in the order of Options.Listen.
func (s *Sink) Addrs() []string {
	var out []string
	for _, l := range s.listeners {
		out = append(out, l.name)
	}
	return out
}

// StatusAddr returns the address of the HTTP status, empty when there is none.
func (s *Sink) StatusAddr() string { return s.statusAt }

// DumpDir returns where messages are dumped, empty when they are not.
func (s *Sink) DumpDir() string { return s.opts.Dump }

// Seed returns the seed of the faults: with it and the same commands on the same
// connections, the same faults are played again.
func (s *Sink) Seed() uint64 { return s.opts.Seed }

// Report returns what the sink has seen up to now. It may be called after Close too.
func (s *Sink) Report() Report {
	rep := Report{Seed: s.opts.Seed}
	violations := s.tally.fill(&rep)
	s.referee.fill(&rep, violations)
	return rep
}

// Close stops listening, closes every connection at once and waits until nothing of
// the sink runs. It returns what went wrong with its files and listeners while it ran.
func (s *Sink) Close() error {
	s.stop()
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	open := make([]*socket, 0, len(s.sockets))
	for sock := range s.sockets {
		open = append(open, sock)
	}
	s.mu.Unlock()
	if first {
		for _, l := range s.listeners {
			_ = l.file.Close() // nothing is lost with a listener
		}
		if s.status != nil {
			_ = s.status.Close()
		}
	}
	for _, sock := range open {
		_ = sock.Close()
	}
	s.running.Wait()
	if first {
		s.alarm.close()
		s.note(s.ledger.close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// note keeps trouble of our own for Close to return; the first is enough.
func (s *Sink) note(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	if s.trouble == nil {
		s.trouble = err
	}
	s.mu.Unlock()
}

func (s *Sink) now() time.Time { return time.Now() }

// wait pauses and reports whether the sink still runs.
func (s *Sink) wait(d time.Duration) bool { return s.alarm.until(time.Now().Add(d), s.done.Done()) }

func (s *Sink) accept(l *listener) {
	for {
		sock, over, err := l.accept(s.referee, s.opts.Idle)
		if err == nil {
			number := s.numbers.Add(1)
			if s.register(sock) {
				s.running.Go(func() { s.serve(sock, over, number) })
			}
			continue
		}
		if s.done.Err() != nil {
			return
		}
		s.note(err)
		if lasting(err) || !s.wait(10*time.Millisecond) {
			return
		}
	}
}

// register remembers a socket for Close, or closes it when Close has begun.
func (s *Sink) register(sock *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = sock.Close()
		return false
	}
	s.sockets[sock] = struct{}{}
	return true
}

func (s *Sink) serve(sock *socket, over string, number uint64) {
	newSession(s, sock, number).run(over)
	s.mu.Lock()
	delete(s.sockets, sock)
	s.mu.Unlock()
}
