// Package forecast answers what a configuration would do with a load: the scheduler of
// the server, in virtual time, against receivers that are modelled simply.
//
//	Load (drawn, or from accounting) ─> Submitted ─┐
//	                                               ▼
//	     agenda: what happens when ───────> sched.Machine ──> Connect, Deliver, Close, ...
//	        ▲                                                        │
//	        └── receivers: latency, time for a message, accept ──────┘
//
// It counts connections for itself, from Connect to Closed, by the limits of the
// configuration. What is assumed of receivers and of DNS is in the manual (simulate.md).
package forecast

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Options are what a simulation runs with.
type Options struct {
	Snapshot *policy.Snapshot
	Load     *Load
	Receivers
	Until time.Duration // of virtual time; 0: until everything is done
	Seed  uint64
	// Progress is told now and then how many messages of how many have come to their end,
	// and how much virtual time has passed. May be nil.
	Progress func(done, of int, passed time.Duration)
}

// Receivers are the model of who takes the mail.
type Receivers struct {
	Latency   time.Duration // of a round trip; a connection takes four until it is ready, a transaction two
	Service   time.Duration // that a receiver takes for a message, besides
	Bandwidth int64         // octets a second over one connection; 0: no bound
	Measured  bool          // a transaction takes what it took by the log, where that is known
}

// sim is one simulation.
type sim struct {
	Options
	machine  *sched.Machine
	resolver *config.Resolver
	now      int64
	wakeAt   int64
	agenda   agenda
	actions  []sched.Action
	messages *messages
	coming   Message
	more     bool

	conns     map[sched.ConnID]uint32
	conn      []conn
	freeConn  []uint32
	questions []question
	freeQ     []uint32
	lanes     map[lane]*laneInfo
	domainOf  map[string]uint32
	rolled    map[uint32]bool // domains under a rollup
	under     map[string]bool // the rollups that have domains
	asked     bool            // the configuration has a say on rollups
	recorded  uint64          // highest number that accounting has not been told to have written
	stored    uint64
	writing   bool

	indices  []int
	taken    []mail.Outcome // recipients 0, 1, ...: delivered
	bindings *assigner
	counts   *counts
	result   Result
	history  *history
}

type lane struct{ binding, domain uint32 }

// question is one that has not been answered: where mail may go, or which binding may
// take it over.
type question struct {
	resolve sched.Resolve
	rebind  *sched.Rebind
	recall  *sched.Recall // of a part that waits behind another one
}

// conn is one connection.
type conn struct {
	id      sched.ConnID
	domain  uint32 // whose mail it carries
	gen     uint32
	parts   [2]part
	n       uint8
	up      bool
	ending  bool
	counted []int32
	opened  sched.Connect
}

type part struct {
	id      sched.PartID
	message mail.ID
	rcpt    []int
}

const (
	begin     = int64(time.Hour)
	lookup    = int64(2 * time.Millisecond)
	writeLag  = int64(2 * time.Millisecond)
	ttl       = int64(time.Hour)
	roundsUp  = 4 // round trips until a session is ready: TCP, greeting, EHLO, TLS
	roundsOne = 2 // of a transaction: the envelope, the content
)

// Run simulates. It returns early, with what there is, when ctx ends.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Latency < 0 || o.Service < 0 || o.Bandwidth < 0 || o.Until < 0 {
		return nil, fmt.Errorf("simulate: latency, service, bandwidth and until cannot be negative")
	}
	s := &sim{
		Options: o, resolver: config.NewResolver(o.Snapshot), now: begin, wakeAt: never,
		messages: o.Load.messages(), conns: map[sched.ConnID]uint32{}, conn: make([]conn, 1),
		lanes: map[lane]*laneInfo{}, domainOf: make(map[string]uint32, len(o.Load.Domains)),
		rolled: map[uint32]bool{}, under: map[string]bool{},
		history: newHistory(), counts: newCounts(),
	}
	for i := range o.Load.Domains {
		s.domainOf[o.Load.Domains[i].Name] = uint32(i)
	}
	s.bindings = newAssigner(o.Snapshot, o.Load, o.Seed)
	s.machine = sched.New(sched.Config{
		Seed: o.Seed, Server: o.Snapshot.Server(0), Tenants: o.Snapshot.Tenants, Observe: s.waited,
	})
	s.more = s.messages.next(&s.coming)
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.finish(), nil
}

// run lets happen what is to happen, in order.
func (s *sim) run(ctx context.Context) error {
	for n := 0; ; n++ {
		if n%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("simulate: %w", err)
			}
			if s.Progress != nil {
				s.Progress(s.result.Delivered+s.result.Failed, s.Load.Count(), time.Duration(s.now-begin))
			}
		}
		at, arrives := s.agenda.next(), false
		if s.more && begin+int64(s.coming.At) <= at {
			at, arrives = begin+int64(s.coming.At), true
		}
		if at == never || s.Until > 0 && at > begin+int64(s.Until) {
			return nil
		}
		s.now = at
		if arrives {
			s.submit()
			continue
		}
		s.happen(s.agenda.pop())
	}
}

func (s *sim) happen(x happening) {
	switch x.what {
	case tick:
		if s.wakeAt == x.at {
			s.wakeAt = never
			s.step(sched.Tick{})
		}
	case written:
		s.writing = false
		if s.recorded > 0 {
			upto := s.recorded
			s.recorded = 0
			s.step(sched.Recorded{Upto: upto})
		}
		if s.stored > 0 {
			upto := s.stored
			s.stored = 0
			s.step(sched.Stored{Upto: upto})
		}
	case answered:
		s.answer(x.of)
	default:
		if c := &s.conn[x.of]; c.gen == x.gen {
			s.connHappens(x, c)
		}
	}
}

func (s *sim) step(ev sched.Event) {
	s.result.Events++
	s.machine.Step(s.now, ev)
	s.actions = s.machine.Drain(s.actions)
	// What is done here only adds to the agenda: no action leads to a further step.
	for i := range s.actions {
		s.do(s.actions[i])
	}
}

func (s *sim) do(a sched.Action) {
	switch a := a.(type) {
	case sched.Resolve:
		s.agenda.add(s.now+lookup, answered, s.ask(question{resolve: a}), 0)
	case sched.Connect:
		s.connect(&a)
	case sched.Deliver:
		s.deliver(&a)
	case sched.Recall:
		s.agenda.add(s.now, answered, s.ask(question{recall: &a}), 0)
	case sched.Close:
		s.close(&a)
	case sched.Account:
		s.account(&a)
	case sched.Persist:
		s.store(a.Seq)
	case sched.Bounce:
		s.store(a.Seq)
	case sched.Finish:
		s.store(a.Seq)
	case sched.WakeAt:
		s.wakeAt = max(a.At, s.now)
		s.agenda.add(s.wakeAt, tick, 0, 0) // the one before finds that it is not meant
	case sched.Rebind:
		s.agenda.add(s.now, answered, s.ask(question{rebind: &a}), 0)
	}
}

// submit hands in the message that is due.
func (s *sim) submit() {
	x := s.coming
	s.more = s.messages.next(&s.coming)
	b := s.bindings.of(x.Binding)
	domain := s.Load.Domains[x.Domain].Name
	k := lane{b, x.Domain}
	p := s.laneOf(k)
	s.result.Submitted++
	id := messageID(s.now-begin, s.result.Submitted, x.Domain, x.Size)
	n := max(int(x.Recipients), 1)
	s.step(sched.Submitted{
		Message: id, Tenant: s.Load.Tenants[x.Tenant], Job: s.Load.Jobs[x.Job], Received: s.now, Envelope: noEnvelope,
		Parts: []sched.SubmittedPart{{Binding: s.bindings.names[b], Domain: domain, Policy: p.own, Recipients: s.upto(n), Due: s.now}},
	})
}

var noEnvelope = &mail.Envelope{}

// messageID keeps the time of arrival in ms, the domain and the size in the ID, which is
// all that the simulation has to remember of a message.
func messageID(at int64, n int, domain, size uint32) mail.ID {
	var r [10]byte
	r[0], r[1] = byte(n), byte(n>>8)
	binary.LittleEndian.PutUint32(r[2:], domain)
	binary.LittleEndian.PutUint32(r[6:], size)
	return mail.NewID(at/int64(time.Millisecond), r)
}

func domainOf(id mail.ID) uint32 { return binary.LittleEndian.Uint32(id[8:]) }
func sizeOf(id mail.ID) int64    { return int64(binary.LittleEndian.Uint32(id[12:])) }

// upto is 0, 1, ... n-1; not to be changed.
func (s *sim) upto(n int) []int {
	for i := len(s.indices); i < n; i++ {
		s.indices = append(s.indices, i)
	}
	return s.indices[:n:n]
}
