package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// Port is a TCP port that is free on every given address. It lies below the range that
// the kernel gives to outgoing connections, so that it is still free when a server that
// was killed comes back to it.
func Port(t testing.TB, addrs ...string) int {
	t.Helper()
	if len(addrs) == 0 {
		addrs = []string{"127.0.0.1"}
	}
next:
	for range 200 {
		port := 11000 + rand.IntN(20000)
		for _, a := range addrs {
			l, err := net.Listen("tcp", net.JoinHostPort(a, fmt.Sprint(port)))
			if err != nil {
				continue next
			}
			l.Close()
		}
		return port
	}
	t.Fatalf("no free port on %v", addrs)
	return 0
}

// Until asks done every few milliseconds until it says yes; the test fails after limit
// with what was waited for.
func Until(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		if done() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Listening waits until something listens on addr; it gives up when p ends before.
func Listening(t testing.TB, p *Proc, addr string) {
	t.Helper()
	Until(t, 30*time.Second, p.Name+" to listen on "+addr, func() bool {
		if !p.Running() {
			t.Fatalf("%s ended at its start with status %d:\n%s", p.Name, p.state.ExitCode(), Tail(p.Output(), 4000))
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
