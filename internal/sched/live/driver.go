package live

import (
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// Edges is where actions go; see D1 in the package doc.
type Edges interface {
	Resolve(sched.Resolve)
	Rebind(sched.Rebind)
	Remember(sched.Remember)
	Connect(sched.Connect)
	Deliver(sched.Deliver)
	Recall(sched.Recall)
	Close(sched.Close)
	Account(sched.Account)
	Store(sched.Action) // Persist, Bounce, Finish
	Log(sched.Log)
}

// maxSleep bounds one sleep of the wake-up timer: Go's timers count CLOCK_MONOTONIC,
// which stands still while the machine sleeps and CLOCK_BOOTTIME goes on.
const maxSleep = time.Minute

// Driver runs a Machine. Safe for concurrent use.
type Driver struct {
	clock Clock
	edges Edges

	mu      sync.Mutex
	machine *sched.Machine
	actions []sched.Action // reused
	wakeAt  int64          // 0: none asked for
	timer   *time.Timer
	gen     uint64 // generation of the policies that the machine works with
	stopped bool
	watch   Watch // nil: nobody watches
}

// Watch is told, outside the lock, of every use of it: what for, how long one waited for
// it, and how long it was held.
type Watch func(what Use, waited, held time.Duration)

// Use is what the lock is held for.
type Use uint8

const (
	UseStep Use = iota // an event
	UseView            // a look
)

// Watch has w told from now on. It must be called before anything else is.
func (d *Driver) Watch(w Watch) { d.watch = w }

// New returns a Driver for a new Machine.
func New(clock Clock, cfg sched.Config, edges Edges) *Driver {
	d := &Driver{clock: clock, edges: edges, machine: sched.New(cfg), gen: cfg.Generation}
	d.timer = time.AfterFunc(maxSleep, d.tick)
	return d
}

// Clock returns the clocks the driver runs on.
func (d *Driver) Clock() Clock { return d.clock }

// Step gives the machine one event.
func (d *Driver) Step(ev sched.Event) {
	defer d.unlock(UseStep, d.lock())
	d.step(ev)
}

// held is a use of the lock that is going on.
type held struct {
	waited time.Duration
	since  time.Time // zero: nobody watches
}

func (d *Driver) lock() (h held) {
	if d.watch == nil {
		d.mu.Lock()
		return h
	}
	h.since = time.Now()
	if !d.mu.TryLock() {
		d.mu.Lock()
		now := time.Now()
		h.waited, h.since = now.Sub(h.since), now
	}
	return h
}

func (d *Driver) unlock(what Use, h held) {
	d.mu.Unlock()
	if d.watch != nil {
		d.watch(what, h.waited, time.Since(h.since))
	}
}

func (d *Driver) step(ev sched.Event) {
	if d.stopped {
		return
	}
	d.machine.Step(d.clock.Boot(), ev)
	d.actions = d.machine.Drain(d.actions[:0])
	for i, a := range d.actions {
		d.carry(a)
		d.actions[i] = nil // the buffer is reused: let go of what the action points to
	}
}

func (d *Driver) carry(a sched.Action) {
	switch a := a.(type) {
	case sched.Deliver:
		d.edges.Deliver(a)
	case sched.Account:
		d.edges.Account(a)
	case sched.Persist, sched.Bounce, sched.Finish:
		d.edges.Store(a)
	case sched.WakeAt:
		d.sleepUntil(a.At)
	case sched.Connect:
		d.edges.Connect(a)
	case sched.Recall:
		d.edges.Recall(a)
	case sched.Close:
		d.edges.Close(a)
	case sched.Resolve:
		d.edges.Resolve(a)
	case sched.Remember:
		d.edges.Remember(a)
	case sched.Rebind:
		d.edges.Rebind(a)
	case sched.Log:
		d.edges.Log(a)
	default:
		panic("live: an action that no edge carries out")
	}
}

func (d *Driver) sleepUntil(at int64) {
	d.wakeAt = at
	d.timer.Reset(min(maxSleep, max(0, time.Duration(at-d.clock.Boot()))))
}

func (d *Driver) tick() {
	defer d.unlock(UseStep, d.lock())
	if d.stopped || d.wakeAt == 0 {
		return
	}
	if left := d.wakeAt - d.clock.Boot(); left > 0 {
		d.timer.Reset(min(maxSleep, time.Duration(left)))
		return
	}
	d.wakeAt = 0
	d.step(sched.Tick{})
}

// Halt makes the driver deaf: events that come later are dropped. For the very end of
// a stop, when connections have closed or are being cut.
func (d *Driver) Halt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	d.timer.Stop()
}

// View runs a read-only query on the machine under the lock; it must be short.
func (d *Driver) View(query func(m *sched.Machine, now int64)) {
	defer d.unlock(UseView, d.lock())
	query(d.machine, d.clock.Boot())
}
