package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/deliver"
	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/inject"
	"github.com/sluice-mta/sluice/internal/inject/smtpin"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/metrics"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
	"github.com/sluice-mta/sluice/internal/sink"
	"github.com/sluice-mta/sluice/internal/spool"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// Server is a running sluice.
type Server struct {
	opts    Options
	log     *slog.Logger
	started time.Time
	ctx     context.Context // ends when the server has stopped
	cancel  context.CancelFunc

	policies policies
	named    named
	rules    atomic.Pointer[classify.Rules] // what replies mean
	files    int                            // open files that the system gives
	finding  atomic.Pointer[policy.Finding]

	spool       *spool.Disk
	accounts    *account.Writer
	driver      *live.Driver
	agent       *deliver.Agent
	edges       *edges
	store       *store
	notebook    *notebook
	suppression *suppression
	tls         *tlsPolicies // nil in a sandbox
	gate        *gate
	injector    *inject.Injector
	tracer      deliver.Tracer
	sandbox     *sandbox
	metrics     *metrics.Metrics
	surveys     surveys
	lookups     lookups
	resolver    atomic.Pointer[dns.Resolver]
	router      atomic.Pointer[dns.Router]

	begun    *policy.Snapshot         // of the start: what a reload cannot change is as it says
	fronts   map[string]*smtpin.Front // by the listener's address
	bound    []net.Listener           // by the index of its stanza in begun
	control  []*http.Server
	serving  sync.WaitGroup
	fatal    chan error // a listener that failed
	hurry    chan struct{}
	hurried  sync.Once
	reloadMu sync.Mutex
}

// Start builds and starts a server: when it returns, queued mail is on its way again
// and the listeners take connections. On an error nothing is left running.
func Start(o Options) (*Server, error) {
	if o.Clock.Boot == nil {
		o.Clock = live.SystemClock()
	}
	s := &Server{
		opts: o, log: o.Log, started: time.Now(), fronts: map[string]*smtpin.Front{}, fatal: make(chan error, 16),
		begun: o.Snapshot, hurry: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.policies.set(o.Snapshot)
	if err := s.start(); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *Server) start() error {
	if err := s.openFiles(); err != nil {
		return err
	}
	// Ports first: a port in use is the likeliest mistake, and is told before anything is
	// touched.
	if err := s.bind(); err != nil {
		return err
	}
	if err := s.openSpool(); err != nil {
		return err
	}
	if err := s.openNotebook(); err != nil {
		return err
	}
	if err := s.openSuppression(); err != nil {
		return err
	}
	if err := s.openTLS(); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	go s.watchSuppression()
	s.notebook.restore(s.driver.Step)
	n, err := s.recover()
	if err != nil {
		return err
	}
	if n > 0 {
		s.log.Info("recovered queued messages", "messages", n)
	}
	return s.serve()
}

// openFiles raises the limit of open files and warns when the limits ask for more.
func (s *Server) openFiles() error {
	snap := s.policies.snapshot()
	n, err := raiseFiles(snap.FilesNeeded())
	if err != nil {
		return err
	}
	s.files = n
	s.checkFiles(snap)
	return nil
}

func (s *Server) checkFiles(snap *policy.Snapshot) {
	f := snap.FileFinding(s.files)
	s.finding.Store(f)
	if f != nil {
		s.log.Warn(f.Text, "set_at", f.Origin.String())
	}
}

// bounds is what holds for the server as a whole beside its limits: what open files
// allow, where that is less than the limits ask for.
func (s *Server) bounds(snap *policy.Snapshot) policy.Server {
	b := snap.Server(s.files)
	if b.BoundBy == "" {
		b.MaxConnections = 0
	}
	return b
}

func (s *Server) openSpool() error {
	snap := s.policies.snapshot()
	var err error
	s.spool, err = spool.OpenDisk(spool.Options{
		Dir: snap.Spool.Directory, SegmentSize: snap.Spool.SegmentSize, MinFree: snap.Spool.MinFree,
		Log: func(level slog.Level, text string) { s.log.Log(context.Background(), level, text) },
	})
	return err
}

// openAccounts opens the accounting. The driver is there already: what is recorded is
// reported to it.
func (s *Server) openAccounts() error {
	a := s.policies.snapshot().Account
	var err error
	s.accounts, err = account.Open(account.Config{
		FS: vfs.OS{}, Directory: a.Directory, Formats: a.Formats, MaxSize: a.MaxSize, MaxAge: a.MaxAge,
		Now: s.wall, Envelope: s.envelope, Judge: s.judge,
		Recorded: func(upto uint64) { s.driver.Step(sched.Recorded{Upto: upto}) },
		Trouble: func(err error) {
			if err != nil {
				s.log.Error("accounting: records cannot be written; new mail is refused until they can", "error", err)
			} else {
				s.log.Info("accounting: records are written again")
			}
		},
	})
	return err
}

// envelope reads the envelope of a live message; nil when it cannot be read.
func (s *Server) envelope(id mail.ID) *mail.Envelope {
	env, err := s.spool.Envelope(id)
	if err != nil {
		s.log.Error("read an envelope for its accounting record", "error", err)
		return nil
	}
	return env
}

func (s *Server) wall() time.Time { return time.Unix(0, s.opts.Clock.Wall()) }

// connect builds the scheduler and its edges.
func (s *Server) connect() error {
	snap := s.policies.snapshot()
	rules, err := readRules(snap)
	if err != nil {
		return err
	}
	s.rules.Store(rules)
	if err := s.routeBy(snap); err != nil {
		return err
	}
	e := newEdges(s.ctx, s.log)
	s.edges = e
	s.driver = live.New(s.opts.Clock, sched.Config{
		Seed: rand.Uint64(), Generation: snap.Generation, Server: s.bounds(snap), Tenants: snap.Tenants,
	}, e)
	s.metrics = metrics.New(s.sample)
	s.watch()
	if err := s.openAccounts(); err != nil {
		return err
	}
	cfg := deliver.Config{
		Events: s.driver.Step, OwnListener: dns.Listeners(s.listening()),
		Open: func(id mail.ID) (deliver.Message, error) { return s.spool.Open(id) },
		Lost: func(err error) bool { return errors.Is(err, spool.ErrDamaged) },
		Now:  s.wall, Tracer: &s.tracer, Judge: s.judge, Outgoing: s.outgoing,
	}
	if s.sandbox != nil {
		cfg.Dial, cfg.AnyAddress = s.sandbox.dial, true
	}
	if s.tls != nil {
		cfg.Secured, cfg.Observe = s.tls.secured, s.tls.reports.Tests
	}
	s.agent = deliver.New(cfg)
	s.store = &store{
		spool: s.spool, driver: s.driver, clock: s.opts.Clock, compose: s.report, submit: s.submit,
		log: s.log, in: newOutbox[sched.Action](), done: make(chan struct{}),
	}
	e.demands = s.demands
	e.driver, e.agent, e.store, e.resolve, e.rebind, e.outcomes = s.driver, s.agent, s.store, s.resolve, s.candidates, s.withLastReplies
	e.counted = s.counted
	s.gate = &gate{spool: s.spool.Stats, accounting: s.accounts.Pressure, backlog: s.store.in.len, memory: newMemory()}
	e.remember = func(a sched.Remember) { s.notebook.in.put(note{Remember: a}) }
	go s.store.run()
	go e.logging()
	go e.accounting(s.accounts)
	s.injector, err = inject.New(inject.Config{
		Settings: s.policies.snapshot, Spool: s.spool, Submitter: inject.SubmitFunc(s.submit), Gate: s.gate.closed,
		Now: s.wall, Refused: s.metrics.Refused,
		Report: s.incoming, Suppressed: s.suppression.Has,
		Signing: s.signing, Unsigned: (&unsigned{log: s.log}).tell,
	})
	if err == nil {
		s.tls.run(s.policies.snapshot)
	}
	return err
}

func (s *Server) submit(env *mail.Envelope) {
	s.driver.Submit(env, nil, false, s.policies.queue)
}

// recover submits what the spool holds from before.
func (s *Server) recover() (int, error) {
	n := 0
	var orphans []sched.QueuePolicy
	seen := map[pair]bool{}
	err := s.spool.Recover(func(r spool.Recovered) error {
		n++
		for _, o := range s.adopt(&r) {
			if p := (pair{binding: o.Binding, domain: o.Domain}); !seen[p] {
				seen[p] = true
				orphans = append(orphans, o)
			}
		}
		s.driver.Submit(r.Envelope, r.States, true, s.policies.queue)
		return nil
	})
	s.orphaned(orphans)
	if err != nil {
		return n, fmt.Errorf("recover the spool: %w", err)
	}
	return n, nil
}

// Done yields the error of a listener that failed while serving.
func (s *Server) Done() <-chan error { return s.fatal }

// Sandbox returns the report of the built-in receiver; false without one.
func (s *Server) Sandbox() (sink.Report, bool) {
	if s.sandbox == nil {
		return sink.Report{}, false
	}
	return s.sandbox.sink.Report(), true
}
