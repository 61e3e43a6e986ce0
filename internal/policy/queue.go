package policy

import (
	"net/netip"
	"strconv"
	"time"
)

// Unlimited is the value -1 of a limit: it admits everything and has no counter.
const Unlimited = -1

// By says what a counter counts together: the parts of a connection's path that
// are in its key. The zero By is one counter for the whole server.
type By uint8

const (
	ByBinding By = 1 << iota
	ByGroup
	ByDomain  // the routing domain
	ByHost    // the MX host, by name
	ByAddress // one address of the host
	ByStanza  // the stanza that set the value: all names it matches are one
)

// Origin is where in the configuration a value was set. The zero Origin is the
// built-in default.
type Origin struct {
	Stanza string // container path and label, e.g. `binding_group "pool" / domain "/re/"`; "global" at top level
	File   string
	Line   int // from 1
	Column int // from 1
}

// IsDefault reports whether the value is the built-in default.
func (o Origin) IsDefault() bool { return o == Origin{} }

// String returns file:line, or "default".
func (o Origin) String() string {
	if o.IsDefault() {
		return "default"
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// Limit is one connection limit on a path: a ceiling and what it counts together.
type Limit struct {
	Option  string // canonical name, e.g. "max_outbound_connections"
	By      By
	Max     int // connections open at once; >= 0 (unlimited ones are left out of paths)
	Reserve int // slots above Max for a queue that has no connection at all (server_max only)
	Origin  Origin
}

// Act is what a throttle counts.
type Act uint8

const (
	ActConnections Act = iota + 1 // connections opened
	ActMessages                   // transactions begun
	ActRecipients                 // recipients attempted
)

var actNames = [...]string{"", "connections", "messages", "recipients"}

func (a Act) String() string { return actNames[a] }

// Throttle is how often an act may happen on a path, and what is counted together.
type Throttle struct {
	Option string // canonical name, e.g. "outbound_throttle_connections"
	Act    Act
	By     By
	Rate   Rate // N and Burst are at least 1: what limits nothing is left out of paths
	Origin Origin
}

// Queue is everything that holds for the mail of one binding to one routing
// domain. Immutable; shared by all names that no stanza tells apart.
type Queue struct {
	Group string // the binding's group; empty when it is in none

	// Gateway is the name of the gateway that mail goes through, in lower case and without
	// port: then it is the routing domain, whatever the MX records say. Empty: none.
	Gateway string
	Rollup  RollupSetting // by what the recipient domain may be rolled up
	Under   Under         // what makes the routing domain another than the recipient's

	// Limits are the counters of the queue's path, most specific first, the
	// server's last. Those of hosts are in Host.
	Limits []Limit

	// Throttles are the rates of the queue's path, most specific first. Those of hosts are
	// in Host, in addition.
	Throttles []Throttle

	Suspended       bool   // suspend_delivery
	SuspendedOrigin Origin // where it was set

	Ramp float64 // k of connection_allocation_aggressiveness: 0.30, high 0.75

	Retry      RetrySchedule
	Expiration time.Duration // message_expiration, from acceptance
	MaxRetries int           // attempts after the first; -1: only Expiration ends a message

	MaxDeliveriesPerConnection int           // 0: no limit
	MaxRecipientsPerConnection int           // 0: no limit
	MaxRecipientsPerBatch      int           // RCPTs per transaction, >= 1
	IdleTimeout                time.Duration // how long an idle connection waits for more mail
	MaxMXHosts                 int           // hosts tried per attempt, >= 1
	MaxAddressesPerHost        int           // addresses tried of each host, >= 1
	HostFailureRetry           time.Duration // how long a host that failed is left alone
	BrokenTLSRetry             time.Duration // how long an address whose TLS failed is spoken to in clear where TLS is only wished for; 0: an hour
	MXFailuresToDelay          int
	ConnectTimeoutToDelay      time.Duration

	GenerateBounces  bool
	GenerateDelayDSN bool
	ReportSuppressed bool

	Signing *Signing // nil: unsigned

	Session *Session
}

// Signing is how mail is signed (dkim). Immutable and shared.
type Signing struct {
	Selectors []string // one signature for each
	Key       string   // file or pattern, dkim_key
	Domain    string   // dkim_domain; empty: the domain of the From header
}

// Session is what a connection needs to know: addresses, names, timeouts, TLS.
// Immutable and shared.
type Session struct {
	Source4 netip.Addr // local address for IPv4; zero: the system chooses
	Source6 netip.Addr // local address for IPv6
	UseIPv4 bool       // families that the binding can use
	UseIPv6 bool

	EHLO string // name given in EHLO and HELO

	VERP       bool   // each recipient has a return path of its own
	VERPDomain string // the domain of it; empty: the sender's

	ConnectTimeout   time.Duration
	GreetingTimeout  time.Duration
	EHLOTimeout      time.Duration
	TLSTimeout       time.Duration
	MailTimeout      time.Duration
	RcptTimeout      time.Duration
	DataTimeout      time.Duration // reply to DATA
	DataBlockTimeout time.Duration // each block of the body written
	BodyTimeout      time.Duration // reply after the final dot
	RsetTimeout      time.Duration
	QuitTimeout      time.Duration // at most 5 s
	MTASTSTimeout    time.Duration

	UsePipelining bool // where it is offered (RFC 2920)
	UseChunking   bool // where it is offered (RFC 3030)

	Port      uint16 // remote_smtp_port, 25
	TLS       TLSMode
	TLSVerify TLSVerify
	UseDANE   bool
	UseMTASTS bool

	TLSMinVersion  uint16 // as crypto/tls numbers them; 0: by what is verified
	TLSCA          string // file of the trusted roots; empty: the system's
	TLSCertificate string // file of the certificate shown to receivers that ask for one; empty: none
	TLSKey         string // its key
	TLSReports     bool   // reports of how TLS went are sent to domains that ask for them

	SkipHosts  []netip.Prefix
	Prohibited []netip.Prefix // prohibited_hosts: connecting there is a permanent failure
	Gateway    string         // host[:port] or smtps://host as written; empty: by MX
	Auth       Auth           // told to Gateway and Routes
	Proxy      Proxy          // connections are made through it
	Routes     []Route        // hosts instead of the MX hosts, best first; empty: by MX, or Gateway is set
}

// TLSMode is the option tls.
type TLSMode uint8

const (
	TLSIfAvailable TLSMode = iota
	TLSNo
	TLSRequired
)

func (m TLSMode) String() string {
	return [...]string{"ifavailable", "no", "required"}[m]
}

// TLSVerify is the option tls_verify.
type TLSVerify uint8

const (
	VerifyNo TLSVerify = iota
	VerifyCA
	VerifyHost
)

func (v TLSVerify) String() string { return [...]string{"no", "ca", "host"}[v] }

// Host holds the limits and throttles of connections from one binding to one MX host, found by
// the host chain. Immutable and shared.
type Host struct {
	Limits []Limit // by the host's name
	// Addresses returns the limits that address labels (an address or a CIDR block) add.
	// It is a table, not a function, so that events can be printed and replayed: one
	// entry for each address of the Resolved event that has any.
	Addresses map[netip.Addr][]Limit

	Throttles        []Throttle                // by the host's name
	AddressThrottles map[netip.Addr][]Throttle // by address labels; a table as Addresses is
}

// Server is what holds for the server as a whole.
type Server struct {
	MaxConnections int    // effective server_max, reserve included, that the open-file limit allows; <= 0: no such bound
	BoundBy        string // what set MaxConnections lower than the configuration asks, for explain
	DrainTimeout   time.Duration
}

// RetrySchedule says how long to wait after a failed attempt.
type RetrySchedule struct {
	// Steps is followed, its last entry repeats. One step with Doubling set doubles up
	// to Max instead.
	Steps    []time.Duration
	Doubling bool
	Max      time.Duration // max_retry_interval
}

// After returns the delay after the n-th attempt (n from 1), before jitter.
func (r RetrySchedule) After(n int) time.Duration {
	if len(r.Steps) == 0 {
		return r.Max
	}
	if n < 1 {
		n = 1
	}
	if !r.Doubling {
		return r.Steps[min(n, len(r.Steps))-1]
	}
	d := r.Steps[0]
	for i := 1; i < n && d < r.Max; i++ {
		d *= 2
	}
	return min(d, max(r.Max, r.Steps[0]))
}
