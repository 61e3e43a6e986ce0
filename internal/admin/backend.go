package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/spool"
)

// ErrNotFound: no such queue, binding, domain or message. Backends wrap it with the
// name and what to do.
var ErrNotFound = errors.New("not found")

// ErrRefused: the request cannot be carried out as asked; the text says why and what
// to change.
var ErrRefused = errors.New("refused")

// Backend is what the API needs of the server. Safe for concurrent use.
type Backend interface {
	Status() Status
	// Top looks at what moves and what waits; order is as TopQueues has it, of n rows.
	Top(order string, n int) (Top, error)
	// Metrics serves all metrics in the Prometheus format.
	Metrics() http.Handler
	// Queues lists at most n queues after the cursor ("" begins) and gives the cursor of
	// the next page, empty at the end.
	Queues(cursor string, n int) ([]sched.QueueView, string)
	// TopQueues lists the n queues with most of what order names (sched.NewTop).
	TopQueues(order string, n int) ([]sched.QueueView, error)
	// Explain answers for a queue (domain/binding[/tenant]), a domain, a binding, a host, a
	// message ID or a counter as it is printed ("OPTION KEY"). domain:, binding: and host:
	// before a name say which it is where it could be several.
	Explain(subject string) (sched.Explained, error)
	// Bindings lists all bindings, by name, without their domains.
	Bindings() []sched.BindingView
	// Binding shows one with its domains.
	Binding(name string) (sched.BindingView, error)
	Domain(name string) (Domain, error)
	// Dig looks a domain's records up.
	Dig(name string) (Dig, error)
	Message(id string) (Message, error)
	// Eval answers `config eval` for the running configuration.
	Eval(words []string) (Answer, error)
	// Reload reads the configuration again: all or nothing.
	Reload() (Reloaded, error)
	// Plan says what a reload with another configuration would change.
	Plan(policy.ShownScope) (Plan, error)
	// Operate carries out a verb on the queues that match; empty names match all.
	Operate(Operation) (Operated, error)
	// Suppressed lists at most n entries that were added to the suppression list, after one
	// of them ("" begins).
	Suppressed(after string, n int) SuppressedPage
	// Suppress changes the suppression list, or looks something up in it.
	Suppress(Suppression) (SuppressionDone, error)
	// Suspensions lists the orders to deliver nothing that stand.
	Suspensions() []Suspension
	// Trace calls each with what is said on connections until it returns an error, the
	// context ends or the server stops.
	Trace(ctx context.Context, f TraceFilter, each func(TraceLine) error) error
}

// Status is the server at a glance.
type Status struct {
	Version    string       `json:"version"`
	Hostname   string       `json:"hostname"`
	Config     string       `json:"config"` // the file; empty for the defaults
	Generation uint64       `json:"generation"`
	Uptime     float64      `json:"uptime_seconds"`
	Queue      sched.Totals `json:"queue"`
	Spool      spool.Stats  `json:"spool"`
	Files      Files        `json:"files"`
	Pressure   string       `json:"pressure"` // why mail is being refused; empty: it is not
	Accounting string       `json:"accounting"`
}

// Files is the open-file budget.
type Files struct {
	Limit       int    `json:"limit"`       // RLIMIT_NOFILE
	Connections int    `json:"connections"` // outbound connections it leaves room for
	Asked       int    `json:"asked"`       // what the configured limits could ask for; -1: no bound
	Warning     string `json:"warning,omitempty"`
}

// Domain is a domain with its routes and connections.
type Domain struct {
	Domain  string            `json:"domain"`
	TTL     int               `json:"ttl_seconds"`
	MX      []MX              `json:"mx"`
	Failure string            `json:"failure,omitempty"` // why it has no route by the DNS
	Null    bool              `json:"null_mx"`           // it takes no mail
	Gateway string            `json:"gateway,omitempty"` // where its mail goes instead, from the binding "default"
	TLS     []string          `json:"tls"`               // in words: what its hosts ask of connections from the binding "default", by MTA-STS and DANE
	Rollups []string          `json:"rollups"`           // in words: what it is counted under by which file and line, or why not
	Conns   int               `json:"connections"`
	Hosts   []sched.HostView  `json:"hosts"` // those that its queues use now, with their state
	Queues  []sched.QueueView `json:"queues"`
	More    bool              `json:"more_queues"` // there are more than those
}

// MX is one host of a domain.
type MX struct {
	Preference int      `json:"preference"`
	Host       string   `json:"host"`
	TTL        int      `json:"ttl_seconds"`
	Addresses  []string `json:"addresses"`
	AddressTTL int      `json:"address_ttl_seconds"` // the least of them; 0: there are none
	Failure    string   `json:"failure,omitempty"`
}

// Dig is a domain's records as the server's resolver sees them.
type Dig struct {
	Domain  string   `json:"domain"`
	Failure string   `json:"failure,omitempty"`
	Null    bool     `json:"null_mx"`     // it takes no mail
	NoMX    bool     `json:"implicit_mx"` // it has no MX record and is its own host
	Records []Record `json:"records"`
}

// Add adds a record.
func (d *Dig) Add(r Record) { d.Records = append(d.Records, r) }

// Record is one record, or that there is none of the type.
type Record struct {
	Name    string `json:"name"`
	TTL     int    `json:"ttl_seconds"` // what is left of it
	Type    string `json:"type"`
	Data    string `json:"data"`
	Source  string `json:"source"` // zone file, cache, network (asked just now), stale cache
	Failure string `json:"failure,omitempty"`
}

// Message is one message in the spool.
type Message struct {
	ID         string      `json:"id"`
	Sender     string      `json:"sender"`
	Received   string      `json:"received"` // RFC 3339
	Size       int64       `json:"size"`
	Tenant     string      `json:"tenant"`
	Job        string      `json:"job"`
	Priority   string      `json:"priority"`
	Recipients []Recipient `json:"recipients"`
}

// Recipient is one recipient of a Message.
type Recipient struct {
	Address string `json:"address"`
	Domain  string `json:"domain"`
	Binding string `json:"binding"`
}

// Answer is what `config eval` prints: as JSON, and as text, the line and then why.
type Answer struct {
	policy.AnswerView
	Text string `json:"text"`
}

// Reloaded tells what a reload did.
type Reloaded struct {
	Generation uint64   `json:"generation"`
	Warnings   []string `json:"warnings"`
}

// Operation is an operator's verb.
type Operation struct {
	Verb    string `json:"verb"` // suspend, resume, retry, fail, rebind
	Domain  string `json:"domain"`
	Binding string `json:"binding"`
	Tenant  string `json:"tenant"`
	Job     string `json:"job"`     // of retry, fail and rebind
	To      string `json:"to"`      // of rebind: a binding or a group
	Reason  string `json:"reason"`  // of fail: what senders are told; of suspend: why
	DryRun  bool   `json:"dry_run"` // count only
	By      string `json:"by"`
}

// Operated says what a verb met.
type Operated struct {
	Queues int `json:"queues"`
	sched.Selection
}

// Suspension is an operator's order to deliver nothing; an empty name stands for all.
type Suspension struct {
	Domain  string `json:"domain"`
	Binding string `json:"binding"`
	Tenant  string `json:"tenant"`
	By      string `json:"by"`
	Reason  string `json:"reason"`
	Since   string `json:"since"` // RFC 3339
}
