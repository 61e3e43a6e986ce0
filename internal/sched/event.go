package sched

import (
	"net/netip"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// ConnID names one connection, from Connect to Closed. Never reused.
type ConnID uint64

// PartID names one part while it lives: some recipients of one message for one
// binding, routing domain and site, at most max_recipients_per_batch of them.
// Never reused.
type PartID uint64

// Event is something that happened outside. Times in events are nanoseconds of
// CLOCK_BOOTTIME, as `now`.
type Event interface{ event() }

type (
	// Submitted brings a message that the spool has durably, new or recovered.
	Submitted struct {
		Message   mail.ID
		Envelope  *mail.Envelope // passed on to the Account of the received record, not kept; nil when recovered
		Tenant    string
		Job       string
		Priority  mail.Priority
		Received  int64 // when it was accepted; clamped so that its age is at least 0
		Recovered bool
		Parts     []SubmittedPart

		Release  int64 // not attempted before (FUTURERELEASE); its life counts from then; 0: at once
		Deadline int64 // of DELIVERBY; 0: none
		// Notify says that at the deadline its delay is reported and it is tried on; else it is
		// given up then.
		Notify bool
		Traced bool // a Bounce with Relayed is to tell of recipients delivered to
	}
	// SubmittedPart is the recipients of the message for one binding and domain. The
	// scheduler cuts it by max_recipients_per_batch.
	SubmittedPart struct {
		Binding    string
		Group      string // the group that Binding was chosen from; empty: it was named itself
		Domain     string // canonical recipient domain
		Policy     *policy.Queue
		Generation uint64 // of the snapshot that gave Policy
		Recipients []int  // indices into the envelope
		Attempts   int    // attempts so far
		Due        int64  // not tried before; clamped to now + max_retry_interval
		// Refused, when set, ends them at once, without an attempt; Report says whether their
		// sender is told.
		Refused *mail.Reply
		Report  bool
	}

	// Resolved answers Resolve: where mail of a binding for a domain may go, and what its
	// connections are counted under.
	Resolved struct {
		Binding string
		Domain  string
		// Routing is the routing domain: every counter and throttle of the mail uses it.
		// Empty: the domain itself, or the gateway of Policy.
		Routing string
		// Policy is what holds under that routing domain, as the snapshot of Generation says;
		// nil: what the scheduler has.
		Policy     *policy.Queue
		Generation uint64
		// MX names all hosts of the domain's MX records, the Best first ones those of the best
		// preference: also those that Hosts has no room for, or no address of. Empty when the
		// records are not asked for (gateway, routes), or unknown.
		MX   []string
		Best int
		// Barred are those of MX to which a policy of the domain (MTA-STS) lets no mail go.
		Barred []string
		// Hosts in order of preference, best first. Hosts with an equal Preference are
		// equals, in random order. Already filtered by policy (MTA-STS, DANE), families
		// and prohibited addresses; at most max_mx_hosts of them, each with at most
		// max_addresses_per_host addresses.
		Hosts []RouteHost
		Until int64 // when the answer must be asked again
		// Class is ClassDelivered (here: "resolved") when Hosts holds; otherwise the
		// failure: ClassDeferred (SERVFAIL, time-out), ClassRefused (no such domain, null MX,
		// only prohibited hosts) or ClassLocal (no resolver reachable: no attempt counted).
		Class mail.Class
		Reply mail.Reply // the failure in words
	}
	// RouteHost is one MX host.
	RouteHost struct {
		Name       string // as in the MX record, canonical
		Preference int
		Addresses  []netip.Addr
		Port       uint16
		TLS        TLS
		TLSA       []mail.TLSA // for TLSDANE: usable ones, one of which the certificate must satisfy; not changed
		Names      []string    // for TLSDANE: those of which it must show one, where a trust anchor is named; not changed
		Protocol   policy.Protocol
		TLSWhy     string // what asks for it, in words; empty: tls and tls_verify
		Policy     *policy.Host
	}

	// Connected says that a session is ready: greeting, EHLO and TLS are done.
	Connected struct {
		Conn   ConnID
		TLS    bool
		Limits SessionLimits
	}
	// SessionLimits is what the receiver takes at most (RFC 9422); 0: it does not say.
	SessionLimits struct {
		Mail       int // transactions of one connection
		Rcpt       int // recipients of one transaction
		RcptDomain int // domains of recipients on one connection
	}
	// ConnectFailed says that no session came about. Closed follows when the receiver
	// has let go.
	ConnectFailed struct {
		Conn  ConnID
		Class ConnectClass
		Reply mail.Reply
	}
	// Wants gives the scheduler credit for N further parts on the connection.
	Wants struct {
		Conn ConnID
		N    int
	}
	// Attempted reports a transaction: an outcome for every recipient of the part.
	Attempted struct {
		Conn     ConnID
		Part     PartID
		Outcomes []mail.Outcome
		Attempt  *mail.Attempt // passed on to Account and Bounce, not looked into
	}
	// Returned gives a part back that was not begun: no attempt. Class ClassTooMany of a
	// whole part never comes this way. Sent says that something of it went out before the
	// receiver ended the session: what its rates counted stays counted.
	Returned struct {
		Conn ConnID
		Part PartID
		Sent bool
	}
	// Closed says that the receiver has let go of the connection: its permit returns.
	Closed struct {
		Conn  ConnID
		Class ConnectClass // ConnectOK for an orderly end
		Reply mail.Reply   // e.g. the 421 that ended it
	}

	// Recorded says that all accounting records up to and with number Upto are written.
	Recorded struct{ Upto uint64 }
	// Stored says that all spool changes (Persist, Bounce, Finish) up to and with number
	// Upto are written.
	Stored struct{ Upto uint64 }
	// StoreFailed says that the spool cannot write: no part is handed out until Stored
	// moves on again or Healthy comes.
	StoreFailed struct{ Healthy bool }

	// PolicyChanged applies a new configuration. Resolved outside the lock for every
	// queue and host the scheduler knows (Names); what it does not name is unchanged.
	// Applied in slices; lowered limits first.
	PolicyChanged struct {
		Generation uint64
		Server     policy.Server
		Queues     []QueuePolicy
		Hosts      []HostPolicy
		Tenants    map[string]int // weight by name; looked up, never ranged over
	}
	// QueuePolicy is the policy of one binding and domain under the new configuration, and
	// the routing domain that it gives (as in Resolved). A nil Policy says that the binding
	// is gone: the scheduler asks by Rebind.
	QueuePolicy struct {
		Binding, Domain string
		Routing         string
		Policy          *policy.Queue
		// Ask says that Routing could not be decided: nothing is opened until a Resolved
		// says what the queue is counted under.
		Ask bool
	}
	// HostPolicy is the policy of one binding and host under the new configuration.
	HostPolicy struct {
		Binding, Host string
		Policy        *policy.Host
	}

	// Rebound answers Rebind with the other bindings of the group that the configuration
	// does not suspend. The scheduler leaves out those it knows to be out of order, gives each
	// message one by the weighted hash of its ID, and records it by Persist. Without
	// candidates the mail stays where it is and waits.
	Rebound struct {
		Binding    string
		Domain     string
		Group      string // as asked
		Candidates []Candidate
	}
	// Candidate is one binding that could take mail over.
	Candidate struct {
		Binding    string
		Weight     int
		Policy     *policy.Queue // for the domain of the Rebound
		Generation uint64
	}

	// Operator is an operator's verb on queues.
	Operator struct {
		Verb    Verb
		Binding string     // empty: all
		Domain  string     // empty: all
		Tenant  string     // empty: all
		Job     string     // empty: all; for Retry, Fail and Move
		By      string     // who asked, for explain
		Reply   mail.Reply // of Fail: what senders are told; of Suspend: why

		// Restored says that the order was given before a restart, at Since.
		Restored bool
		Since    int64

		// Targets says where Move takes the mail of a domain to; looked up, never ranged
		// over. Group says that they are a group's, whose members may take over from each other.
		Targets map[string][]Candidate
		Group   bool
	}

	// Stop begins the drain: no new connection, idle ones close, transactions end.
	Stop struct{}
	// Tick does nothing by itself: the time has come that WakeAt asked for, or a step
	// left work to do.
	Tick struct{}
)

// Verb is what an operator asks.
type Verb uint8

const (
	Suspend Verb = iota + 1 // deliver nothing until Resume
	Resume
	Retry // make everything due now
	Fail  // end it, with a report to the sender
	Move  // give it to other bindings
)

// TLS is what a connection to a host must do about TLS.
type TLS uint8

const (
	TLSIfAvailable TLS = iota // STARTTLS when offered, without verification
	TLSNo
	TLSRequired // STARTTLS or no delivery
	TLSVerifyCA
	TLSVerifyHost
	TLSDANE // the certificate must satisfy a TLSA record (RFC 7672)

	tlsKinds = iota
)

var tlsNames = [...]string{"if available", "no", "required", "required, verified by its authority", "required, verified by its authority and name", "required, verified by DANE"}

func (t TLS) String() string { return tlsNames[t] }

// ConnectClass says how a connection failed or ended, and whom it speaks of.
type ConnectClass uint8

const (
	ConnectOK ConnectClass = iota
	// ConnectHost: this host failed (refused, timed out, bad greeting, 4xx or 5xx to the
	// greeting or EHLO): it is left alone for host_failure_retry, the next one is tried.
	ConnectHost
	// ConnectBusy: the receiver says that we hold too many connections or come too fast
	// (421 at the greeting, or later with nothing in flight): no host failure.
	ConnectBusy
	// ConnectTLS: the TLS handshake or STARTTLS failed; when TLS was only IfAvailable the
	// scheduler decides on a new connection without it.
	ConnectTLS
	// ConnectLocalAddress: the binding's source address is not on this machine.
	ConnectLocalAddress
	// ConnectLocalFiles: no file descriptors left.
	ConnectLocalFiles
	// ConnectLocalPorts: no local port left for this source and destination.
	ConnectLocalPorts
	// ConnectLocalRoute: this machine has no route to the address.
	ConnectLocalRoute
	// ConnectAborted: we ended it (Close with abort, shutdown).
	ConnectAborted
	// ConnectNever: as ConnectHost, and the host says that it never takes mail (RFC 7504).
	// Mail all of whose hosts say so is refused.
	ConnectNever
)

var connectNames = [...]string{"ok", "host", "busy", "tls", "local address", "local files", "local ports", "local route", "aborted", "never"}

func (c ConnectClass) String() string { return connectNames[c] }

// Local reports whether the trouble is our own: no attempt is counted and no host marked.
func (c ConnectClass) Local() bool { return c >= ConnectLocalAddress && c <= ConnectLocalRoute }

func (Submitted) event()     {}
func (Resolved) event()      {}
func (Connected) event()     {}
func (ConnectFailed) event() {}
func (Wants) event()         {}
func (Attempted) event()     {}
func (Returned) event()      {}
func (Closed) event()        {}
func (Recorded) event()      {}
func (Stored) event()        {}
func (StoreFailed) event()   {}
func (PolicyChanged) event() {}
func (Rebound) event()       {}
func (Operator) event()      {}
func (Stop) event()          {}
func (Tick) event()          {}
