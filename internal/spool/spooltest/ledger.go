package spooltest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
)

// Ledger remembers what a spool was given and what it acknowledged, and judges what is
// there after a crash:
//
//   - a message acknowledged and not finished is there, with its content (P1, P5)
//   - what is there of the batches is a prefix of them: all of the first ones, nothing of
//     the rest (P2, P3), and no batch with reports is missing that was acknowledged
//   - a message not acknowledged is there whole or not at all
type Ledger struct {
	rng     *rand.Rand
	base    map[mail.ID]*modelMessage // acknowledged
	maybe   map[mail.ID]*modelMessage // commit failed
	batches []entry
	live    []mail.ID // to choose from: what is there now, as far as is known
	next    int
}

// entry is a batch handed in, in order.
type entry struct {
	b       spool.Batch
	durable bool // acknowledged, and with reports
	failed  bool // refused: not stored, unless the power went meanwhile
}

// NewLedger returns an empty ledger whose choices come from rng.
func NewLedger(rng *rand.Rand) *Ledger {
	return &Ledger{rng: rng, base: map[mail.ID]*modelMessage{}, maybe: map[mail.ID]*modelMessage{}}
}

func (l *Ledger) message(size int) *modelMessage {
	l.next++
	return &modelMessage{
		env: Envelope(ID(l.next), 1+l.rng.IntN(3)), content: noise(size, uint64(l.next)), states: map[int]mail.RecipientState{},
	}
}

// Step does one random thing to the spool and notes what became of it. compact frees
// what can be freed.
func (l *Ledger) Step(s spool.Spool, maxSize int, compact func()) {
	switch l.rng.IntN(10) {
	case 0, 1, 2:
		l.put(s, l.message(l.rng.IntN(500)))
	case 3:
		l.put(s, l.message(l.rng.IntN(maxSize)))
	case 4:
		l.putMany(s)
	case 5, 6, 7:
		l.commit(s, 1)
	case 8:
		l.commit(s, 1+l.rng.IntN(4))
	default:
		compact()
	}
}

func (l *Ledger) put(s spool.Spool, m *modelMessage) {
	cut := l.rng.IntN(len(m.content) + 1)
	l.noted(m, Put(s, m.env, m.content[:min(cut, 100)], m.content[min(cut, 100):]))
}

func (l *Ledger) noted(m *modelMessage, err error) {
	if err != nil {
		l.maybe[m.env.ID] = m
		return
	}
	l.base[m.env.ID] = m
	l.live = append(l.live, m.env.ID)
}

// putMany stores messages at the same time.
func (l *Ledger) putMany(s spool.Spool) {
	msgs := make([]*modelMessage, 4)
	errs := make([]error, len(msgs))
	var wg sync.WaitGroup
	for i := range msgs {
		msgs[i] = l.message(l.rng.IntN(700))
		wg.Go(func() { errs[i] = Put(s, msgs[i].env, nil, msgs[i].content) })
	}
	wg.Wait()
	for i := range msgs {
		l.noted(msgs[i], errs[i])
	}
}

// commit hands in n batches without waiting in between.
func (l *Ledger) commit(s spool.Spool, n int) {
	var wg sync.WaitGroup
	errs := make([]error, n)
	first := len(l.batches)
	for i := range n {
		b := l.batch()
		l.batches = append(l.batches, entry{b: b})
		wg.Add(1)
		s.Commit(b, func(err error) { errs[i] = err; wg.Done() })
	}
	wg.Wait()
	for i, err := range errs {
		e := &l.batches[first+i]
		e.failed = err != nil
		e.durable = err == nil && len(e.b.Reports) > 0
		if err == nil {
			for _, r := range e.b.Reports {
				l.live = append(l.live, r.Envelope.ID)
			}
		}
	}
}

func (l *Ledger) batch() spool.Batch {
	var b spool.Batch
	for range l.rng.IntN(4) {
		if len(l.live) == 0 {
			break
		}
		i := l.rng.IntN(len(l.live))
		c := spool.Change{Message: l.live[i]}
		if l.rng.IntN(2) == 0 {
			c.Finish = true
			l.live = slices.Delete(l.live, i, i+1)
		} else {
			c.States = []mail.RecipientState{{Attempts: l.rng.IntN(1000), Last: mail.Reply{Code: 450, Text: "later"}}}
		}
		b.Changes = append(b.Changes, c)
	}
	if l.rng.IntN(4) == 0 {
		m := l.message(l.rng.IntN(300))
		b.Reports = append(b.Reports, spool.Report{Envelope: m.env, Content: m.content})
	}
	return b
}

// after returns what is there when the first n batches hold.
func (l *Ledger) after(n int) map[mail.ID]*modelMessage {
	out := map[mail.ID]*modelMessage{}
	for id, m := range l.base { // a copy of each
		out[id] = &modelMessage{env: m.env, content: m.content, states: maps.Clone(m.states)}
	}
	for _, e := range l.batches[:n] {
		for _, c := range e.b.Changes {
			m := out[c.Message]
			if m == nil {
				continue
			}
			for _, st := range c.States {
				m.states[st.Index] = st
			}
			if c.Finish {
				delete(out, c.Message)
			}
		}
		for _, r := range e.b.Reports {
			out[r.Envelope.ID] = &modelMessage{env: r.Envelope, content: r.Content, states: map[int]mail.RecipientState{}}
		}
	}
	return out
}

// Audit compares a spool opened after a crash (or in good order: crashed false) with
// the ledger, and goes on from what is there.
func (l *Ledger) Audit(s spool.Spool, crashed bool) error {
	got := map[mail.ID]spool.Recovered{}
	err := s.Recover(func(r spool.Recovered) error {
		if _, twice := got[r.Envelope.ID]; twice {
			return fmt.Errorf("message %s was recovered twice", r.Envelope.ID)
		}
		got[r.Envelope.ID] = r
		return nil
	})
	if err != nil {
		return err
	}
	l.dropRefused(crashed)
	least := 0
	for i, e := range l.batches {
		if e.durable || !crashed {
			least = i + 1
		}
	}
	var why error
	for n := len(l.batches); n >= least; n-- {
		want := l.after(n)
		if err := l.same(s, got, want); err != nil {
			why = errors.Join(why, fmt.Errorf("with the first %d of %d batches: %w", n, len(l.batches), err))
			continue
		}
		l.settle(want, got)
		return nil
	}
	return why
}

// dropRefused forgets the batches that were refused. Of those after which nothing was
// acknowledged the one in flight may hold all the same when the process crashed.
func (l *Ledger) dropRefused(crashed bool) {
	last := -1
	for i, e := range l.batches {
		if !e.failed || !crashed {
			last = i
		}
	}
	kept := l.batches[:0]
	for i, e := range l.batches {
		if !e.failed || i > last {
			kept = append(kept, e)
		}
	}
	l.batches = kept
}

// same reports how what was recovered differs from what is wanted.
func (l *Ledger) same(s spool.Spool, got map[mail.ID]spool.Recovered, want map[mail.ID]*modelMessage) error {
	for id, m := range want { // any difference will do
		r, ok := got[id]
		if !ok {
			return fmt.Errorf("message %s is lost", id)
		}
		if err := sameMessage(s, r, m); err != nil {
			return err
		}
	}
	for id, r := range got { // any difference will do
		if want[id] != nil {
			continue
		}
		m := l.maybe[id]
		if m == nil {
			return fmt.Errorf("message %s is not to be there", id)
		}
		if err := sameMessage(s, r, m); err != nil {
			return err
		}
	}
	return nil
}

func sameMessage(s spool.Spool, r spool.Recovered, m *modelMessage) error {
	var want []mail.RecipientState
	for i := range m.env.Recipients {
		if st, ok := m.states[i]; ok {
			want = append(want, st)
		}
	}
	if fmt.Sprint(r.States) != fmt.Sprint(want) {
		return fmt.Errorf("message %s: states %v, want %v", m.env.ID, r.States, want)
	}
	if err := sameEnvelope(r.Envelope, m.env); err != nil {
		return err
	}
	return Check(s, m.env, m.content)
}

// settle makes what is there the new beginning.
func (l *Ledger) settle(want map[mail.ID]*modelMessage, got map[mail.ID]spool.Recovered) {
	for id, m := range l.maybe { // each on its own
		if _, ok := got[id]; ok {
			want[id] = m
		}
	}
	l.base, l.maybe, l.batches = want, map[mail.ID]*modelMessage{}, nil
	l.live = slices.SortedFunc(maps.Keys(want), mail.ID.Compare)
}
