package sched

import "github.com/sluice-mta/sluice/internal/policy"

// Config is what a Machine starts with.
type Config struct {
	Seed       uint64 // of the machine's own source: jitter, spread over equal hosts
	Generation uint64 // of the snapshot that gave Server and Tenants
	Server     policy.Server
	Tenants    map[string]int // weight by name; those not named weigh 1
}

// Machine is the scheduler. It is not safe for concurrent use: its driver holds the
// one lock around Step, Drain and every query.
type Machine struct {
	now int64
	out []Action
}

// New returns a machine without mail.
func New(cfg Config) *Machine { return &Machine{} }

// Step takes in one event at the time now (ns of CLOCK_BOOTTIME; a time before the
// last one counts as the last one). Work that the event begins and that exceeds the
// budget of one step goes on at the next Step; WakeAt asks for it.
func (m *Machine) Step(now int64, ev Event) { m.now = max(m.now, now) }

// Drain appends the actions emitted since the last Drain to buf[:0], in order, and
// returns it. The machine keeps none of them.
func (m *Machine) Drain(buf []Action) []Action {
	buf = append(buf[:0], m.out...)
	clear(m.out)
	m.out = m.out[:0]
	return buf
}
