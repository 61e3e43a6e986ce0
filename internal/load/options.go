package load

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"time"
)

// Options of a load. The zero value of each field but From is its default.
type Options struct {
	To       string // "HOST:PORT"; required
	Sessions int    // side by side; default 1
	Messages int    // in all; default 1; at most 100 million
	Size     int    // of each message with its header, octets; raised to what the header takes
	From     string // sender; empty is the null sender <>
	Rcpt     string // default rcpt@one.test; its domain is not used when Domains is set

	// Domains spreads the messages evenly, in random order, over d1.SUFFIX to dN.SUFFIX.
	Domains      int
	DomainSuffix string // default load.test
	Seed         uint64 // of that order; 0: one is chosen

	Headers        []string // "NAME: VALUE" added to each message; From, To, Subject and Date replace the load's own
	Rate           float64  // messages a second over all sessions; 0: as fast as the server takes them
	NewConnections bool     // one connection for each message

	// Retry repeats 4xx replies, and connections that could not be opened or ended before
	// the content was sent.
	Retry   bool
	GiveUp  time.Duration // how long a message or a connection is tried again; default 1 min
	Timeout time.Duration // for one message or greeting; default 5 min

	Ledger   string       // append the id of each accepted message to this file
	Progress func(Result) // called four times a second while the load runs
}

const maxMessages = 100_000_000

// Check returns what is wrong with the options, every mistake.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Sessions, 1)
	setDefault(&o.Messages, 1)
	setDefault(&o.Rcpt, "rcpt@one.test")
	setDefault(&o.DomainSuffix, "load.test")
	setDefault(&o.GiveUp, time.Minute)
	setDefault(&o.Timeout, 5*time.Minute)
	for o.Seed == 0 {
		o.Seed = mrand.Uint64()
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
	bad(o.To == "", "to: say where the mail goes, HOST:PORT")
	bad(o.Sessions < 1 || o.Sessions > 100_000, "sessions %d: want 1 to 100000", o.Sessions)
	bad(o.Messages < 1 || o.Messages > maxMessages, "messages %d: want 1 to %d", o.Messages, maxMessages)
	bad(o.Size < 0 || o.Size > 1<<30, "size %d: want 0 to 1 GiB", o.Size)
	bad(o.Domains < 0 || o.Domains > maxMessages, "domains %d: want 0 to %d", o.Domains, maxMessages)
	bad(!(o.Rate >= 0 && o.Rate <= 1e9), "rate %g: want 0 to 1e9 messages a second", o.Rate) // written so that NaN is refused
	bad(o.GiveUp < 0 || o.Timeout < 0, "a time is below 0")
	for name, address := range map[string]string{"from": o.From, "rcpt": o.Rcpt, "domain-suffix": o.DomainSuffix} {
		bad(strings.ContainsAny(address, "<> \t\r\n\x00"), "%s %q: not an address", name, address)
	}
	for _, h := range o.Headers {
		name, _, ok := strings.Cut(h, ":")
		bad(!ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(h, "\r\n\x00"), "header %q: want \"NAME: VALUE\"", h)
		bad(strings.EqualFold(name, "Message-ID"), "header %q: the load numbers its messages itself", h)
	}
	return errors.Join(errs...)
}

// newRun names one run, so that its ids are its own.
func newRun() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
