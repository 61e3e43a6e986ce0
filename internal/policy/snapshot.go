package policy

import (
	"net/netip"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Snapshot is one whole, checked configuration. It is immutable: a reload makes a
// new one. Built by config, or by New for the defaults alone.
type Snapshot struct {
	Generation uint64 // grows with each reload; 0 for the first
	File       string // the main file; empty for the defaults

	Hostname string
	Spool    Spool
	Account  Account
	DNS      DNS

	Listeners []Listener
	Users     map[string]*User
	Tenants   map[string]int      // weight by name
	Bindings  map[string]*Binding // "default" is always there
	Groups    map[string]*Group

	Rollups []Rollup // in the order of the file: the first that matches wins

	BounceBinding string // binding or group that reports leave through
	Postmaster    string
	ReplyRules    string // a file of reply rules; empty: those built in alone
	// UnknownBindingDefault is unknown_binding = default: a header naming an unknown or
	// forbidden binding is ignored instead of refused.
	UnknownBindingDefault bool
	DrainTimeout          time.Duration
	TLSReports            TLSReports
	MTASTSPort            uint16
	SuspendAll            bool
	BounceKey             Secret // empty value: there is none
	Suppression           Suppression
	Signs                 bool // dkim is on somewhere

	Root *Scope // the tree of stanzas, for Eval

	scopes map[string]*Scope // stanza of each declared binding
	groups map[string]*Scope

	rollupDomains []string
}

// TLSReportBinding is the binding that TLS reports leave through. It is there when tls_reports
// is on somewhere, need not be declared, and honours no policy about TLS.
const TLSReportBinding = "tls-reports"

// TLSReports says who speaks in TLS reports (RFC 8460).
type TLSReports struct {
	From         string // mailbox
	Organization string
	Contact      string // mailbox
}

// Binding is a virtual MTA: a source address, a name, its own queues.
type Binding struct {
	Name   string
	Group  string // empty when it is in none
	Weight int    // in its group, >= 1
	Bind4  netip.Addr
	Bind6  netip.Addr
	Origin Origin
}

// Group is a named set of bindings.
type Group struct {
	Name     string
	Bindings []string // in the order of the file
	Origin   Origin
}

// ListenerKind tells the three listener stanzas apart.
type ListenerKind uint8

const (
	ListenESMTP ListenerKind = iota
	ListenHTTP
	ListenControl
)

// AuthMode is the listener option auth.
type AuthMode uint8

const (
	AuthOn AuthMode = iota // offered where it is safe (under TLS or on loopback) and a User exists
	AuthOff
	AuthRequired
)

// Listener is one Listen stanza.
type Listener struct {
	Kind    ListenerKind
	Address string // host:port, or unix:PATH

	RelayNetworks         []netip.Prefix
	BindingHeader         bool // honour X-Binding and X-Virtual-MTA
	Binding               string
	BindingGroup          string
	Tenant                string
	Auth                  AuthMode
	TLSCertificate        string // file
	TLSKey                string // file
	MaxSessions           int
	MaxSessionsPerAddress int
	MaxMessageSize        int64 // octets
	MaxRecipients         int   // per message
	NormalizeLineEndings  bool
	ProxyProtocol         bool
	RequireTLS            bool          // REQUIRETLS is offered under TLS
	MaxFutureRelease      time.Duration // 0: FUTURERELEASE is not offered
	DeliverBy             DeliverByMode
	BounceAddresses       []mail.Address // without a local part: the whole domain
	FeedbackAddresses     []mail.Address
	VerifyReports         bool
	Origin                Origin
}

// DeliverByMode is the listener option deliver_by.
type DeliverByMode uint8

const (
	DeliverByOff DeliverByMode = iota
	DeliverByOn
	DeliverByRelaxed // a receiver need not know DELIVERBY
)

// User is a login.
type User struct {
	Name           string
	Password       Secret
	Bindings       []string // bindings and groups that the header may choose; empty: any
	Binding        string
	BindingGroup   string
	Tenant         string
	MessageRate    Rate
	MaxMessageSize int64 // 0: the listener's
	Origin         Origin
}

// Spool, Account and DNS are the settings of their stanzas.
type (
	Spool struct {
		Directory   string
		SegmentSize int64 // octets
		MinFree     int64 // octets of free disk below which mail is refused with 452
	}
	Account struct {
		Directory string
		Formats   []string // "csv", "jsonl"
		MaxSize   int64    // octets; rotated above
		MaxAge    time.Duration
	}
	DNS struct {
		Resolvers []string // host:port; empty: the machine's
		ZoneFile  string
		TrustAD   bool // answers marked as validated are
	}
)

// Suppression says where the suppression list comes from.
type Suppression struct {
	File         string // empty: there is none
	OnHardBounce bool
	OnComplaint  bool
}

// Secret is a value that is never printed. Resolve it with config.
type Secret struct {
	Value string // the resolved text
	Ref   string // "file:...", "env:...", "credential:..." or "" when written in clear
}

// String hides the secret.
func (s Secret) String() string {
	if s.Ref != "" {
		return s.Ref
	}
	return "***"
}

// Rate is N acts in Per; N 0 means none is set (no limit).
type Rate struct {
	N     int
	Per   time.Duration
	Burst int // 0: the default burst of the option
}
