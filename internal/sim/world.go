package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// World is a machine with everything around it, in virtual time.
type World struct {
	// Check recounts the machine's invariants after every step, or, with much mail, after
	// some.
	Check bool

	m       *sched.Machine
	seed    uint64
	rng     *rand.Rand
	now     int64
	begin   int64
	agenda  agenda
	seq     uint64
	epoch   int // grows with each crash: what was under way then is lost
	wakeAt  int64
	buf     []sched.Action
	trace   trace
	failure error // the first one

	rules      rules                 // the configuration of a scenario
	rebounds   map[string][]string   // by domain: bindings that were offered its mail in another one's place
	routes     map[string][]way      // where the mail of a binding and domain was last told to go
	told       map[string]*lastTold  // by binding and domain
	was        func(whose) []ceiling // the table of the configuration before
	wall       int64                 // what the wall clock is ahead of the machine's: it may be set
	conf       *conf                 // that of a random world; nil: the rules hold
	generation uint64
	receivers  map[string]*Receiver // by host
	domains    map[string]*domain
	bindings   map[string]*binding
	conns      map[sched.ConnID]*conn
	referee    referee
	books      books
	spool      spool
	facts      map[string]sched.Suspension // what is remembered
	keys       []string                    // in the order in which they came
	messages   int
	stopped    bool
	Steps      int
	Recalled   int // parts that were given back because they were asked back
	MostActs   int // most actions of one step
	nextCheck  int
	audit      sched.WaitAudit
	ends       *ends // nil: nobody judges them
	Logs       []sched.Log
}

type domain struct {
	hosts []mxHost
	fails mail.Class // what DNS says, when it does not resolve
}

type mxHost struct {
	name       string
	preference int
	tls        sched.TLS
}

type binding struct {
	name, group string
	weight      int
	trouble     sched.ConnectClass // connections from it fail so
	troubleTo   string             // only those to this host
	only6       bool               // only those over IPv6
	gone        bool               // the configuration has it no more
}

// New returns an empty world.
func New(seed uint64) *World {
	w := &World{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), now: int64(time.Hour), wakeAt: never,
		receivers: map[string]*Receiver{}, domains: map[string]*domain{}, bindings: map[string]*binding{},
		conns: map[sched.ConnID]*conn{}, routes: map[string][]way{}, told: map[string]*lastTold{}, rebounds: map[string][]string{},
	}
	w.begin = w.now
	w.trace.reset()
	w.books.reset()
	w.referee.reset()
	w.spool.reset()
	return w
}

// mostSteps is beyond what a random world takes: one that takes more goes round in circles.
const mostSteps = 1_000_000

const never = int64(1) << 62

// machine starts the machine when it is first needed, so that a world can be
// furnished before.
func (w *World) machine() *sched.Machine {
	if w.m == nil {
		w.m = sched.New(sched.Config{Seed: w.seed, Generation: w.generation, Server: w.serverPolicy(), Tenants: w.tenantWeights()})
	}
	return w.m
}

// Since is the virtual time that has passed.
func (w *World) Since() time.Duration { return time.Duration(w.now - w.begin) }

// Err is the first thing that went wrong.
func (w *World) Err() error { return w.failure }

func (w *World) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("seed %d at %v: %s", w.seed, w.Since(), fmt.Sprintf(format, args...))
	}
}

// Hash is the hash of all events and actions so far.
func (w *World) Hash() uint64 { return w.trace.sum }

// Run lets virtual time pass.
func (w *World) Run(d time.Duration) {
	end := w.now + int64(d)
	for w.failure == nil && len(w.agenda) > 0 && w.agenda[0].at <= max(end, w.now) {
		e := heap.Pop(&w.agenda).(entry)
		w.now = max(w.now, e.at) // what was to happen while the server was down happens when it is up again
		if e.epoch == w.epoch || e.epoch == always {
			e.do()
		}
	}
	w.now = max(w.now, end)
}

// RunUntilQuiet lets time pass until nothing more is going to happen, d at most.
func (w *World) RunUntilQuiet(d time.Duration) bool {
	end := w.now + int64(d)
	for w.failure == nil && len(w.agenda) > 0 && w.agenda[0].at <= end {
		w.Run(time.Duration(w.agenda[0].at - w.now))
	}
	return len(w.agenda) == 0
}

// after has something happen later.
func (w *World) after(d time.Duration, do func()) { w.at(w.now+int64(max(d, 0)), do) }

// client has something happen later whatever becomes of the server.
func (w *World) client(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.agenda, entry{w.now + int64(d), w.seq, always, do})
}

const always = -1

func (w *World) at(t int64, do func()) {
	w.seq++
	heap.Push(&w.agenda, entry{t, w.seq, w.epoch, do})
}

// step gives the machine an event and carries out what it answers.
func (w *World) step(ev sched.Event) {
	if w.failure != nil {
		return
	}
	m := w.machine()
	if w.Steps++; w.conf != nil && w.Steps > mostSteps {
		w.fail("after %d steps there is no end to it; the last was %T", w.Steps, ev)
		return
	}
	w.trace.event(w.now, ev)
	if w.wakeAt <= w.now {
		w.wakeAt = never
	}
	m.Step(w.now, ev)
	w.buf = m.Drain(w.buf)
	actions := append([]sched.Action(nil), w.buf...)
	w.MostActs = max(w.MostActs, len(actions))
	for _, a := range actions {
		w.trace.action(a)
		w.do(a)
	}
	if w.referee.reloading && w.wakeAt > w.now {
		w.referee.reloading = false // no work is left of the reload
	}
	// A recount takes as long as there is mail: seldom when there is much.
	if w.Check && w.Steps >= w.nextCheck {
		w.nextCheck = w.Steps + 1 + m.Totals(w.now).Parts/32
		if err := m.CheckInvariants(); err != nil {
			w.fail("after %T: %v", ev, err)
		}
		if w.conf != nil && w.Steps%4 == 0 && w.wakeAt > w.now && !w.stopped {
			w.checkWaiters()
		}
	}
	if w.Check {
		if err := m.AuditWaits(&w.audit); err != nil {
			w.fail("after %T: %v", ev, err)
		}
	}
}

func (w *World) do(a sched.Action) {
	switch a := a.(type) {
	case sched.Resolve:
		w.resolve(a)
	case sched.Connect:
		w.connect(a)
	case sched.Deliver:
		w.deliver(a)
	case sched.Recall:
		w.recall(a)
	case sched.Close:
		w.close(a)
	case sched.Account:
		w.record(a)
	case sched.Persist:
		w.store(a.Seq, a.Message, a.States, false)
	case sched.Bounce:
		w.bounced(a)
		w.store(a.Seq, a.Message, a.States, a.Last, func() { w.ends.reported(w, a) })
	case sched.Finish:
		w.store(a.Seq, a.Message, nil, true)
	case sched.Remember:
		w.remember(a)
	case sched.Rebind:
		w.rebind(a)
	case sched.WakeAt:
		w.wake(a.At)
	case sched.Log:
		w.Logs = append(w.Logs, a)
	}
}

// wake schedules the Tick that the machine asks for; it replaces the one before.
func (w *World) wake(at int64) {
	at = max(at, w.now)
	w.wakeAt = at
	w.at(at, func() {
		if w.wakeAt == at {
			w.step(sched.Tick{})
		}
	})
}

// vary spreads a latency by half to either side.
func (w *World) vary(d time.Duration) time.Duration {
	if d <= 1 {
		return d
	}
	return d/2 + time.Duration(w.rng.Int64N(int64(d)))
}

// agenda is what is going to happen, by time and then in the order it was set.
type agenda []entry

type entry struct {
	at    int64
	seq   uint64
	epoch int
	do    func()
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(entry)) }
func (a *agenda) Pop() any {
	old := *a
	e := old[len(old)-1]
	*a = old[:len(old)-1]
	return e
}
