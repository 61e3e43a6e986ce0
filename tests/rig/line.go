package rig

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Line is a line to a receiver that cannot count: it counts the connections that go over
// it, and delays every byte by half of its round-trip time in each direction, in order. A
// connection counts from accept until just before the line closes it, which it does when
// the receiver has.
type Line struct {
	to    string
	delay time.Duration

	mu                   sync.Mutex
	open, peak, accepted int
}

// StartLine listens on addr and carries every connection to the receiver at to. It is gone
// when the test ends.
func StartLine(t testing.TB, addr, to string, roundTrip time.Duration) *Line {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("line to %s: %v", to, err)
	}
	l := &Line{to: to, delay: roundTrip / 2}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.count(1)
			all.Go(func() { l.carry(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close() // ends Accept
		all.Wait()
	})
	return l
}

// Counts are the connections that are open, the most that were at one instant, and all.
func (l *Line) Counts() (open, peak, accepted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.peak, l.accepted
}

func (l *Line) String() string {
	open, peak, accepted := l.Counts()
	return fmt.Sprintf("%d connections, peak %d, %d open", accepted, peak, open)
}

func (l *Line) count(by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open += by
	l.peak = max(l.peak, l.open)
	l.accepted += max(by, 0)
}

// carry carries one connection until the receiver has closed it. A client that closes
// first is told to the receiver, who then closes too.
func (l *Line) carry(client *net.TCPConn) {
	defer client.Close()
	defer l.count(-1)
	c, err := net.Dial("tcp", l.to)
	if err != nil {
		return // the client sees a receiver that closes at once
	}
	receiver := c.(*net.TCPConn)
	var there sync.WaitGroup
	there.Go(func() {
		l.delayed(receiver, client)
		_ = receiver.CloseWrite() // one that is closed already needs no end
	})
	l.delayed(client, receiver)
	l.stop(client, receiver)
	there.Wait()
}

// stop ends the direction to the receiver, which is gone, without ending what the client
// sees: that comes when the count has been lowered.
func (l *Line) stop(client, receiver *net.TCPConn) {
	_ = client.SetReadDeadline(time.Now()) // fails only for a closed connection
	_ = receiver.Close()                   // its end has been read
}

// delayed copies until the end of from, each piece l.delay later.
func (l *Line) delayed(to io.Writer, from io.Reader) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 16<<10)
			n, err := from.Read(b)
			if n > 0 {
				pieces <- piece{time.Now().Add(l.delay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		_, _ = to.Write(p.data) // who does not listen any more misses it
	}
	time.Sleep(l.delay) // the end travels, too
}
