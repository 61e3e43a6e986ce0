package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// ending are the signals that end a program while it has the terminal.
var ending = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// screen is the terminal while it passes every key on at once. It is given back by Close,
// and when a signal ends the program.
type screen struct {
	file  *os.File
	was   *term.State
	leave string // what is written before it is given back
	once  sync.Once
	done  chan struct{}
	ended chan struct{} // the goroutine's end
}

// takeScreen takes a terminal. enter is written to it, leave before it is given back.
func takeScreen(f *os.File, enter, leave string) (*screen, error) {
	was, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	s := &screen{file: f, was: was, leave: leave, done: make(chan struct{}), ended: make(chan struct{})}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ending...)
	fmt.Fprint(os.Stdout, enter)
	go func() {
		defer close(s.ended)
		defer signal.Stop(signals)
		select {
		case sig := <-signals:
			s.restore()
			os.Exit(128 + int(sig.(syscall.Signal))) // as a shell says it
		case <-s.done:
		}
	}()
	return s, nil
}

func (s *screen) restore() {
	s.once.Do(func() {
		fmt.Fprint(os.Stdout, s.leave)
		_ = term.Restore(int(s.file.Fd()), s.was) // nothing is left to try
	})
}

// Close gives the terminal back.
func (s *screen) Close() {
	close(s.done)
	<-s.ended
	s.restore()
}
