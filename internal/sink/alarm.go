package sink

import (
	"container/heap"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes sleepers within some tens of microseconds of their time. The runtime's
// own timers are a millisecond coarse on an idle machine, which is much of a line of
// 5 ms that is crossed twice for each command. One timerfd serves all lines.
type alarm struct {
	file *os.File // timerfd, in the runtime's poller
	fd   int
	loop sync.WaitGroup

	mu       sync.Mutex
	sleepers sleepers // the earliest first; who no longer waits stays until its time
	closed   bool
}

type sleeper struct {
	at   time.Time
	wake chan struct{}
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make timer for the line: %w", err)
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd}
	a.loop.Go(a.ring)
	return a, nil
}

// ring wakes whoever is due, until close.
func (a *alarm) ring() {
	var expirations [8]byte
	for {
		if _, err := a.file.Read(expirations[:]); err != nil {
			return // closed: sleepers have their own way out
		}
		a.mu.Lock()
		for now := time.Now(); len(a.sleepers) > 0 && !a.sleepers[0].at.After(now); {
			close(heap.Pop(&a.sleepers).(*sleeper).wake)
		}
		a.set()
		a.mu.Unlock()
	}
}

// set arms the timer for the earliest sleeper. Called with mu held.
func (a *alarm) set() {
	if len(a.sleepers) == 0 || a.closed {
		return
	}
	d := max(time.Until(a.sleepers[0].at), 1) // 0 would disarm
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	_ = unix.TimerfdSettime(a.fd, 0, &spec, nil) // fails on wrong arguments only
}

// until reports whether t came before done was closed.
func (a *alarm) until(t time.Time, done <-chan struct{}) bool {
	if !t.After(time.Now()) {
		return true
	}
	s := &sleeper{at: t, wake: make(chan struct{})}
	a.mu.Lock()
	heap.Push(&a.sleepers, s)
	if a.sleepers[0] == s {
		a.set()
	}
	a.mu.Unlock()
	select {
	case <-s.wake:
		return true
	case <-done:
		return false
	}
}

func (a *alarm) close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	_ = a.file.Close()
	a.loop.Wait()
}

// sleepers is a heap.
type sleepers []*sleeper

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s sleepers) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sleepers) Push(x any)        { *s = append(*s, x.(*sleeper)) }
func (s *sleepers) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}
