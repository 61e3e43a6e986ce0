package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Message is one message for one domain.
type Message struct {
	At         time.Duration // after the beginning
	Domain     uint32        // index into Load.Domains
	Binding    uint32        // index into Load.Bindings; 0: whichever the configuration has
	Tenant     uint32        // index into Load.Tenants; 0: none
	Job        uint32        // index into Load.Jobs; 0: none
	Recipients uint16
	Size       uint32 // octets
}

// Domain is where messages go.
type Domain struct {
	Name  string
	Hosts []Host
	// Service is how long a transaction takes; 0: as the options say.
	Service time.Duration
}

// Host is a receiver.
type Host struct {
	Name      string
	Addresses []netip.Addr
}

// Load is the mail of a simulation.
type Load struct {
	Domains []Domain
	// Bindings are named as the log names them; the group of each takes over where the
	// configuration has no such binding. The first of Bindings, Tenants and Jobs is none.
	Bindings []Binding
	Tenants  []string
	Jobs     []string

	Messages []Message // in order of time; nil: drawn
	Source   string    // in words
	Passed   int       // lines of the log that were no records

	drawn int // how many are drawn
	over  time.Duration
	seed  uint64
}

// Binding is a binding of the load with its group.
type Binding struct{ Name, Group string }

// Count is how many messages there are.
func (l *Load) Count() int {
	if l.Messages != nil {
		return len(l.Messages)
	}
	return l.drawn
}

// Drawn makes up a load: messages of one recipient and 20 KB, spread over a time (0: all
// are there at the start) and over so many domains, the n-th of them with a share of 1/n.
// The first domains are those that are named; the others d1.simulated.test and so on.
func Drawn(named []string, domains, messages int, over time.Duration, seed uint64) (*Load, error) {
	switch {
	case domains < 1 || messages < 1:
		return nil, fmt.Errorf("a load of %d messages to %d domains: there must be one of each at least", messages, domains)
	case domains > 10_000_000 || messages > 1_000_000_000:
		return nil, fmt.Errorf("a load of %d messages to %d domains: at most a billion messages and ten million domains", messages, domains)
	case over < 0:
		return nil, fmt.Errorf("messages cannot come over %v", over)
	}
	l := &Load{
		Bindings: []Binding{{}}, Tenants: []string{""}, Jobs: []string{""}, drawn: messages, over: over, seed: seed,
		Source: fmt.Sprintf("%d messages to %d domains", messages, domains),
	}
	if over > 0 {
		l.Source += fmt.Sprintf(" over %v", over)
	} else {
		l.Source += ", all there at the start"
	}
	for i := range domains {
		name := fmt.Sprintf("d%d.simulated.test", i+1-len(named))
		if i < len(named) {
			name = named[i]
		}
		l.Domains = append(l.Domains, Domain{Name: name, Hosts: []Host{OwnHost(name, i)}})
	}
	return l, nil
}

// OwnHost is the host that a domain has when none is known: mx.DOMAIN, with an address of
// its own from 240.0.0.0/4, which is nobody's.
func OwnHost(domain string, i int) Host {
	n := uint32(0xf0000001) + uint32(i)
	return Host{Name: "mx." + domain, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})}}
}

// messages is a load being read.
type messages struct {
	*Load
	i    int
	at   float64
	rng  *rand.Rand
	draw popularity
}

func (l *Load) messages() *messages {
	m := &messages{Load: l}
	if l.Messages == nil {
		m.rng = rand.New(rand.NewPCG(l.seed, 3))
		m.draw = popular(len(l.Domains))
	}
	return m
}

// next reads the next message into x.
func (m *messages) next(x *Message) bool {
	if m.i >= m.Count() {
		return false
	}
	m.i++
	if m.Messages != nil {
		*x = m.Messages[m.i-1]
		return true
	}
	*x = Message{At: time.Duration(m.at), Domain: uint32(m.draw.domain(m.rng)), Recipients: 1, Size: 20_000}
	// What is left of the time is spread over what is left of the messages, at random.
	m.at += (float64(m.over) - m.at) * (1 - math.Pow(m.rng.Float64(), 1/float64(m.Count()-m.i+1)))
	return true
}

// popularity draws domains: the n-th has a share of 1/n.
type popularity struct{ sum []float64 }

func popular(n int) popularity {
	p := popularity{make([]float64, n)}
	sum := 0.0
	for i := range p.sum {
		sum += 1 / float64(i+1)
		p.sum[i] = sum
	}
	return p
}

func (p popularity) domain(r *rand.Rand) int {
	x := r.Float64() * p.sum[len(p.sum)-1]
	lo, hi := 0, len(p.sum)-1
	for lo < hi {
		if mid := (lo + hi) / 2; p.sum[mid] <= x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
