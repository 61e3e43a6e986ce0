package sink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Over says what becomes of a client that is over a limit.
type Over string

const (
	OverReply Over = "reply" // 421 4.7.0, then closed
	OverDrop  Over = "drop"  // closed without a word
)

// Options of a sink. The zero value of each field is its default.
type Options struct {
	Listen   []string // "HOST:PORT"; default 127.0.0.1:0
	Hostname string   // in the greeting; default sink.test

	MaxConnections      int  // at one instant, over all listeners; 0: no limit
	MaxConnectionsPerIP int  // at one instant from one source address; 0: no limit
	ConnRate            Rate // of accept(), over all listeners; burst 1 unless it says another
	MsgRate             Rate // of MAIL, over all listeners; burst one second's worth unless it says another
	Over                Over // default OverReply

	Latency   time.Duration // round-trip time of the line; 0: none
	Think     time.Duration // before each reply
	SlowEvery time.Duration // between the octets of slow-replies; default 1 s
	Idle      time.Duration // longest silence of a client; default 5 min
	Faults    []Fault
	Seed      uint64 // of the faults; 0: one is chosen, see Sink.Seed

	IDHeader string   // names the header that tells messages apart; default Message-ID
	MaxSize  int64    // of a message, octets; default 100 MiB
	Without  []string // extensions that are not offered: PIPELINING, CHUNKING
	TLS      bool     // offer STARTTLS with a certificate made at start
	// Certificate and Key are files, PEM, that STARTTLS is offered with instead; set together.
	Certificate, Key string

	Ledger  string // append the id of each accepted message to this file, before its 250
	Dump    string // keep the first messages in this directory, N.eml and N.json
	DumpMax int    // how many; default 100

	Status string // "HOST:PORT" where an HTTP GET returns the report; empty: none
}

// SandboxOptions is the receiver of `serve --sandbox`: it behaves as providers do,
// with a limit by source address, some latency and a few temporary refusals.
func SandboxOptions() Options {
	return Options{
		Hostname:            "sandbox.test",
		MaxConnectionsPerIP: 20,
		Latency:             20 * time.Millisecond,
		Think:               2 * time.Millisecond,
		Faults: []Fault{
			{Greeting4xx, 0.01},
			{Rcpt4xx, 0.01},
			{Dot4xx, 0.01},
		},
	}
}

// Check returns what is wrong with the options, every mistake.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

// withDefaults returns o with every default filled in, or what is wrong with it.
func (o Options) withDefaults() (Options, error) {
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:0"}
	}
	setDefault(&o.Hostname, "sink.test")
	setDefault(&o.Over, OverReply)
	setDefault(&o.SlowEvery, time.Second)
	setDefault(&o.Idle, 5*time.Minute)
	setDefault(&o.IDHeader, "Message-ID")
	setDefault(&o.MaxSize, 100<<20)
	setDefault(&o.DumpMax, 100)
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o, o.validate()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(o.MaxConnections < 0, "max-connections %d: below 0", o.MaxConnections)
	bad(o.MaxConnectionsPerIP < 0, "max-connections-per-ip %d: below 0", o.MaxConnectionsPerIP)
	bad(o.Over != OverReply && o.Over != OverDrop, "over %q: want reply or drop", o.Over)
	bad(o.Latency < 0, "latency %s: below 0", o.Latency)
	bad(o.Think < 0, "think %s: below 0", o.Think)
	bad(o.SlowEvery < 0, "slow-every %s: below 0", o.SlowEvery)
	bad(o.Idle < 0, "idle %s: below 0", o.Idle)
	bad(o.MaxSize < 0, "max-size %d: below 0", o.MaxSize)
	bad((o.Certificate == "") != (o.Key == ""), "certificate and key belong together: one of them is missing")
	bad(o.DumpMax < 0, "dump-max %d: below 0", o.DumpMax)
	bad(strings.ContainsAny(o.IDHeader, ": \t\r\n"), "id-header %q: not the name of a header", o.IDHeader)
	bad(strings.ContainsAny(o.Hostname, " \t\r\n"), "hostname %q: not a name", o.Hostname)
	for _, w := range o.Without {
		bad(!slices.Contains(optional, strings.ToUpper(w)), "without %q: want %s", w, strings.Join(optional, " or "))
	}
	seen := map[FaultKind]bool{}
	for _, f := range o.Faults {
		bad(seen[f.Kind], "fault %s: given twice", f.Kind)
		seen[f.Kind] = true
		_, err := ParseFault(fmt.Sprintf("%s=%g", f.Kind, f.Share))
		bad(err != nil, "%w", err)
	}
	return errors.Join(errs...)
}

// optional are the extensions that a sink can be without. They change only what it offers: a client
// that makes use of them nevertheless is served.
var optional = []string{"PIPELINING", "CHUNKING"}

// offers reports whether an extension is offered.
func (o Options) offers(extension string) bool {
	return !slices.ContainsFunc(o.Without, func(w string) bool { return strings.EqualFold(w, extension) })
}

// shares returns the faults that can happen at all.
func (o Options) shares() map[FaultKind]float64 {
	m := map[FaultKind]float64{}
	for _, f := range o.Faults {
		if f.Share > 0 {
			m[f.Kind] = f.Share
		}
	}
	return m
}
