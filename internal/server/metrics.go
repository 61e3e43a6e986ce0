package server

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/metrics"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/sched/live"
)

// How old a survey may be that is shown again: many who look at once cost what one does.
// One of many pages, each of which takes less than a tenth of a millisecond, holds longer,
// so that all surveys together take half a hundredth of the time at most.
const (
	surveyAge    = 900 * time.Millisecond
	surveyPage   = 20 * time.Millisecond
	surveyOldest = 10 * time.Second
)

// fullest is how many nearly full limits a survey keeps.
const fullest = 50

// surveys keeps the last look over everything.
type surveys struct {
	mu    sync.Mutex
	taken time.Time
	holds time.Duration // so long it may be shown
	last  *sched.Survey // not to be changed
}

// survey looks at every counter, connection and binding, in looks that are short each.
func (s *Server) survey() *sched.Survey {
	s.surveys.mu.Lock()
	defer s.surveys.mu.Unlock()
	if s.surveys.last != nil && time.Since(s.surveys.taken) < s.surveys.holds {
		return s.surveys.last
	}
	x, pages := sched.NewSurvey(fullest), time.Duration(0)
	for cursor := ""; ; {
		s.driver.View(func(m *sched.Machine, now int64) { cursor = m.Survey(now, cursor, x) })
		pages++
		if cursor == "" {
			break
		}
	}
	x.Sort()
	s.surveys.last, s.surveys.taken = x, time.Now()
	s.surveys.holds = min(max(surveyAge, pages*surveyPage), surveyOldest)
	return x
}

// watch has every use of the scheduler's lock counted.
func (s *Server) watch() {
	step, view := s.metrics.Held("step"), s.metrics.Held("view")
	s.driver.Watch(func(what live.Use, waited, held time.Duration) {
		if what == live.UseStep {
			step(waited, held)
		} else {
			view(waited, held)
		}
	})
}

var outcomeOf = map[sched.RecordKind]metrics.Outcome{
	sched.RecordReceived: metrics.Received, sched.RecordDelivered: metrics.Delivered,
	sched.RecordDeferred: metrics.Deferred, sched.RecordBounced: metrics.Bounced,
}

// counted counts an account.
func (s *Server) counted(a *sched.Account) {
	s.suppressRefused(a)
	s.metrics.Accounted(outcomeOf[a.Kind], a.Binding, len(a.Outcomes))
}

// Metrics implements admin.Backend.
func (b backend) Metrics() http.Handler { return b.metrics.Handler() }

// sample reads what a scrape shows.
func (s *Server) sample() metrics.Sample {
	snap := s.policies.snapshot()
	var t sched.Totals
	s.driver.View(func(m *sched.Machine, now int64) { t = m.Totals(now) })
	v := s.survey()
	x := metrics.Sample{
		Version: s.opts.Version, Uptime: time.Since(s.started).Seconds(), Generation: snap.Generation,
		Messages: t.Messages, Queued: t.Queued, Ready: t.Ready, Delivering: t.Flying, Queues: t.Queues, Oldest: t.OldestSecs,
		Opening: v.Conns.Opening, Idle: v.Conns.Idle, Sending: v.Conns.Delivering, Closing: v.Conns.Closing,
		Outcomes: t.Backlog, Accounts: s.edges.accounts.len(), Changes: s.store.in.len(),
		Accepted: s.injector.Stats().Accepted, Closed: s.gate.closed().Code != 0, DNS: s.resolved(),
		FilesLimit: s.files, FilesRoom: s.filesRoom(snap),
	}
	for _, c := range t.Waiting {
		x.Causes = append(x.Causes, metrics.Cause{Name: c.Cause, Queues: c.Queues, Seconds: c.Seconds})
	}
	for _, o := range v.Options {
		x.Options = append(x.Options, metrics.Option{
			Name: o.Option, Counters: o.Counters, Full: o.Full, Use: o.Use, Max: o.Limit, Waiters: o.Waiters, Grants: o.Grants, Blocked: o.Blocked,
		})
	}
	for _, k := range v.Wide {
		x.Keys = append(x.Keys, metrics.Key{
			Option: k.Option, Key: k.Key, Use: k.Use, Max: k.Limit, Waiters: k.Waiters, Grants: k.Grants, Blocked: k.Blocked, Throttle: k.Throttle,
		})
	}
	for _, b := range byConnections(v.Bindings) {
		x.Bindings = append(x.Bindings, metrics.Binding{Name: b.Binding, Queued: b.Queued, Ready: b.Ready, Open: b.Conns})
	}
	p := s.spool.Stats()
	x.Spool = metrics.Spool{
		Messages: p.Messages, Segments: p.Segments, Quarantined: p.Quarantined, Live: p.LiveBytes, Disk: p.DiskBytes,
		Free: p.FreeBytes, Syncs: p.Syncs, Sick: p.Sick, Full: p.Full,
	}
	for _, f := range s.fronts {
		x.Sessions += f.Sessions()
	}
	return x
}

func (s *Server) filesRoom(snap *policy.Snapshot) int { return snap.Server(s.files).MaxConnections }

// byConnections are the bindings with most connections and mail first.
func byConnections(views []sched.BindingView) []sched.BindingView {
	out := slices.Clone(views)
	slices.SortFunc(out, func(a, b sched.BindingView) int {
		return cmp.Or(cmp.Compare(b.Conns, a.Conns), cmp.Compare(b.Ready, a.Ready), cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.Binding, b.Binding))
	})
	return out
}

// lookups sums up the resolvers of earlier configurations, so that a reload does not
// count back.
type lookups struct {
	mu   sync.Mutex
	past dns.Stats
}

// retire adds what a resolver has done that is not asked any more.
func (l *lookups) retire(s dns.Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.past = sum(l.past, s)
}

func sum(a, b dns.Stats) dns.Stats {
	return dns.Stats{
		Asked: a.Asked + b.Asked, Hits: a.Hits + b.Hits, Queries: a.Queries + b.Queries,
		Failures: a.Failures + b.Failures, Stale: a.Stale + b.Stale, Entries: b.Entries,
	}
}

func (s *Server) resolved() metrics.DNS {
	s.lookups.mu.Lock()
	past := s.lookups.past
	s.lookups.mu.Unlock()
	x := sum(past, s.resolver.Load().Stats())
	return metrics.DNS{Asked: x.Asked, Hits: x.Hits, Stale: x.Stale, Lookups: x.Queries, Failures: x.Failures, Entries: x.Entries}
}
