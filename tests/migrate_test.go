package tests

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestOneConnectionForTwoDomains: a host that bears one connection serves both of its
// domains by turns over that one; the receiver sees no other.
func TestOneConnectionForTwoDomains(t *testing.T) {
	const messages = 200
	port := rig.Port(t, "127.0.0.41")
	sink := rig.StartSink(t, port, []string{"127.0.0.41"}, "--latency", "2ms", "--max-connections", "1")
	server := rig.NewServer(t, sharedHost("127.0.0.41"), port, `retry_interval = 1
idle_timeout = 30
Host "mx.shared.test" { max_outbound_connections = 1 }
`).Start(t)
	rig.Source(t, server.SMTP, 10, 2048, messages, "u@one.test")
	rig.Source(t, server.SMTP, 10, 2048, messages, "u@two.test")
	sink.Distinct(t, 2*messages, time.Minute)
	server.Stop(t, 30*time.Second)
	r := sink.Stop(t)
	exactlyOnce(t, r, 2*messages)
	if r.Connections.Accepted != 1 || r.Violations != 0 {
		t.Errorf("%d connections, %d violations, want one connection", r.Connections.Accepted, r.Violations)
	}
	for _, d := range []string{"one.test", "two.test"} {
		if r.Recipients.ByDomain[d] != messages {
			t.Errorf("%s has %d recipients, want %d", d, r.Recipients.ByDomain[d], messages)
		}
	}
}

// TestDomainLimitsOverSharedConnections: connections go from domain to domain, and no
// domain ever has more of them than its own limit, by what the receiver sees: it counts the
// connections that carry mail of a domain, from RCPT until the message is answered.
func TestDomainLimitsOverSharedConnections(t *testing.T) {
	const messages = 400
	port := rig.Port(t, "127.0.0.42")
	recv := startTurns(t, fmt.Sprintf("127.0.0.42:%d", port))
	server := rig.NewServer(t, sharedHost("127.0.0.42"), port, `retry_interval = 1
Host "mx.shared.test" { max_outbound_connections = 4 }
Domain "one.test" { max_outbound_connections = 1 }
Domain "two.test" { max_outbound_connections = 2 }
`).Start(t)
	rig.Source(t, server.SMTP, 10, 512, messages, "u@one.test")
	rig.Source(t, server.SMTP, 10, 512, messages, "u@two.test")
	rig.Source(t, server.SMTP, 10, 512, messages, "u@three.test")
	idle(t, server)
	server.Stop(t, 30*time.Second)
	recv.mu.Lock()
	defer recv.mu.Unlock()
	t.Logf("%d connections, %d moves, peaks %v", recv.accepted, recv.moves, recv.peak)
	if recv.taken != 3*messages {
		t.Errorf("%d messages arrived of %d", recv.taken, 3*messages)
	}
	if recv.peak["one.test"] != 1 || recv.peak["two.test"] != 2 || recv.peak[""] > 4 {
		t.Errorf("peaks %v; the limits are 1, 2, and 4 in all", recv.peak)
	}
	if recv.moves == 0 {
		t.Error("no connection has gone from one domain to another")
	}
}

// sharedHost is three domains at one host.
func sharedHost(addr string) rig.Zone {
	return rig.Zone{
		MX:    map[string]string{"one.test": "mx.shared.test", "two.test": "mx.shared.test", "three.test": "mx.shared.test"},
		Hosts: map[string][]string{"mx.shared.test": {addr}},
	}
}

// turns is a receiver that counts its connections by the domain whose mail each carries.
type turns struct {
	mu       sync.Mutex
	open     map[string]int // by domain, while a message is under way; "": all connections
	peak     map[string]int
	accepted int
	moves    int // connections that went on for another domain
	taken    int
}

func startTurns(t *testing.T, addr string) *turns {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &turns{open: map[string]int{}, peak: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close() // ends Accept
		wg.Wait()
	})
	return r
}

func (r *turns) count(what string, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[what] += by
	r.peak[what] = max(r.peak[what], r.open[what])
}

// ends notes that a message for a domain has been taken on a connection; last is the
// domain of the one before it, "" if there was none.
func (r *turns) ends(domain, last string) {
	r.count(domain, -1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken++
	if last != "" && last != domain {
		r.moves++
	}
}

// serve speaks as much SMTP as is needed, each transaction a few milliseconds long.
func (r *turns) serve(c net.Conn) {
	defer c.Close()
	r.count("", 1)
	defer r.count("", -1)
	r.mu.Lock()
	r.accepted++
	r.mu.Unlock()
	in := bufio.NewScanner(c)
	say := func(line string) { _, _ = fmt.Fprint(c, line+"\r\n") } // who does not hear ends the session
	say("220 turns")
	domain, last, content := "", "", false
	for in.Scan() {
		verb, rest, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
		switch {
		case content && in.Text() == ".":
			time.Sleep(3 * time.Millisecond) // the receiver's own work
			r.ends(domain, last)
			last, content = domain, false
			say("250 taken")
		case content:
		case verb == "RCPT":
			_, domain, _ = strings.Cut(strings.ToLower(strings.TrimSuffix(rest, ">")), "@")
			r.count(domain, 1)
			say("250 ok")
		case verb == "DATA":
			content = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
