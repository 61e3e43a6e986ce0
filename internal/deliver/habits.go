package deliver

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/smtp"
)

const (
	// habitFor is how long a feature is not made use of that a receiver offered and did not do.
	habitFor = 24 * time.Hour
	// mostHabits bounds how many addresses are remembered at least; at most twice as many are.
	mostHabits = 10_000
)

// Habit is what is known of a receiver's features at one address.
type Habit struct {
	smtp.Habits
	Until time.Time // those that are broken are made use of again then
}

// place is an address of a host.
type place struct {
	host string
	addr netip.Addr
}

// habits is the memory of what receivers offer and do not do, in two generations: what
// nobody asked for during a whole one is forgotten.
type habits struct {
	mu         sync.Mutex
	young, old map[place]Habit
}

// at returns what is known of an address at a time.
func (m *habits) at(p place, now time.Time) Habit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.look(p, now)
}

func (m *habits) look(p place, now time.Time) Habit {
	h, ok := m.young[p]
	if !ok {
		if h, ok = m.old[p]; !ok {
			return Habit{}
		}
		m.keep(p, h)
	}
	if h.Broken != 0 && !now.Before(h.Until) {
		h.Habits, h.Until = smtp.Habits{Proven: h.Proven}, time.Time{}
		m.keep(p, h)
	}
	return h
}

func (m *habits) keep(p place, h Habit) {
	if _, ok := m.young[p]; !ok && len(m.young) >= mostHabits || m.young == nil {
		m.old, m.young = m.young, make(map[place]Habit)
	}
	m.young[p] = h
}

// note takes in what a session has learned: it knew was, and knows is. Other sessions
// with the same address may have learned other things meanwhile.
func (m *habits) note(p place, was, is smtp.Habits, now time.Time) {
	if was == is {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.look(p, now)
	broke, cleared := is.Broken&^was.Broken, was.Broken&^is.Broken
	h.Proven = h.Proven&^broke | is.Proven
	h.Broken = h.Broken&^cleared | broke
	h.Silent = h.Silent&^(broke|cleared) | is.Silent&broke
	if broke != 0 {
		h.Why, h.Until = is.Why, now.Add(habitFor)
	}
	m.keep(p, h)
}

// acquit takes back what no reply speaks for: a session without those features went the
// same way. They are not held to be at fault a second time.
func (m *habits) acquit(p place, f smtp.Feature, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.look(p, now)
	if f &= h.Silent; f == 0 {
		return
	}
	h.Broken &^= f
	h.Silent &^= f
	h.Proven |= f
	m.keep(p, h)
}

// Habit returns what is known of how a host does what it offers at an address.
func (a *Agent) Habit(host string, addr netip.Addr) Habit {
	return a.habits.at(place{host, addr}, a.cfg.Now())
}

// features is what the configuration lets a session make use of.
func features(s *policy.Session) (f smtp.Feature) {
	if s.UsePipelining {
		f |= smtp.Pipelining | smtp.Ahead
	}
	if s.UseChunking {
		f |= smtp.Chunking
	}
	return f
}

// adjust tells the session what it may make use of.
func (c *conn) adjust() {
	c.known = c.agent.Habit(c.action.Host, c.action.Address).Habits
	c.client.Use(features(c.action.Policy.Session), c.known)
}

// learn remembers what a transaction has shown.
func (c *conn) learn(err error, first bool) {
	p, now := place{c.action.Host, c.action.Address}, c.agent.cfg.Now()
	if is := c.client.Habits(); is != c.known {
		c.agent.habits.note(p, c.known, is, now)
		c.known = is
		return
	}
	if kind := endKind(err); first && c.known.Silent != 0 && (kind == smtp.EndLost || kind == smtp.EndTimeout) {
		c.agent.habits.acquit(p, c.known.Silent, now)
	}
}
