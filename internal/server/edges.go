package server

import (
	"context"
	"log/slog"
	"slices"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/deliver"
	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
)

// maxLookups bounds the questions to the DNS under way at once.
const maxLookups = 256

// maxAccounts is how many accounts are handed to the writer at once.
const maxAccounts = 256

// edges carries the scheduler's actions out. Its methods are called under the
// scheduler's lock: each hands over to a goroutine, a mailbox or an outbox.
type edges struct {
	ctx    context.Context // ends with the server
	driver *live.Driver
	agent  *deliver.Agent
	store  *store
	log    *slog.Logger

	// outcomes completes the outcomes of what expired.
	outcomes  func(mail.ID, []mail.Outcome) []mail.Outcome
	counted   func(*sched.Account) // counts what is handed to the writer
	accounts  *outbox[sched.Account]
	accounted chan struct{} // closed when all accounts have been handed to the writer
	demands   func(context.Context, sched.Resolve) dns.Secure
	resolve   func(context.Context, sched.Resolve, dns.Secure) sched.Resolved
	rebind    func(sched.Rebind) sched.Rebound
	remember  func(sched.Remember)
	lookups   chan struct{}      // one token for each lookup under way
	logs      *outbox[sched.Log] // a handler may block on a slow terminal or pipe
}

func newEdges(ctx context.Context, log *slog.Logger) *edges {
	return &edges{
		ctx: ctx, log: log, logs: newOutbox[sched.Log](), lookups: make(chan struct{}, maxLookups),
		accounts: newOutbox[sched.Account](), accounted: make(chan struct{}),
	}
}

func (e *edges) Resolve(a sched.Resolve) {
	go func() {
		secure := e.demands(e.ctx, a) // it may wait for somebody's web server: nobody else waits for that
		select {
		case e.lookups <- struct{}{}:
			defer func() { <-e.lookups }()
			e.driver.Step(e.resolve(e.ctx, a, secure))
		case <-e.ctx.Done():
		}
	}()
}

func (e *edges) Rebind(a sched.Rebind)     { go func() { e.driver.Step(e.rebind(a)) }() }
func (e *edges) Remember(a sched.Remember) { e.remember(a) }
func (e *edges) Connect(a sched.Connect)   { e.agent.Start(a) }
func (e *edges) Deliver(a sched.Deliver)   { e.agent.Deliver(a) }
func (e *edges) Recall(a sched.Recall)     { e.agent.Recall(a) }
func (e *edges) Close(a sched.Close)       { e.agent.Close(a) }
func (e *edges) Account(a sched.Account)   { e.accounts.put(a) }
func (e *edges) Store(a sched.Action)      { e.store.put(a) }
func (e *edges) Log(a sched.Log)           { e.logs.put(a) }

// accounting hands accounts to the writer, which makes this goroutine wait when its
// queue is full.
func (e *edges) accounting(w *account.Writer) {
	defer close(e.accounted)
	for {
		accounts := e.accounts.take()
		if accounts == nil {
			return
		}
		for i := range accounts {
			a := &accounts[i]
			e.counted(a)
			if a.Kind == sched.RecordBounced {
				a.Outcomes = e.outcomes(a.Message, a.Outcomes)
			}
		}
		for part := range slices.Chunk(accounts, maxAccounts) {
			if err := w.Write(part...); err != nil {
				e.log.Error("accounting", "error", err)
				return
			}
		}
	}
}

// logging writes the log lines.
func (e *edges) logging() {
	for {
		lines := e.logs.take()
		if lines == nil {
			return
		}
		for _, l := range lines {
			level := slog.LevelInfo
			if l.Level == sched.Warn {
				level = slog.LevelWarn
			}
			e.log.Log(context.Background(), level, l.Text, "subject", l.Subject)
		}
	}
}
