package spooltest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
	"pgregory.net/rapid"
)

// model is what a spool is to hold: the reference of the property test.
type model struct {
	live map[mail.ID]*modelMessage
	next int
}

type modelMessage struct {
	env     *mail.Envelope
	content []byte
	states  map[int]mail.RecipientState
}

func (m *model) ids() []mail.ID {
	var ids []mail.ID
	for id := range m.live { // sorted below
		ids = append(ids, id)
	}
	slices.SortFunc(ids, mail.ID.Compare)
	return ids
}

func (m *model) add(recipients, size int) *modelMessage {
	m.next++
	id := ID(m.next)
	msg := &modelMessage{env: Envelope(id, recipients), content: noise(size, uint64(m.next)), states: map[int]mail.RecipientState{}}
	m.live[id] = msg
	return msg
}

// stored lists the states by index.
func (m *modelMessage) stored() []mail.RecipientState {
	var out []mail.RecipientState
	for i := range m.env.Recipients {
		if st, ok := m.states[i]; ok {
			out = append(out, st)
		}
	}
	return out
}

// compare checks that a spool holds exactly what the model does.
func (m *model) compare(s spool.Spool) error {
	var seen []mail.ID
	err := s.Recover(func(r spool.Recovered) error {
		id := r.Envelope.ID
		seen = append(seen, id)
		msg := m.live[id]
		if msg == nil {
			return fmt.Errorf("message %s is not to be there", id)
		}
		if want := msg.stored(); fmt.Sprint(r.States) != fmt.Sprint(want) {
			return fmt.Errorf("message %s: states %v, want %v", id, r.States, want)
		}
		return sameEnvelope(r.Envelope, msg.env)
	})
	if err != nil {
		return err
	}
	if want := m.ids(); !slices.Equal(seen, want) {
		return fmt.Errorf("recovered %v, want %v", seen, want)
	}
	for _, id := range m.ids() {
		if err := Check(s, m.live[id].env, m.live[id].content); err != nil {
			return err
		}
		states, err := s.States(id)
		if err != nil {
			return err
		}
		if want := m.live[id].stored(); fmt.Sprint(states) != fmt.Sprint(want) {
			return fmt.Errorf("message %s: states read alone %v, want %v", id, states, want)
		}
	}
	if n := s.Stats().Messages; n != len(m.live) {
		return fmt.Errorf("stats: %d messages, want %d", n, len(m.live))
	}
	return nil
}

// testHistories compares a spool with the model over random histories.
func testHistories(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		s, reopen := open(t)
		m := &model{live: map[mail.ID]*modelMessage{}}
		fail := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		actions := map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				msg := m.add(rapid.IntRange(1, 5).Draw(rt, "recipients"), rapid.IntRange(0, 30_000).Draw(rt, "size"))
				cut := rapid.IntRange(0, min(len(msg.content), 2000)).Draw(rt, "prefix")
				fail(Put(s, msg.env, msg.content[:cut], msg.content[cut:]))
			},
			"batch": func(rt *rapid.T) { fail(Commit(s, m.batch(rt))) },
			"": func(*rapid.T) {
				for _, id := range m.ids() {
					fail(Check(s, m.live[id].env, m.live[id].content))
				}
				if _, err := s.Open(ID(m.next + 1)); !errors.Is(err, spool.ErrNotFound) {
					rt.Fatalf("open of what never was: %v", err)
				}
			},
		}
		if reopen != nil {
			actions["reopen"] = func(rt *rapid.T) {
				s = reopen(s)
				fail(m.compare(s))
			}
		}
		rt.Repeat(actions)
		fail(m.compare(s))
		fail(s.Close())
	})
}

// batch draws a batch and enters it into the model.
func (m *model) batch(rt *rapid.T) spool.Batch {
	var b spool.Batch
	for _, id := range m.ids() {
		switch rapid.IntRange(0, 4).Draw(rt, "change") {
		case 0:
			b.Changes = append(b.Changes, spool.Change{Message: id, Finish: true})
			delete(m.live, id)
		case 1, 2:
			msg := m.live[id]
			c := spool.Change{Message: id}
			for i := range msg.env.Recipients {
				if rapid.Bool().Draw(rt, "recipient") {
					st := mail.RecipientState{Index: i, Attempts: rapid.IntRange(0, 99).Draw(rt, "attempts"), Last: mail.Reply{Code: 450, Text: "later"}}
					msg.states[i] = st
					c.States = append(c.States, st)
				}
			}
			b.Changes = append(b.Changes, c)
		}
	}
	for range rapid.IntRange(0, 1).Draw(rt, "reports") {
		msg := m.add(1, rapid.IntRange(0, 20_000).Draw(rt, "size"))
		b.Reports = append(b.Reports, spool.Report{Envelope: msg.env, Content: msg.content})
	}
	return b
}
