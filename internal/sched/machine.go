package sched

import (
	"math/rand/v2"

	"github.com/sluice-mta/sluice/internal/handles"
	"github.com/sluice-mta/sluice/internal/limit"
	"github.com/sluice-mta/sluice/internal/policy"
)

// budget is the most visits of one Step (S10).
const budget = 256

// maxBacklog bounds outcomes that accounting or the spool have not written yet. Above
// it no part is handed out.
const maxBacklog = 20000

// Config is what a Machine starts with.
type Config struct {
	Seed       uint64 // of the machine's own source: jitter, spread over equal hosts
	Generation uint64 // of the snapshot that gave Server and Tenants
	Server     policy.Server
	Tenants    map[string]int // weight by name; those not named weigh 1
	Observe    func(Waited)   // told of every wait that is over; must not call the Machine; nil: nobody is
}

// Machine is the scheduler. It is not safe for concurrent use: its driver holds the
// one lock around Step, Drain and every query.
type Machine struct {
	now    int64
	out    []Action
	visits int   // left in this step
	wake   int64 // the time asked for by the last WakeAt, neverTime if none stands

	rng        *rand.Rand
	generation uint64
	server     policy.Server
	weights    map[string]int

	observe func(Waited)

	wheel   wheel
	limits  *limit.Engine
	sources sources
	open    limit.CounterID

	names     names
	messages  slab[message]
	byAge     list // of messages, the oldest first
	parts     slab[part]
	runs      slab[run]
	turns     slab[turn]
	rings     slab[rings]
	turnOf    map[turnKey]uint32
	jobNames  slab[jobName]
	jobOf     map[string]uint32
	lanes     slab[lane]
	laneIndex handles.Index
	queues    slab[queue]
	served    slab[served]
	queueOf   map[queueKey]uint32
	places    slab[place] // addresses of hosts
	placeOf   map[placeKey]uint32
	siteOf    map[siteKey]*site
	rulesBy   map[*policy.Queue]*rules // those of the newest configuration
	reloads   uint32
	rests     slab[ownRest]
	mores     slab[laneMore]
	hosts     slab[host] // hosts as seen from a binding
	hostOf    map[hostKey]uint32
	conns     slab[conn]
	gates     slab[gate]
	gate      uint32 // trouble of the whole machine
	identity  []int  // 0, 1, 2, ...: recipients of a contiguous part are a piece of it

	dirty fifo[uint32] // queues to look at
	waked fifo[uint32] // gates whose waiters are to be woken
	roomy fifo[uint32] // hosts that take further connections, likewise
	jobs  fifo[*job]

	urgent fifo[*job] // what must be done before anything is opened

	terms map[uint32]terms // of messages that have some, by handle; looked up, never ranged over

	results  fifo[result] // outcomes that wait for accounting
	unstored fifo[stored] // spool changes that wait for the spool
	account  uint64       // last number given
	recorded uint64       // all up to here are written
	change   uint64
	saved    uint64

	causes  slab[cause] // what queues wait for (wait.go)
	tallies []tally
	tallyOf map[string]uint16
	aging   fifo[aged]

	suspensions suspensions
	strays      fifo[PartID] // parts in queues of bindings that cannot send, others can
	able        []Candidate  // what heirs found last
	sweeping    sweepFor     // what a sweep over all parts is under way for, and
	sweepNext   sweepFor     // the next one
	recovered   int64        // when the last recovered message came
	sick        bool         // the spool cannot write
	stopping    bool
	held        bool // hand-outs are held back by sick or by the backlog

	// What choose found last.
	cand     []choice
	full     []limit.Blocker   // of hosts that are full
	way      []limit.CounterID // path of the first address that is blocked
	tolls    []limit.Toll
	pathRoom []limit.CounterID // what pathOf and faresOf returned last
	fareRoom []fare
	shut     []uint32 // gates of hosts that are busy
	missed   []uint32 // addresses that have failed
	refused  []uint32 // gates of better hosts that refuse everything
	crowds   []uint32 // hosts to which enough connections are being opened

	// While a queue is looked at.
	turn    limit.CounterID // the throttle whose turn it has
	handing uint32          // the queue, while it hands out
	dry     []dryConn       // its open connections that lack tokens

	messageAt, partAt, queueAt, underAt, connAt, openAt func(h uint32) (prev, next *uint32)
	spareAt                                             func(h uint32) (prev, next *uint32)
}

// New returns a machine without mail.
func New(cfg Config) *Machine {
	m := &Machine{
		wake: neverTime, generation: cfg.Generation, server: cfg.Server, weights: cfg.Tenants, observe: cfg.Observe,
		rng:    rand.New(rand.NewPCG(cfg.Seed, 0x736c75696365)),
		limits: limit.New(), sources: newSources(), names: newNames(),
		turnOf: map[turnKey]uint32{}, jobOf: map[string]uint32{}, queueOf: map[queueKey]uint32{},
		siteOf: map[siteKey]*site{}, rulesBy: map[*policy.Queue]*rules{}, placeOf: map[placeKey]uint32{}, hostOf: map[hostKey]uint32{},
		terms: map[uint32]terms{},
	}
	m.messageAt = func(h uint32) (prev, next *uint32) { x := m.messages.at(h); return &x.prev, &x.next }
	m.partAt = func(h uint32) (prev, next *uint32) { p := m.parts.at(h); return &p.prev, &p.next }
	m.queueAt = func(h uint32) (prev, next *uint32) { q := m.queues.at(h); return &q.prev, &q.next }
	m.laneIndex.Hash = func(h uint32) uint64 { return m.lanes.at(h).key.hash() }
	m.underAt = func(h uint32) (prev, next *uint32) { l := m.lanes.at(h); return &l.uprev, &l.unext }
	m.openAt = func(h uint32) (prev, next *uint32) { c := m.conns.at(h); return &c.lprev, &c.lnext }
	m.connAt = func(h uint32) (prev, next *uint32) { c := m.conns.at(h); return &c.prev, &c.next }
	m.spareAt = func(h uint32) (prev, next *uint32) { c := m.conns.at(h); return &c.over, &c.low }
	m.initCauses()
	m.openFiles()
	return m
}

func (m *Machine) messageList(l *list) links { return links{l, m.messageAt} }
func (m *Machine) partList(l *list) links    { return links{l, m.partAt} }
func (m *Machine) queueList(l *list) links   { return links{l, m.queueAt} }
func (m *Machine) underList(l *list) links   { return links{l, m.underAt} }
func (m *Machine) openList(l *list) links    { return links{l, m.openAt} }
func (m *Machine) connList(l *list) links    { return links{l, m.connAt} }

// Step takes in one event at the time now (ns of CLOCK_BOOTTIME; a time before the
// last one counts as the last one). Work that the event begins and that exceeds the
// budget of one step goes on at the next Step; WakeAt asks for it.
func (m *Machine) Step(now int64, ev Event) {
	m.now = max(m.now, now)
	m.visits = budget
	if m.wake <= m.now {
		m.wake = neverTime // what was asked for has come
	}
	m.limits.Advance(m.now)
	m.take(ev)
	m.run()
	m.askWake()
}

// take applies one event. Events about connections and parts that are gone come from
// a race that the driver cannot avoid, and mean nothing.
func (m *Machine) take(ev Event) {
	switch ev := ev.(type) {
	case Submitted:
		m.submit(&ev)
	case Resolved:
		m.resolved(&ev)
	case Connected:
		m.connected(&ev)
	case ConnectFailed:
		m.connectFailed(&ev)
	case Wants:
		m.wants(ev)
	case Attempted:
		m.attempted(&ev)
	case Returned:
		m.returned(ev)
	case Closed:
		m.closed(&ev)
	case Recorded:
		m.recorded = max(m.recorded, ev.Upto)
	case Stored:
		m.saved = max(m.saved, ev.Upto)
		m.health(true)
	case StoreFailed:
		m.health(ev.Healthy)
	case PolicyChanged:
		m.policyChanged(&ev)
	case Rebound:
		m.rebound(&ev)
	case Operator:
		m.operator(&ev)
	case Stop:
		m.stop()
	case Tick:
	}
}

// run works off what is to be done, within the budget: what is written first, because
// it frees connections; then time; then whoever has a turn at a limit; then the rest.
func (m *Machine) run() {
	for m.visits > 0 {
		switch {
		case m.nextUrgent():
		case m.nextResult():
		case m.nextStored():
		case m.nextTimer():
		case m.nextTurn():
		case m.nextRoomy():
		case m.nextDirty():
		case m.nextStray():
		case m.nextWaked():
		case m.nextJob():
		case m.nextAged():
		default:
			return
		}
		m.visits--
	}
}

func (m *Machine) nextTimer() bool {
	kind, ref, ok := m.wheel.pop(m.now)
	if !ok {
		return false
	}
	switch kind {
	case timerPart:
		m.partDue(ref)
	case timerConn:
		m.connTimer(ref)
	case timerGate:
		m.gateTimer(ref)
	case timerLane:
		m.laneTimer(ref)
	case timerPlace:
		m.placeTimer(ref)
	case timerHost:
		m.hostTimer(ref)
	}
	return true
}

func (m *Machine) nextTurn() bool {
	m.limits.Advance(m.now)
	w, from, ok := m.limits.Next()
	if ok {
		m.kick(uint32(w), from)
	}
	return ok || m.limits.Pending()
}

func (m *Machine) nextDirty() bool {
	h, ok := m.dirty.pop()
	if ok {
		m.queues.at(h).dirty = false
		m.kick(h, 0)
		m.dropQueue(h)
	}
	return ok
}

// touch has a queue looked at within this step or the next.
func (m *Machine) touch(h uint32) {
	if q := m.queues.at(h); !q.dirty {
		q.dirty = true
		m.dirty.push(h)
	}
}

// askWake asks for the next Tick if an earlier one does not stand.
func (m *Machine) askWake() {
	at := min(m.wheel.next(), m.limits.WakeAt())
	if m.visits <= 0 {
		at = m.now
	}
	if at < m.wake {
		m.wake = at
		m.emit(WakeAt{At: at})
	}
}

func (m *Machine) emit(a Action) { m.out = append(m.out, a) }

// Drain appends the actions emitted since the last Drain to buf[:0], in order, and
// returns it. The machine keeps none of them.
func (m *Machine) Drain(buf []Action) []Action {
	buf = append(buf[:0], m.out...)
	clear(m.out)
	m.out = m.out[:0]
	return buf
}
