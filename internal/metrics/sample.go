package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Sample is what a scrape reads, at one time or nearly. Times are seconds, sizes octets.
type Sample struct {
	Version    string
	Uptime     float64
	Generation uint64

	Messages, Queued, Ready, Delivering, Queues int
	Oldest                                      float64

	Opening, Idle, Sending, Closing int // connections

	Bindings []Binding
	Causes   []Cause
	Options  []Option
	Keys     []Key // those with most use first: the first of them are told apart

	Spool Spool

	Outcomes, Accounts, Changes int // that wait to be written

	Sessions int
	Accepted int64
	Closed   bool // intake

	DNS DNS

	FilesLimit, FilesRoom int
}

// Binding is a binding's mail and connections.
type Binding struct {
	Name                string
	Queued, Ready, Open int
}

// Cause is what queues wait for.
type Cause struct {
	Name    string
	Queues  int
	Seconds float64
}

// Option sums up the counters and throttles of one option.
type Option struct {
	Name                              string
	Counters, Full, Use, Max, Waiters int
	Grants                            uint64
	Blocked                           float64
}

// Key is one counter or throttle.
type Key struct {
	Option, Key       string
	Use, Max, Waiters int
	Grants            uint64
	Blocked           float64
	Throttle          bool // it has neither use nor limit
}

// Spool is the state of the spool.
type Spool struct {
	Messages, Segments, Quarantined int
	Live, Disk, Free, Syncs         int64
	Sick, Full                      bool
}

// DNS is what the resolver has done since the start, and holds.
type DNS struct {
	Asked, Hits, Stale, Lookups, Failures int64
	Entries                               int
}

// sampler reads a Sample at each scrape and sends it on.
type sampler struct {
	read  func() Sample
	rises rises
}

// Describe implements prometheus.Collector. The table says what there is; a collector that
// describes nothing is not compared with it at each scrape.
func (s *sampler) Describe(chan<- *prometheus.Desc) {}

// sink sends values on.
type sink struct {
	to    chan<- prometheus.Metric
	rises *rises
}

func (s sink) put(m *metric, v float64, labels ...string) {
	if m.kind == prometheus.CounterValue && m != keyGrants && m != keyBlocked {
		v = s.rises.rise(m, labels, v)
	}
	s.to <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
}

func (s sink) flag(m *metric, on bool) {
	v := 0.0
	if on {
		v = 1
	}
	s.put(m, v)
}

// Collect implements prometheus.Collector.
func (s *sampler) Collect(to chan<- prometheus.Metric) {
	x := s.read()
	out := sink{to, &s.rises}
	out.put(buildInfo, 1, x.Version)
	out.put(uptime, x.Uptime)
	out.put(generation, float64(x.Generation))
	out.queue(&x)
	out.limits(&x)
	out.edges(&x)
}

func (s sink) queue(x *Sample) {
	s.put(messages, float64(x.Messages))
	s.put(queues, float64(x.Queues))
	s.put(oldest, x.Oldest)
	s.put(parts, float64(x.Queued), "queued")
	s.put(parts, float64(x.Ready), "ready")
	s.put(parts, float64(x.Delivering), "delivering")
	s.put(connections, float64(x.Opening), "opening")
	s.put(connections, float64(x.Idle), "idle")
	s.put(connections, float64(x.Sending), "delivering")
	s.put(connections, float64(x.Closing), "closing")
	var rest Binding
	for i, b := range x.Bindings {
		if i >= Keys {
			rest.Queued, rest.Ready, rest.Open = rest.Queued+b.Queued, rest.Ready+b.Ready, rest.Open+b.Open
			continue
		}
		s.binding(&b)
	}
	if len(x.Bindings) > Keys {
		rest.Name = Other
		s.binding(&rest)
	}
	for _, c := range x.Causes {
		s.put(waitingQueues, float64(c.Queues), c.Name)
		s.put(waitedSeconds, c.Seconds, c.Name)
	}
}

func (s sink) binding(b *Binding) {
	s.put(bindingPart, float64(b.Queued), b.Name, "queued")
	s.put(bindingPart, float64(b.Ready), b.Name, "ready")
	s.put(bindingConn, float64(b.Open), b.Name)
}

func (s sink) limits(x *Sample) {
	for _, o := range x.Options {
		s.put(limitCounters, float64(o.Counters), o.Name)
		s.put(limitFull, float64(o.Full), o.Name)
		s.put(limitUse, float64(o.Use), o.Name)
		s.put(limitMax, float64(o.Max), o.Name)
		s.put(limitWaiters, float64(o.Waiters), o.Name)
		s.put(limitGrants, float64(o.Grants), o.Name)
		s.put(limitBlocked, o.Blocked, o.Name)
	}
	var rest []Option // sums of those not told apart
	for i, k := range x.Keys {
		if i >= Keys {
			rest = addRest(rest, &k)
			continue
		}
		if !k.Throttle {
			s.put(keyUse, float64(k.Use), k.Option, k.Key)
			s.put(keyMax, float64(k.Max), k.Option, k.Key)
		}
		s.put(keyWaiters, float64(k.Waiters), k.Option, k.Key)
		s.put(keyGrants, float64(k.Grants), k.Option, k.Key)
		s.put(keyBlocked, k.Blocked, k.Option, k.Key)
	}
	for _, o := range rest {
		s.put(keyUse, float64(o.Use), o.Name, Other)
		s.put(keyWaiters, float64(o.Waiters), o.Name, Other)
	}
}

func addRest(rest []Option, k *Key) []Option {
	for i := range rest {
		if o := &rest[i]; o.Name == k.Option {
			o.Use, o.Waiters = o.Use+k.Use, o.Waiters+k.Waiters
			return rest
		}
	}
	return append(rest, Option{Name: k.Option, Use: k.Use, Waiters: k.Waiters})
}

func (s sink) edges(x *Sample) {
	s.put(spoolMessages, float64(x.Spool.Messages))
	s.put(spoolLive, float64(x.Spool.Live))
	s.put(spoolDisk, float64(x.Spool.Disk))
	s.put(spoolFree, float64(x.Spool.Free))
	s.put(spoolSegments, float64(x.Spool.Segments))
	s.put(spoolSyncs, float64(x.Spool.Syncs))
	s.put(spoolQuarantined, float64(x.Spool.Quarantined))
	s.flag(spoolSick, x.Spool.Sick)
	s.flag(spoolFull, x.Spool.Full)
	s.put(backlog, float64(x.Outcomes), "outcomes")
	s.put(backlog, float64(x.Accounts), "accounts")
	s.put(backlog, float64(x.Changes), "changes")
	s.put(sessions, float64(x.Sessions))
	s.put(intakeAccepted, float64(x.Accepted))
	s.flag(intakePressured, x.Closed)
	s.put(dnsAsked, float64(x.DNS.Asked))
	s.put(dnsHits, float64(x.DNS.Hits))
	s.put(dnsStale, float64(x.DNS.Stale))
	s.put(dnsQueries, float64(x.DNS.Lookups))
	s.put(dnsFailures, float64(x.DNS.Failures))
	s.put(dnsEntries, float64(x.DNS.Entries))
	s.put(filesLimit, float64(x.FilesLimit))
	s.put(filesRoom, float64(x.FilesRoom))
}
