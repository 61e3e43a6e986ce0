package forecast

import (
	"net/netip"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

func (s *sim) ask(q question) uint32 {
	if n := len(s.freeQ); n > 0 {
		h := s.freeQ[n-1]
		s.freeQ = s.freeQ[:n-1]
		s.questions[h] = q
		return h
	}
	s.questions = append(s.questions, q)
	return uint32(len(s.questions) - 1)
}

func (s *sim) answer(h uint32) {
	q := s.questions[h]
	s.questions[h] = question{}
	s.freeQ = append(s.freeQ, h)
	switch {
	case q.rebind != nil:
		s.step(s.bindings.heirs(q.rebind, s.resolver))
		return
	case q.recall != nil:
		s.recall(q.recall)
		return
	}
	a := &q.resolve
	domain := s.domainOf[a.Domain]
	lane := s.laneOf(lane{s.bindings.number(a.Binding), domain})
	ev := sched.Resolved{Binding: a.Binding, Domain: a.Domain, Until: s.now + ttl, Class: mail.ClassDelivered}
	if lane.rolled {
		ev.Routing, ev.Policy = lane.routing, lane.policy
	}
	if lane.own.Gateway == "" {
		ev.MX = hostNames(&s.Load.Domains[domain])
		ev.Best = len(ev.MX)
	}
	for _, h := range s.hosts(domain, lane.policy) {
		ev.Hosts = append(ev.Hosts, sched.RouteHost{
			Name: h.Name, Preference: 10, Addresses: h.Addresses, Port: 25, TLS: tlsOf(lane.policy),
			Policy: s.resolver.Host(a.Binding, h.Name, h.Addresses),
		})
	}
	s.step(ev)
}

// hosts is where the mail of a domain may go: all its hosts are equals.
func (s *sim) hosts(domain uint32, p *policy.Queue) []Host {
	if x := p.Session; x != nil && x.Gateway != "" {
		return []Host{{Name: x.Gateway, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{240, 0, 0, 0})}}}
	}
	hosts := s.Load.Domains[domain].Hosts
	return hosts[:min(len(hosts), max(p.MaxMXHosts, 1))]
}

func tlsOf(p *policy.Queue) sched.TLS {
	if p.Session != nil && p.Session.TLS == policy.TLSNo {
		return sched.TLSNo
	}
	return sched.TLSIfAvailable
}

func (s *sim) connect(a *sched.Connect) {
	h := uint32(0)
	if n := len(s.freeConn); n > 0 {
		h = s.freeConn[n-1]
		s.freeConn = s.freeConn[:n-1]
	} else {
		h = uint32(len(s.conn))
		s.conn = append(s.conn, conn{})
	}
	c := &s.conn[h]
	*c = conn{id: a.Conn, gen: c.gen + 1, domain: s.domainOf[a.Domain], opened: *a}
	c.counted = s.counts.open(s.resolver, a, s.laneOf(lane{s.bindings.number(a.Binding), c.domain}))
	s.conns[a.Conn] = h
	s.result.Connections++
	s.result.PeakConnections = max(s.result.PeakConnections, len(s.conns))
	s.agenda.add(s.now+roundsUp*int64(s.Latency), connected, h, c.gen)
}

func (s *sim) connHappens(x happening, c *conn) {
	switch x.what {
	case connected:
		if c.ending {
			return
		}
		c.up = true
		id := c.id
		s.step(sched.Connected{Conn: id, TLS: true})
		s.step(sched.Wants{Conn: id, N: 1})
	case done:
		s.transacted(x.of)
	case gone:
		id := c.id
		s.counts.closed(c.counted)
		delete(s.conns, id)
		*c = conn{gen: c.gen + 1}
		s.freeConn = append(s.freeConn, x.of)
		s.step(sched.Closed{Conn: id})
	}
}

// deliver takes a part; the first begins at once, a second one waits behind it.
func (s *sim) deliver(a *sched.Deliver) {
	h := s.conns[a.Conn]
	c := &s.conn[h]
	if d := domainOf(a.Message); d != c.domain {
		s.moves(c, d)
	}
	c.parts[c.n] = part{a.Part, a.Message, a.Recipients}
	if c.n++; c.n == 1 {
		s.transact(h, c)
	}
}

// moves counts a connection where the mail counts that it goes on with.
func (s *sim) moves(c *conn, domain uint32) {
	s.counts.closed(c.counted)
	lane := s.laneOf(lane{s.bindings.number(c.opened.Binding), domain})
	c.domain, c.opened.Domain, c.opened.Policy = domain, s.Load.Domains[domain].Name, lane.policy
	c.counted = s.counts.open(s.resolver, &c.opened, lane)
}

// recall gives a part back that has not been begun.
func (s *sim) recall(a *sched.Recall) {
	h, ok := s.conns[a.Conn]
	if !ok {
		return
	}
	if c := &s.conn[h]; c.n == 2 && c.parts[1].id == a.Part {
		c.n--
		c.parts[1] = part{}
		s.step(sched.Returned{Conn: a.Conn, Part: a.Part})
	}
}

// transact begins the first part of a connection, as far as its end is foreseen.
func (s *sim) transact(h uint32, c *conn) {
	service := s.Load.Domains[c.domain].Service
	if service == 0 || !s.Measured {
		service = s.Service + roundsOne*s.Latency
		if s.Bandwidth > 0 {
			service += time.Duration(sizeOf(c.parts[0].message) * int64(time.Second) / s.Bandwidth)
		}
	}
	s.agenda.add(s.now+int64(service), done, h, c.gen)
}

func (s *sim) transacted(h uint32) {
	c := &s.conn[h]
	p := c.parts[0]
	c.parts[0], c.parts[1] = c.parts[1], part{}
	c.n--
	id := c.id
	s.step(sched.Attempted{Conn: id, Part: p.id, Outcomes: s.outcomes(p.rcpt)})
	c = &s.conn[h] // the step may have opened connections
	if c.ending {
		s.end(h, c)
		return
	}
	if c.n > 0 {
		s.transact(h, c)
	}
	s.step(sched.Wants{Conn: id, N: 1}) // the next but one, while the next is in hand
}

// outcomes says that every recipient was taken.
func (s *sim) outcomes(rcpt []int) []mail.Outcome {
	n := len(rcpt)
	if n > 0 && rcpt[0] == 0 && rcpt[n-1] == n-1 {
		for i := len(s.taken); i < n; i++ {
			s.taken = append(s.taken, taken(i))
		}
		return s.taken[:n:n]
	}
	out := make([]mail.Outcome, n)
	for i, r := range rcpt {
		out[i] = taken(r)
	}
	return out
}

func taken(r int) mail.Outcome {
	return mail.Outcome{Recipient: r, Class: mail.ClassDelivered, Reply: mail.Reply{Code: 250, Text: "simulated"}}
}

func (s *sim) close(a *sched.Close) {
	h := s.conns[a.Conn]
	c := &s.conn[h]
	if c.ending {
		return
	}
	c.ending = true
	if c.n == 0 {
		s.end(h, c)
	}
}

// end has the receiver let go, a round trip after QUIT.
func (s *sim) end(h uint32, c *conn) {
	s.agenda.add(s.now+int64(s.Latency), gone, h, c.gen)
}

func (s *sim) account(a *sched.Account) {
	s.recorded = a.Seq
	s.write()
	switch a.Kind {
	case sched.RecordDelivered:
		n := len(a.Outcomes)
		s.result.Delivered += n
		s.result.Transactions++
		s.history.delivered(s.now-begin, a.Message.Millis(), n)
	case sched.RecordBounced:
		s.result.Failed += len(a.Outcomes)
	}
}

func (s *sim) store(seq uint64) {
	s.stored = seq
	s.write()
}

func (s *sim) write() {
	if !s.writing {
		s.writing = true
		s.agenda.add(s.now+writeLag, written, 0, 0)
	}
}
