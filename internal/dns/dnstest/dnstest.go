// Package dnstest gives tests a DNS of their own: zones written as text, answered in
// process or by a real server on loopback that can be told to misbehave.
//
//	r := dnstest.Resolver(t, "one.test. MX 10 mx.one.test.\nmx.one.test. A 127.0.0.21")
//	s := dnstest.Serve(t, zone);  s.Fault("two.test", dnstest.ServFail)
package dnstest

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/sluice-mta/sluice/internal/dns"
)

// Zone parses a zone; text that does not parse ends the test.
func Zone(t testing.TB, text string) *dns.Zone {
	t.Helper()
	z, err := dns.ParseZone(strings.NewReader(text), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// Resolver returns a resolver that answers from a zone in process.
func Resolver(t testing.TB, text string) *dns.Resolver {
	t.Helper()
	r, err := dns.New(dns.Config{Zone: Zone(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// Fault is one way to misbehave.
type Fault int

const (
	None          Fault = iota
	ServFail            // SERVFAIL
	Refused             // REFUSED
	Silent              // no answer at all
	Truncate            // TC over UDP, the whole answer over TCP
	TruncateAll         // TC over TCP too
	Garbage             // the right id, then bytes that are no message
	Lame                // an empty answer that is neither authoritative nor recursive
	WrongID             // only answers that carry another id
	WrongQuestion       // only answers to another question
	NoEDNS              // FORMERR to whatever carries an OPT record
	CloseTCP            // TC over UDP; over TCP the connection is closed
	Poison              // the right answer with records about other names beside it
	AliasOnly           // of a chain of aliases only the first record
)

// Server is a DNS server on loopback, UDP and TCP on one port.
type Server struct {
	Addr string // host:port

	zone *dns.Zone
	udp  net.PacketConn
	tcp  net.Listener
	wait sync.WaitGroup

	mu      sync.Mutex
	faults  map[string]Fault
	signed  []string
	queries map[string]int
	hold    chan struct{}
	conns   map[net.Conn]bool
	closed  bool
}

// Serve starts a server with a zone; it ends with the test.
func Serve(t testing.TB, text string) *Server {
	t.Helper()
	s := &Server{zone: Zone(t, text), faults: map[string]Fault{}, queries: map[string]int{}, conns: map[net.Conn]bool{}}
	for range 20 { // until a port is free for both
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err != nil {
			udp.Close()
			continue
		}
		s.udp, s.tcp, s.Addr = udp, tcp, udp.LocalAddr().String()
		break
	}
	if s.Addr == "" {
		t.Fatal("no port is free for both UDP and TCP")
	}
	s.wait.Go(s.serveUDP)
	s.wait.Go(s.serveTCP)
	t.Cleanup(s.Close)
	return s
}

// Close stops the server; a closed server's port answers nobody.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns { // all of them: the order does not matter
		c.Close()
	}
	s.mu.Unlock()
	s.udp.Close()
	s.tcp.Close()
	s.wait.Wait()
}

// Fault makes questions about name misbehave from now on; name "" is every name that
// has no fault of its own.
func (s *Server) Fault(name string, f Fault) {
	s.mu.Lock()
	s.faults[strings.ToLower(mdns.Fqdn(name))] = f
	s.mu.Unlock()
}

// Sign makes answers about the zones, and all names below them, validated: the AD bit is
// set. "." is every name. An answer that goes through an alias into a zone that is not
// signed is not.
func (s *Server) Sign(zones ...string) {
	s.mu.Lock()
	for _, z := range zones {
		s.signed = append(s.signed, strings.ToLower(mdns.Fqdn(z)))
	}
	s.mu.Unlock()
}

// secure reports whether every name of an answer is in a signed zone.
func (s *Server) secure(m *mdns.Msg) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{m.Question[0].Name}
	for _, rr := range m.Answer {
		names = append(names, rr.Header().Name)
		if c, ok := rr.(*mdns.CNAME); ok && m.Question[0].Qtype != mdns.TypeCNAME {
			names = append(names, c.Target)
		}
	}
	return !slices.ContainsFunc(names, func(n string) bool {
		return !slices.ContainsFunc(s.signed, func(zone string) bool { return mdns.IsSubDomain(zone, n) })
	})
}

// Queries returns how often name was asked for a type.
func (s *Server) Queries(name string, t dns.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[strings.ToLower(mdns.Fqdn(name))+" "+t.String()]
}

// Hold makes every answer wait until the returned function is called.
func (s *Server) Hold() (release func()) {
	hold := make(chan struct{})
	s.mu.Lock()
	s.hold = hold
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.hold = nil
		s.mu.Unlock()
		close(hold)
	})
}

func (s *Server) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		packet := append([]byte(nil), buf[:n]...)
		s.wait.Go(func() {
			for _, out := range s.answer(packet, false) {
				_, _ = s.udp.WriteTo(out, from)
			}
		})
	}
}

func (s *Server) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.wait.Go(func() {
			s.converse(c)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *Server) converse(c net.Conn) {
	co := &mdns.Conn{Conn: c}
	m, err := co.ReadMsg()
	if err != nil {
		return
	}
	packed, err := m.Pack()
	if err != nil {
		return
	}
	for _, out := range s.answer(packed, true) {
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(out)))
		_, _ = c.Write(append(framed, out...))
	}
}

// answer returns the messages that are sent back for one question.
func (s *Server) answer(packet []byte, tcp bool) [][]byte {
	q := new(mdns.Msg)
	if q.Unpack(packet) != nil || len(q.Question) != 1 {
		return nil
	}
	name := strings.ToLower(q.Question[0].Name)
	s.mu.Lock()
	s.queries[name+" "+dns.Type(q.Question[0].Qtype).String()]++
	fault, own := s.faults[name]
	if !own {
		fault = s.faults["."]
	}
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m := s.truth(q)
	if fault == Garbage {
		return [][]byte{append(packet[:2:2], 0x80, 0x80, 0, 1, 0, 9, 0, 9, 0, 0, 0xc0, 0x0c, 0xff)}
	}
	if fault == Silent || fault == CloseTCP && tcp || !bend(m, q, fault, tcp) {
		return nil
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	if !tcp && len(packed) > 1232 {
		m.Answer, m.Truncated = nil, true
		if packed, err = m.Pack(); err != nil {
			return nil
		}
	}
	return [][]byte{packed}
}

// truth is the answer of the zone, as a recursive resolver would give it.
func (s *Server) truth(q *mdns.Msg) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	m.Compress = true
	var status dns.Status
	m.Answer, status = s.zone.Records(q.Question[0].Name, dns.Type(q.Question[0].Qtype))
	if status == dns.NoDomain {
		m.Rcode = mdns.RcodeNameError
	}
	if status != dns.Found {
		if soa, _ := s.zone.Records(".", dns.Type(mdns.TypeSOA)); len(soa) > 0 {
			m.Ns = soa
		}
	}
	m.AuthenticatedData = s.secure(m)
	return m
}

// bend changes a true answer into a faulty one; false: nothing is to be sent.
func bend(m, q *mdns.Msg, fault Fault, tcp bool) bool {
	switch fault {
	case ServFail:
		m.Answer, m.Ns, m.Rcode = nil, nil, mdns.RcodeServerFailure
	case Refused:
		m.Answer, m.Ns, m.Rcode = nil, nil, mdns.RcodeRefused
	case Truncate, CloseTCP:
		if !tcp {
			m.Answer, m.Truncated = nil, true
		}
	case TruncateAll:
		m.Answer, m.Truncated = nil, true
	case Lame:
		m.Answer, m.Ns, m.RecursionAvailable, m.Authoritative = nil, nil, false, false
	case WrongID:
		m.Id ^= 0x5555
	case WrongQuestion:
		m.Question[0].Name = "other.test."
	case NoEDNS:
		if q.IsEdns0() != nil {
			m.Answer, m.Ns, m.Rcode = nil, nil, mdns.RcodeFormatError
		}
	case Poison:
		poison(m, q.Question[0].Name)
	case AliasOnly:
		m.Answer = m.Answer[:min(1, len(m.Answer))]
	}
	return true
}

// poison adds records that nobody asked for.
func poison(m *mdns.Msg, name string) {
	for _, text := range []string{
		"mx.victim.test. 86400 A 127.0.0.66",
		"victim.test. 86400 MX 0 mx.evil.test.",
		name + " 86400 CH TXT \"x\"",
	} {
		if rr, err := mdns.NewRR(text); err == nil {
			m.Answer = append([]mdns.RR{rr}, m.Answer...)
			m.Extra = append(m.Extra, rr)
		}
	}
}
