package server

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
	"github.com/sluice-mta/sluice/internal/spool"
)

// Waits between tries to write a batch that the spool could not take.
const (
	storeRetryMin = 50 * time.Millisecond
	storeRetryMax = 5 * time.Second
)

// store writes outcomes: it takes Persist, Bounce and Finish in order, composes the
// reports, and hands the spool one batch for all that has come up meanwhile.
type store struct {
	spool   spool.Spool
	driver  *live.Driver
	clock   live.Clock
	compose func(sched.Bounce) *spool.Report // nil: no report is due
	submit  func(*mail.Envelope)             // a report, once it is durable
	log     *slog.Logger

	in     *outbox[sched.Action]
	giveUp atomic.Bool // set at the end of a stop: a spool that cannot write is left alone
	done   chan struct{}
}

func (s *store) put(a sched.Action) { s.in.put(a) }

func (s *store) run() {
	defer close(s.done)
	for {
		actions := s.in.take()
		if actions == nil {
			return
		}
		batch, upto := s.batch(actions)
		if !s.commit(batch) {
			return
		}
		s.driver.Step(sched.Stored{Upto: upto})
		for i := range batch.Reports {
			s.submit(batch.Reports[i].Envelope)
		}
	}
}

// batch turns actions into changes; upto is the number of the last.
func (s *store) batch(actions []sched.Action) (b spool.Batch, upto uint64) {
	for _, a := range actions {
		switch a := a.(type) {
		case sched.Persist:
			b.Changes = append(b.Changes, spool.Change{Message: a.Message, States: s.keepLast(a.Message, s.walled(a.States))})
			upto = a.Seq
		case sched.Finish:
			b.Changes = append(b.Changes, spool.Change{Message: a.Message, Finish: true})
			upto = a.Seq
		case sched.Bounce:
			if r := s.compose(a); r != nil {
				b.Reports = append(b.Reports, *r)
			}
			b.Changes = append(b.Changes, spool.Change{Message: a.Message, States: s.walled(a.States), Finish: a.Last})
			upto = a.Seq
		}
	}
	return b, upto
}

// walled turns the times of states into wall times.
func (s *store) walled(states []mail.RecipientState) []mail.RecipientState {
	out := make([]mail.RecipientState, len(states))
	for i, st := range states {
		st.Next = s.clock.ToWall(st.Next)
		out[i] = st
	}
	return out
}

// keepLast fills in the last replies of recipients that were not tried but moved to
// another binding: the scheduler keeps no replies, the spool does.
func (s *store) keepLast(id mail.ID, states []mail.RecipientState) []mail.RecipientState {
	var known []mail.RecipientState
	for i := range states {
		st := &states[i]
		if st.Attempts == 0 || !st.Last.IsZero() {
			continue
		}
		if known == nil {
			var err error
			if known, err = s.spool.States(id); err != nil {
				s.log.Warn("the last reply about a moved recipient is not kept", "error", err)
				return states
			}
		}
		st.Last = lastReply(known, st.Index)
	}
	return states
}

// lastReply is the newest reply stored about a recipient; zero when there is none.
func lastReply(states []mail.RecipientState, recipient int) mail.Reply {
	for i := range states {
		if states[i].Index == recipient {
			return states[i].Last
		}
	}
	return mail.Reply{}
}

// commit hands the batch to the spool until it is written; false when the stop gave
// up on it. Nothing is lost then: what was not stored is delivered again.
func (s *store) commit(b spool.Batch) bool {
	result := make(chan error, 1)
	failing := false
	for wait := storeRetryMin; ; wait = min(2*wait, storeRetryMax) {
		s.spool.Commit(b, func(err error) { result <- err })
		err := <-result
		if err == nil {
			if failing {
				s.driver.Step(sched.StoreFailed{Healthy: true})
				s.log.Info("spool: outcomes are written again")
			}
			return true
		}
		if s.giveUp.Load() || errors.Is(err, spool.ErrClosed) {
			s.log.Error("spool: outcomes not written at the end; their messages will be delivered again", "changes", len(b.Changes), "error", err)
			return false
		}
		if !failing {
			failing = true
			s.driver.Step(sched.StoreFailed{})
			s.log.Error("spool: outcomes cannot be written; no further message is handed out until they can", "error", err)
		}
		time.Sleep(wait)
	}
}
