package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/state"
	"github.com/sluice-mta/sluice/internal/suppress"
)

const (
	// suppressEvery is how often the file is looked at.
	suppressEvery = 5 * time.Second
	// maxSuppressed bounds what is added to the list, in octets: some millions of addresses.
	maxSuppressed = 512 << 20
	// maxToSuppress is how many additions may wait for the disk; what comes beyond is told of
	// and comes again with the next bounce.
	maxToSuppress = 100_000
)

// suppression is the suppression list with what is to be added to it.
type suppression struct {
	*suppress.List
	store *state.Store
	in    *outbox[toSuppress]
	done  chan struct{}
	mu    sync.Mutex
	told  string // the trouble with the file that was logged last
}

type toSuppress struct{ entry, why, detail string }

// openSuppression opens the list. A server that cannot read it does not start: it would
// send to those who said no.
func (s *Server) openSuppression() error {
	snap := s.policies.snapshot()
	store, err := state.Open(state.Options{
		Dir: filepath.Join(snap.Spool.Directory, "suppression"), MaxBytes: maxSuppressed,
		Log: func(level slog.Level, text string) { s.log.Log(context.Background(), level, "suppression list: "+text) },
	})
	if err != nil {
		return err
	}
	p := &suppression{List: suppress.New(store, s.wall), store: store, in: newOutbox[toSuppress](), done: make(chan struct{})}
	s.suppression = p
	go s.suppressing()
	read, err := p.Read(snap.Suppression.File)
	if err != nil && !read {
		return err
	}
	if err != nil {
		s.log.Warn(err.Error())
	}
	return nil
}

// suppressing adds what is to be added, in order.
func (s *Server) suppressing() {
	p := s.suppression
	defer close(p.done)
	for {
		items := p.in.take()
		if items == nil {
			return
		}
		for _, x := range items {
			if added, err := p.Add(x.entry, x.why, "", x.detail); err != nil {
				s.log.Error("a recipient is not put on the suppression list", "recipient", mail.Printable(x.entry), "error", err)
			} else if added {
				s.log.Info("put on the suppression list", "recipient", mail.Printable(x.entry), "why", x.why)
			}
		}
	}
}

func (p *suppression) close() error {
	p.in.close()
	<-p.done
	return p.store.Close()
}

// readSuppression reads the file again, if it has changed.
func (s *Server) readSuppression() {
	p := s.suppression
	p.mu.Lock()
	defer p.mu.Unlock()
	read, err := p.Read(s.policies.snapshot().Suppression.File)
	switch {
	case err != nil && err.Error() != p.told:
		p.told = err.Error()
		s.log.Warn(err.Error())
	case err == nil:
		p.told = ""
	}
	if read {
		s.log.Info("suppression list read", "entries", p.FileSize())
	}
}

// watchSuppression looks at the file until the server ends.
func (s *Server) watchSuppression() {
	t := time.NewTicker(suppressEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.readSuppression()
		case <-s.ctx.Done():
			return
		}
	}
}

// suppressLater puts a recipient on the list, soon.
func (s *Server) suppressLater(entry, why, detail string) {
	if s.suppression.in.len() >= maxToSuppress {
		s.log.Warn("too many recipients are to be put on the suppression list; one is left out", "recipient", mail.Printable(entry))
		return
	}
	s.suppression.in.put(toSuppress{entry, why, detail})
}

// suppressRefused puts recipients on the list whose mailbox is not there.
func (s *Server) suppressRefused(a *sched.Account) {
	if a.Kind != sched.RecordBounced || !s.policies.snapshot().Suppression.OnHardBounce {
		return
	}
	var env *mail.Envelope
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		if o.Class != mail.ClassRefused || o.Reply.Code == 0 || !hard(s.judge(&classify.Subject{Reply: o.Reply, Host: hostOf(a), Domain: a.Domain}).Bounce) {
			continue
		}
		if env == nil {
			if env = s.envelopeOf(a); env == nil {
				return
			}
		}
		if o.Recipient >= 0 && o.Recipient < len(env.Recipients) {
			r := &env.Recipients[o.Recipient]
			s.suppressLater(mail.Address{Local: r.Address.Local, Domain: r.Domain}.String(), "hard_bounce", mail.Printable(o.Reply.String()))
		}
	}
}

func (s *Server) envelopeOf(a *sched.Account) *mail.Envelope {
	switch {
	case a.Envelope != nil:
		return a.Envelope
	case a.Attempt != nil && a.Attempt.Envelope != nil:
		return a.Attempt.Envelope
	}
	return s.envelope(a.Message)
}

func hostOf(a *sched.Account) string {
	if a.Attempt == nil {
		return ""
	}
	return a.Attempt.Host
}

// hard reports whether a refusal says that the mailbox is not there, or wants nothing.
func hard(b classify.Bounce) bool {
	return b == classify.BounceInvalidRecipient || b == classify.BounceNoRcpt || b == classify.BounceUnsubscribe
}

// Suppressed implements admin.Backend.
func (b backend) Suppressed(after string, n int) admin.SuppressedPage {
	p := admin.SuppressedPage{File: b.policies.snapshot().Suppression.File, InFile: b.suppression.FileSize()}
	for _, e := range b.suppression.Entries(after, n+1) {
		if len(p.Entries) == n {
			p.Next = p.Entries[n-1].Entry
			break
		}
		p.Entries = append(p.Entries, admin.Suppressed(e))
	}
	return p
}

// Suppress implements admin.Backend.
func (b backend) Suppress(op admin.Suppression) (admin.SuppressionDone, error) {
	done := admin.SuppressionDone{Entry: op.Entry}
	entry, err := suppress.Canonical(op.Entry)
	if err != nil {
		return done, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	done.Entry = entry
	switch op.Verb {
	case "add":
		done.Changed, err = b.suppression.Add(entry, or(op.Why, "operator"), or(op.By, "operator"), "")
	case "remove":
		done.Changed, err = b.suppression.Remove(entry)
		if errors.Is(err, suppress.ErrInFile) {
			return done, fmt.Errorf("%w: %w", admin.ErrRefused, err)
		}
	case "check":
		var found suppress.Entry
		found, done.Listed, err = b.suppression.Check(entry)
		done.Found = admin.Suppressed(found)
	default:
		return done, fmt.Errorf("%w: the verb %q is none of add, remove, check", admin.ErrRefused, op.Verb)
	}
	return done, err
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
