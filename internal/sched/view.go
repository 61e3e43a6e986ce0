package sched

import "time"

// What the machine answers about itself: read-only, in pages. The JSON names are
// relied on by others; fields may be added, never renamed.

// CounterView is one counter on a path, as explain shows it.
type CounterView struct {
	Option  string `json:"option"`
	Key     string `json:"key"`
	Use     int    `json:"use"`
	Limit   int    `json:"limit"`
	Waiters int    `json:"waiters"`
	Stanza  string `json:"stanza"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Since   string `json:"since,omitempty"` // RFC 3339: how long the queue has waited on it; filled in by the driver from SinceAt
	SinceAt int64  `json:"-"`               // ns of CLOCK_BOOTTIME; 0: it does not wait on this one
}

// Explanation says why a queue does or does not move.
type Explanation struct {
	Queue     string             `json:"queue"` // domain/binding, with a tenant domain/binding/tenant
	Routing   string             `json:"routing_domain"`
	Rollup    string             `json:"rollup,omitempty"` // in words: under what it is counted by which file and line, or why not
	State     string             `json:"state"`            // in words: "waits for a connection slot", "next retry in 18m", "resolving", ...
	WaitingOn *CounterView       `json:"waiting_on"`
	Path      []CounterView      `json:"path"`
	Waited    map[string]float64 `json:"waited"` // seconds by counter key
	Next      string             `json:"next"`   // RFC 3339 time of the next thing to happen, or empty
	NextAt    int64              `json:"-"`
	Queued    int                `json:"queued"`
	Ready     int                `json:"ready"`
	Conns     int                `json:"connections"`
	Hosts     []HostView         `json:"hosts"`
	LastReply string             `json:"last_reply,omitempty"`
}

// HostView is one host of a queue's route.
type HostView struct {
	Host       string `json:"host"`
	Preference int    `json:"preference"`
	Addresses  string `json:"addresses"`
	Conns      int    `json:"connections"`
	State      string `json:"state"` // "ok", "failed, tried again in 80s", "full", ...
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
}

// BindingUsage is a binding's connections to one domain.
type BindingUsage struct {
	Domain string `json:"domain"`
	Conns  int    `json:"connections"`
	Limit  int    `json:"limit"` // -1: none
}

// Totals counts what the machine holds.
type Totals struct {
	Messages    int           `json:"messages"`
	Parts       int           `json:"parts"`
	Queues      int           `json:"queues"`
	Connections int           `json:"connections"`
	Oldest      time.Duration `json:"-"`
}

// DomainView is a domain over all bindings.
type DomainView struct {
	Domain string      `json:"domain"`
	Queues []QueueView `json:"queues"`
	Hosts  []HostView  `json:"hosts"`
	Conns  int         `json:"connections"`
}
