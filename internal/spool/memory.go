package spool

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Memory is the form of a Spool that keeps messages in memory: for simulations,
// tests, and as the reference that the disk form is compared with. Nothing outlives
// the process.
type Memory struct {
	mu     sync.Mutex
	live   map[mail.ID]*memoryMessage
	closed bool
}

// NewMemory returns an empty spool.
func NewMemory() *Memory { return &Memory{live: map[mail.ID]*memoryMessage{}} }

// errTwice is a misuse: IDs are unique, and a draft takes the envelope of its own.
var errTwice = errors.New("it is in the spool already, or the draft is of another message")

type memoryMessage struct {
	env     *mail.Envelope
	content []byte
	states  map[int]mail.RecipientState
}

func (m *memoryMessage) Envelope() *mail.Envelope { return m.env }
func (m *memoryMessage) Size() int64              { return int64(len(m.content)) }
func (m *memoryMessage) Bytes() []byte            { return m.content }
func (m *memoryMessage) Close()                   {}

func (m *memoryMessage) ReadAt(p []byte, off int64) (int, error) {
	return readBytes(m.content, p, off)
}

type memoryDraft struct {
	spool   *Memory
	id      mail.ID
	content []byte
	ended   bool
}

// Create implements Spool.
func (s *Memory) Create(id mail.ID) Draft { return &memoryDraft{spool: s, id: id} }

func (d *memoryDraft) Write(p []byte) (int, error) {
	if d.ended {
		return 0, ErrClosed
	}
	d.content = append(d.content, p...)
	return len(p), nil
}

func (d *memoryDraft) Commit(env *mail.Envelope, prefix []byte) error {
	if d.ended {
		return ErrClosed
	}
	d.ended = true
	s := d.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if env.ID != d.id || s.live[env.ID] != nil {
		return fmt.Errorf("store message %s: %w", env.ID, errTwice)
	}
	s.put(env, append(slices.Clip(slices.Clone(prefix)), d.content...))
	return nil
}

func (d *memoryDraft) Abort() { d.ended, d.content = true, nil }

func (s *Memory) put(env *mail.Envelope, content []byte) {
	s.live[env.ID] = &memoryMessage{env: env, content: content, states: map[int]mail.RecipientState{}}
}

// Commit implements Spool. Changes to a message that is not there are ignored, as the
// disk form ignores them at recovery.
func (s *Memory) Commit(b Batch, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock() // done is called under the lock: in order, as promised
	if s.closed {
		done(ErrClosed)
		return
	}
	for _, c := range b.Changes {
		m := s.live[c.Message]
		if m == nil {
			continue
		}
		for _, st := range c.States {
			m.states[st.Index] = st
		}
		if c.Finish {
			delete(s.live, c.Message)
		}
	}
	for _, r := range b.Reports {
		s.put(r.Envelope, slices.Clone(r.Content))
	}
	done(nil)
}

// Open implements Spool.
func (s *Memory) Open(id mail.ID) (Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.live[id]
	if m == nil {
		return nil, ErrNotFound
	}
	return m, nil
}

// Envelope implements Spool.
func (s *Memory) Envelope(id mail.ID) (*mail.Envelope, error) {
	m, err := s.Open(id)
	if err != nil {
		return nil, err
	}
	return m.Envelope(), nil
}

// States implements Spool.
func (s *Memory) States(id mail.ID) ([]mail.RecipientState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.live[id]
	if m == nil {
		return nil, ErrNotFound
	}
	return m.stored(), nil
}

// stored lists the states by index.
func (m *memoryMessage) stored() []mail.RecipientState {
	var out []mail.RecipientState
	for i := range m.env.Recipients {
		if st, ok := m.states[i]; ok {
			out = append(out, st)
		}
	}
	return out
}

// Recover implements Spool. Order is that of the IDs, whose time comes first.
func (s *Memory) Recover(yield func(Recovered) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.SortedFunc(maps.Keys(s.live), mail.ID.Compare) {
		m := s.live[id]
		if err := yield(Recovered{Envelope: m.env, States: m.stored()}); err != nil {
			return err
		}
	}
	return nil
}

// Stats implements Spool.
func (s *Memory) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Messages: len(s.live), FreeBytes: -1}
	for _, m := range s.live { // a sum: the order does not matter
		st.LiveBytes += int64(len(m.content))
	}
	st.DiskBytes = st.LiveBytes
	return st
}

// Close implements Spool.
func (s *Memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
