package sched

import "time"

// What the machine answers about itself: read-only, in pages. The JSON names are
// relied on by others; fields may be added, never renamed.

// CounterView is one counter or throttle on a path, as explain shows it.
type CounterView struct {
	Option      string  `json:"option"`
	Key         string  `json:"key"`
	Use         int     `json:"use"`
	Limit       int     `json:"limit"`
	Waiters     int     `json:"waiters"`
	Stanza      string  `json:"stanza"`
	File        string  `json:"file"`
	Line        int     `json:"line"`
	Since       string  `json:"since,omitempty"` // RFC 3339: how long the queue has waited on it; filled in by the driver from SinceAt
	SinceAt     int64   `json:"-"`               // ns of CLOCK_BOOTTIME; 0: it does not wait on this one
	Kind        string  `json:"kind"`            // "limit" or "throttle"
	Reserve     int     `json:"reserve,omitempty"`
	Claims      int     `json:"claims,omitempty"`     // queues that have waited long elsewhere too; for the oldest a slot, or a token, is kept
	Rate        string  `json:"rate,omitempty"`       // of a throttle: "60 in 3s, 1 at once"
	NextToken   string  `json:"next_token,omitempty"` // of a throttle: RFC 3339, when it admits one more; empty: now
	NextTokenAt int64   `json:"-"`
	Grants      float64 `json:"grants_per_second"` // connections, or tokens, over the last minute
	State       string  `json:"state"`             // "blocks", "full", "has room for 3", ...
}

// Name is how a counter is printed and asked for.
func (c *CounterView) Name() string { return c.Option + " " + c.Key }

// Explanation says why a queue does or does not move.
type Explanation struct {
	Queue     string             `json:"queue"` // domain/binding, with a tenant domain/binding/tenant
	Routing   string             `json:"routing_domain"`
	Rollup    string             `json:"rollup,omitempty"` // in words: under what it is counted by which file and line, or why not
	State     string             `json:"state"`            // in words: "waits for a connection slot", "next retry in 18m", "resolving", ...
	WaitingOn *CounterView       `json:"waiting_on"`
	Path      []CounterView      `json:"path"`
	Waited    map[string]float64 `json:"waited"` // seconds by cause; a counter is named "OPTION KEY"
	Next      string             `json:"next"`   // RFC 3339 time of the next thing to happen, or empty
	NextAt    int64              `json:"-"`
	Queued    int                `json:"queued"`
	Ready     int                `json:"ready"`
	Conns     int                `json:"connections"`
	Hosts     []HostView         `json:"hosts"`
	LastReply string             `json:"last_reply,omitempty"`
	LastClass *ReplyClass        `json:"last_reply_class,omitempty"` // what the reply rules say about it: filled in outside
	Wanted    int                `json:"wanted"`                     // connections that it wants, those that it has included
	Cause     string             `json:"cause"`                      // what it waits for now: "OPTION KEY", "resolving", ...; empty: it wants no more connections than it has
	Since     string             `json:"since,omitempty"`            // RFC 3339
	SinceAt   int64              `json:"-"`
	For       float64            `json:"for_seconds"` // how long it has waited for that
	Causes    []CauseView        `json:"causes"`      // its waiting time by cause, the longest first
	Estimate  *Estimate          `json:"estimate"`    // when it moves; null: nothing is waited for, or nothing can be said
	Oldest    float64            `json:"oldest_seconds"`
}

// CauseView is one cause of a queue's waiting.
type CauseView struct {
	Cause       string  `json:"cause"`
	Seconds     float64 `json:"seconds"` // since the queue is there
	Share       float64 `json:"share"`   // of all its waiting time, 0 to 1
	Recent      float64 `json:"recent_seconds"`
	RecentShare float64 `json:"recent_share"` // both in the ten minutes up to now, the running one included
}

// Estimate is when a queue is expected to move.
type Estimate struct {
	Seconds float64 `json:"seconds"` // from now
	At      string  `json:"at"`      // RFC 3339
	AtTime  int64   `json:"-"`
	Basis   string  `json:"basis"` // what it is worked out from, in words
}

// ReplyClass is what the reply rules say about a receiver's reply.
type ReplyClass struct {
	Class       string `json:"class"` // what it complains of; "unknown": no rule knows
	Scope       string `json:"scope,omitempty"`
	BounceClass int    `json:"bounce_class"`
	Bounce      string `json:"bounce"` // the bounce class in words
	Rule        string `json:"rule,omitempty"`
}

// HostView is one host of a queue's route.
type HostView struct {
	Host       string `json:"host"`
	Preference int    `json:"preference"`
	Addresses  string `json:"addresses"`
	Conns      int    `json:"connections"`
	State      string `json:"state"`  // "ok", "failed, tried again in 80s", "full", ...
	Why        string `json:"why"`    // more of it, in words: what is full, why it is not used; empty: nothing to say
	TLS        string `json:"tls"`    // what a connection must do about TLS, and what asks for it
	Broken     string `json:"broken"` // what it offers and does not do; filled in by the server, which remembers it
}

// QueueView is one row of `queue list`.
type QueueView struct {
	Queue     string       `json:"queue"`
	Tenant    string       `json:"tenant"`
	Binding   string       `json:"binding"`
	Domain    string       `json:"domain"`
	Routing   string       `json:"routing_domain"` // what its connections are counted under: the domain, its rollup or its gateway
	Queued    int          `json:"queued"`         // parts that wait for a time
	Ready     int          `json:"ready"`          // parts that wait for a connection
	Conns     int          `json:"connections"`
	Oldest    float64      `json:"oldest_seconds"`
	WaitingOn *CounterView `json:"waiting_on"`
	State     string       `json:"state"`
	Cause     string       `json:"cause"`       // as in Explanation
	For       float64      `json:"for_seconds"` // how long it has waited for that
}

// BindingView is one binding with its connections, in all and by domain.
type BindingView struct {
	Binding string         `json:"binding"`
	Group   string         `json:"group"`
	Conns   int            `json:"connections"`
	Limit   int            `json:"limit"` // smallest limit on all its connections; -1: none
	Queued  int            `json:"queued"`
	Ready   int            `json:"ready"`
	Trouble string         `json:"trouble,omitempty"`
	Domains []BindingUsage `json:"domains"`
	More    int            `json:"more_domains"` // so many are not listed
}

// BindingUsage is a binding's connections to one domain.
type BindingUsage struct {
	Domain string `json:"domain"`
	Conns  int    `json:"connections"`
	Limit  int    `json:"limit"` // -1: none
}

// DomainView is a domain over all bindings.
type DomainView struct {
	Domain string      `json:"domain"`
	Under  int         `json:"under"` // so many lanes (a domain from a binding) of other domains are counted under its name
	Queues []QueueView `json:"queues"`
	Hosts  []HostView  `json:"hosts"`
	Conns  int         `json:"connections"`
}

// Totals counts what the machine holds. It takes the same time however much that is.
type Totals struct {
	Messages    int           `json:"messages"`
	Parts       int           `json:"parts"`
	Queues      int           `json:"queues"`
	Connections int           `json:"connections"`
	Oldest      time.Duration `json:"-"`
	OldestSecs  float64       `json:"oldest_seconds"`
	Queued      int           `json:"queued"`        // parts that wait for a time
	Ready       int           `json:"ready"`         // parts that wait for a connection
	Flying      int           `json:"in_delivery"`   // parts on connections
	Waiting     []CauseTotal  `json:"waiting"`       // by cause: the option of a limit, or another one in words
	Counters    int           `json:"counters"`      // counters and throttles alive
	Backlog     int           `json:"write_backlog"` // outcomes that accounting or the spool has not written yet
}

// CauseTotal sums up the queues that wait, or have waited since the start, for causes of
// one name.
type CauseTotal struct {
	Cause   string  `json:"cause"`  // the option, for counters and throttles
	Queues  int     `json:"queues"` // that wait for it now
	Seconds float64 `json:"seconds"`
}
