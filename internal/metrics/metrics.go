package metrics

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// Keys is how many values a label takes that come from the configuration.
	Keys = 200
	// Other is the value of such a label for all that are not told apart.
	Other = "other"

	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// Outcome is what became of recipients.
type Outcome uint8

const (
	Received Outcome = iota
	Delivered
	Deferred
	Bounced
	outcomes
)

// Metrics holds the metrics of one server. Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	sampler  sampler
	outcomes [outcomes]*prometheus.CounterVec
	refused  *prometheus.CounterVec
	reported *prometheus.CounterVec
	times    times

	totals [outcomes]atomic.Uint64

	mu      sync.RWMutex
	binding map[string]*[outcomes]prometheus.Counter
}

// New returns metrics that have read called at each scrape, once at a time.
func New(read func() Sample) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), sampler: sampler{read: read},
		binding: map[string]*[outcomes]prometheus.Counter{},
		refused: counterVec(intakeRefused), reported: counterVec(reportsTaken),
	}
	own := []prometheus.Collector{m.refused, m.reported, &m.times}
	for i, x := range [outcomes]*metric{received, delivered, deferred, bounced} {
		m.outcomes[i] = counterVec(x)
		own = append(own, m.outcomes[i])
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(own...)
	m.registry.MustRegister(&m.sampler)
	return m
}

func counterVec(m *metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.name, Help: m.help}, m.labels)
}

// Handler serves GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout, EnableOpenMetrics: true,
	})
}

// Accounted counts n recipients of a binding.
func (m *Metrics) Accounted(o Outcome, binding string, n int) {
	m.mu.RLock()
	b := m.binding[binding]
	m.mu.RUnlock()
	if b == nil {
		b = m.newBinding(binding)
	}
	b[o].Add(float64(n))
	m.totals[o].Add(uint64(n))
}

// newBinding gives a binding counters of its own while there are few; the first keep
// theirs, so that no counter ever falls.
func (m *Metrics) newBinding(name string) *[outcomes]prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.binding[name]; b != nil {
		return b
	}
	if len(m.binding) >= Keys {
		name = Other
		if b := m.binding[name]; b != nil {
			return b
		}
	}
	b := new([outcomes]prometheus.Counter)
	for i := range b {
		b[i] = m.outcomes[i].WithLabelValues(name)
	}
	m.binding[strings.Clone(name)] = b
	return b
}

// Totals are the recipients counted since the start, by Outcome.
func (m *Metrics) Totals() (t [outcomes]uint64) {
	for o := range t {
		t[o] = m.totals[o].Load()
	}
	return t
}

// Refused counts a refusal at intake. The reason is a word of the program's own.
func (m *Metrics) Refused(reason string) { m.refused.WithLabelValues(reason).Inc() }

// Reported counts a report from a receiver. The kind is a word of the program's own.
func (m *Metrics) Reported(kind string, verified bool) {
	yes := "no"
	if verified {
		yes = "yes"
	}
	m.reported.WithLabelValues(kind, yes).Inc()
}

// rises keeps sums over counters that come and go from falling: a scrape may miss one that
// went while it looked.
type rises struct {
	mu   sync.Mutex
	high map[string]float64
}

// rise returns the highest value seen so far. Its labels are the program's own words.
func (r *rises) rise(m *metric, labels []string, v float64) float64 {
	key := m.name + "\x00" + strings.Join(labels, "\x00")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.high == nil {
		r.high = map[string]float64{}
	}
	r.high[key] = max(r.high[key], v)
	return r.high[key]
}
