package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
	"github.com/sluice-mta/sluice/internal/state"
)

// notebook keeps what the scheduler asks to be remembered over restarts.
type notebook struct {
	store *state.Store
	clock live.Clock
	log   *slog.Logger
	in    *outbox[note]
	done  chan struct{}
}

// sureWithin is how long an operator waits for the disk.
const sureWithin = 10 * time.Second

// note is something to remember, or (asked not nil) the question whether all before it is.
type note struct {
	sched.Remember
	asked chan<- error
}

// order is how a suspension is written down.
type order struct {
	Domain  string    `json:"domain,omitempty"`
	Binding string    `json:"binding,omitempty"`
	Tenant  string    `json:"tenant,omitempty"`
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
}

// openNotebook opens the state below the spool's directory. A server that cannot read it does
// not start: it would deliver what an operator has suspended.
func (s *Server) openNotebook() error {
	store, err := state.Open(state.Options{
		Dir: filepath.Join(s.policies.snapshot().Spool.Directory, "state"),
		Log: func(level slog.Level, text string) { s.log.Log(context.Background(), level, text) },
	})
	if err != nil {
		return err
	}
	s.notebook = &notebook{store: store, clock: s.opts.Clock, log: s.log, in: newOutbox[note](), done: make(chan struct{})}
	go s.notebook.run()
	return nil
}

// run writes what is to be remembered, in order.
func (nb *notebook) run() {
	defer close(nb.done)
	var failed error // since somebody asked
	for {
		notes := nb.in.take()
		if notes == nil {
			return
		}
		for i := range notes {
			if n := &notes[i]; n.asked != nil {
				n.asked <- failed
				failed = nil
			} else if err := nb.keep(&n.Remember); err != nil {
				nb.log.Error("an order will not be known after a restart", "error", err)
				failed = errors.Join(failed, err)
			}
		}
	}
}

func (nb *notebook) keep(a *sched.Remember) error {
	if a.Forget {
		return nb.store.Delete(a.Key)
	}
	s := &a.State
	b, err := json.Marshal(order{s.Domain, s.Binding, s.Tenant, s.By, s.Reason, time.Unix(0, nb.clock.ToWall(s.Since)).UTC()})
	if err != nil {
		return err
	}
	return nb.store.Put(a.Key, b)
}

// sure waits until all that has been asked so far is durable, or says why it is not.
func (nb *notebook) sure() error {
	answer := make(chan error, 1)
	nb.in.put(note{asked: answer})
	select {
	case err := <-answer:
		return err
	case <-nb.done:
		return errors.New("the server is stopping")
	case <-time.After(sureWithin):
		return errors.New("the disk does not answer")
	}
}

// restore tells the scheduler what was remembered, in the order in which it came.
func (nb *notebook) restore(step func(sched.Event)) {
	var list []order
	for _, key := range nb.store.Keys("suspend\x00") {
		var o order
		b, _ := nb.store.Get(key)
		if err := json.Unmarshal(b, &o); err != nil {
			nb.log.Error("a suspension from before the restart cannot be read and is left out", "key", key, "error", err)
			continue
		}
		list = append(list, o)
	}
	slices.SortStableFunc(list, func(a, b order) int { return a.Since.Compare(b.Since) })
	for _, o := range list {
		nb.log.Info("still suspended from before the restart", "domain", o.Domain, "binding", o.Binding, "tenant", o.Tenant, "by", o.By, "since", o.Since)
		step(sched.Operator{
			Verb: sched.Suspend, Domain: o.Domain, Binding: o.Binding, Tenant: o.Tenant, By: o.By,
			Reply: mail.Reply{Text: o.Reason}, Restored: true, Since: nb.clock.ToBoot(o.Since.UnixNano()),
		})
	}
}

func (nb *notebook) close() error {
	nb.in.close()
	<-nb.done
	return nb.store.Close()
}
