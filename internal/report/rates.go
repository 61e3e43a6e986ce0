package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/sched"
)

// The marks of deferral rates: above the first one a receiver deserves a look, above the
// second one less should be sent at once.
const (
	Investigate = 0.05
	Reduce      = 0.15
)

// enough is how many attempts a rate needs to be judged.
const enough = 20

// Rates counts attempts and deferrals of accounting records.
type Rates struct {
	Attempts    int           `json:"attempts"` // outcomes of recipients: delivered, deferred, bounced
	Domains     []Rate        `json:"domains"`  // highest rate first
	Bindings    []Rate        `json:"bindings"`
	Sources     []Rate        `json:"sources"`
	Diagnostics []*Diagnostic `json:"diagnostics"` // most frequent first
	Findings    []Finding     `json:"findings"`

	domains, bindings, sources map[string]*Rate
	pairs                      map[pair]*Rate // domain and source
	diagnostics                map[diagnosticKey]*Diagnostic
}

// Rate is the outcomes of one group.
type Rate struct {
	Name     string  `json:"name"`
	Attempts int     `json:"attempts"`
	Deferred int     `json:"deferred"`
	Bounced  int     `json:"bounced"`
	Rate     float64 `json:"deferral_rate"` // of attempts, 0 to 1
	Mark     string  `json:"mark"`          // "investigate" above 5 %, "reduce" above 15 %, else empty
}

// Diagnostic is a reply, by the beginning of its text, that a domain gave.
type Diagnostic struct {
	Domain string `json:"domain"`
	Text   string `json:"text"`
	Class  string `json:"class"`
	Scope  string `json:"scope"`
	Count  int    `json:"count"`
}

// Finding says whether the trouble with a domain is one of the configuration or of some
// source addresses.
type Finding struct {
	Domain  string   `json:"domain"`
	Rate    float64  `json:"deferral_rate"`
	Kind    string   `json:"kind"`    // "configuration", "addresses", "one address only"
	Sources []string `json:"sources"` // with kind addresses: those in trouble
}

type pair struct{ domain, source string }

type diagnosticKey struct{ domain, text string }

// NewRates returns counts of nothing.
func NewRates() *Rates {
	return &Rates{
		domains: map[string]*Rate{}, bindings: map[string]*Rate{}, sources: map[string]*Rate{},
		pairs: map[pair]*Rate{}, diagnostics: map[diagnosticKey]*Diagnostic{},
	}
}

// Add counts a record; what is no outcome of an attempt at a receiver is passed over.
func (t *Rates) Add(r *account.Record, rules *classify.Rules) {
	domain := domainOf(r)
	if r.Kind != sched.RecordDelivered && r.Kind != sched.RecordDeferred && r.Kind != sched.RecordBounced || domain == "" {
		return
	}
	t.Attempts++
	source := ""
	if r.Local.IsValid() {
		source = r.Local.String()
	}
	count(t.domains, domain, domain, r.Kind)
	count(t.bindings, r.Binding, r.Binding, r.Kind)
	if source != "" {
		count(t.sources, source, source, r.Kind)
		count(t.pairs, pair{domain, source}, source, r.Kind)
	}
	if r.Kind != sched.RecordDelivered {
		t.diagnose(r, domain, rules)
	}
}

func count[K comparable](m map[K]*Rate, key K, name string, kind sched.RecordKind) {
	e := m[key]
	if e == nil {
		e = &Rate{Name: name}
		m[key] = e
	}
	e.Attempts++
	switch kind {
	case sched.RecordDeferred:
		e.Deferred++
	case sched.RecordBounced:
		e.Bounced++
	}
}

// domainOf is the domain that mail was queued for; older files of PowerMTA do not have it,
// then it is the recipient's.
func domainOf(r *account.Record) string {
	if r.Domain != "" {
		return r.Domain
	}
	return strings.ToLower(r.Recipient[strings.LastIndexByte(r.Recipient, '@')+1:])
}

func (t *Rates) diagnose(r *account.Record, domain string, rules *classify.Rules) {
	s := Subject(r)
	text := s.Reply
	text.Text = Pattern(text.Text)
	key := diagnosticKey{domain, text.String()}
	d := t.diagnostics[key]
	if d == nil {
		if len(t.diagnostics) >= maxTexts {
			return
		}
		j := rules.Judge(&s)
		c := Judged(&j)
		d = &Diagnostic{Domain: domain, Text: key.text, Class: c.Class, Scope: c.Scope}
		t.diagnostics[key] = d
	}
	d.Count++
}

// Finish computes the rates, puts everything in order and looks for where the trouble is.
func (t *Rates) Finish() {
	t.Domains, t.Bindings, t.Sources = ranked(t.domains), ranked(t.bindings), ranked(t.sources)
	t.Diagnostics, t.Findings = []*Diagnostic{}, []Finding{}
	for _, d := range t.diagnostics { // sorted below: the order does not matter
		t.Diagnostics = append(t.Diagnostics, d)
	}
	slices.SortFunc(t.Diagnostics, func(a, b *Diagnostic) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Text, b.Text))
	})
	for i := range t.Domains {
		if d := &t.Domains[i]; d.Mark != "" {
			t.Findings = append(t.Findings, t.find(d))
		}
	}
}

// find compares the source addresses at a domain. An address is in trouble when its rate is
// above the first mark; when all are, it is nothing about an address.
func (t *Rates) find(d *Rate) Finding {
	f := Finding{Domain: d.Name, Rate: d.Rate, Kind: "configuration", Sources: []string{}}
	judged := 0
	for key, e := range t.pairs { // sorted below: the order does not matter
		if key.domain != d.Name || e.Attempts < enough {
			continue
		}
		judged++
		if float64(e.Deferred) > Investigate*float64(e.Attempts) {
			f.Sources = append(f.Sources, key.source)
		}
	}
	slices.Sort(f.Sources)
	switch {
	case judged < 2:
		f.Kind, f.Sources = "one address only", []string{}
	case len(f.Sources) < judged:
		f.Kind = "addresses"
	default:
		f.Sources = []string{}
	}
	return f
}

// ranked computes the rates of groups, the highest first.
func ranked(m map[string]*Rate) []Rate {
	out := []Rate{}
	for _, e := range m { // sorted below: the order does not matter
		e.Rate = float64(e.Deferred) / float64(e.Attempts)
		e.Mark = ""
		if e.Attempts >= enough {
			switch {
			case e.Rate > Reduce:
				e.Mark = "reduce"
			case e.Rate > Investigate:
				e.Mark = "investigate"
			}
		}
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), b.Attempts-a.Attempts, cmp.Compare(a.Name, b.Name))
	})
	return out
}
