package mail

import "net/netip"

// MaxRecipients is the most recipients that one message may have, whatever a
// listener allows: recipient indices are 16 bits wide in the scheduler.
const MaxRecipients = 65535

// Envelope is what travels outside the content: who sends, who receives, and
// what was asked for at acceptance. It is immutable once the spool has it; what
// has become of each recipient is kept beside it as RecipientState.
type Envelope struct {
	ID         ID
	Sender     Address     // null for reports
	Recipients []Recipient // at most MaxRecipients; an index into it names a recipient everywhere
	Received   int64       // acceptance, wall-clock ns since the epoch
	Size       int64       // octets of the content as it will be sent, CRLF line ends, without dot-stuffing

	Tenant   string   // X-Tenant, else the login's or listener's; may be empty
	Job      string   // X-Job
	Priority Priority // X-Queue-Priority
	EnvID    string   // DSN ENVID (RFC 3461 §4.4) without its xtext encoding, else X-EnvID; printable ASCII
	Ret      Ret      // DSN RET (RFC 3461 §4.3)

	EightBit bool // BODY=8BITMIME was declared (RFC 6152)
	SMTPUTF8 bool // SMTPUTF8 was declared (RFC 6531)
	Report   bool // a report of ours: never reported on, its binding is bounce_binding

	// RequireTLS is REQUIRETLS (RFC 8689 §3): it goes only to hosts that offer REQUIRETLS
	// over TLS with a verified certificate.
	RequireTLS bool
	// TLSNotRequired is the header field TLS-Required: No (RFC 8689 §5), without REQUIRETLS.
	TLSNotRequired bool
	Release        int64     // FUTURERELEASE (RFC 4865): not attempted before, wall-clock ns; 0: at once
	By             DeliverBy // DELIVERBY (RFC 2852)

	// Head is how many octets at the start of the content, signatures, are for those
	// recipients alone whose Head is 0; for those with n, Heads[n-1] stands in their place.
	Head  int
	Heads [][]byte

	Source Source
}

// Source says where a message came from.
type Source struct {
	Protocol string         // "smtp", "http", "report"
	Client   netip.AddrPort // peer of the accepting connection; zero for reports
	Helo     string         // what the client called itself
	Login    string         // authenticated user, empty without a login
	Listener string         // the listener's label, e.g. "127.0.0.1:2525"
}

// Recipient is one RCPT of an envelope. Two recipients with the same Binding and
// Domain stand side by side, so that a part is a run of indices.
type Recipient struct {
	Address Address
	Domain  string // canonical domain of Address, by which it is routed
	Binding string // the binding chosen at acceptance
	Group   string // the binding group that Binding was chosen from; empty when named directly
	ORcpt   string // DSN ORCPT as received (RFC 3461 §4.2), still encoded
	Notify  Notify // DSN NOTIFY (RFC 3461 §4.1)
	Head    uint8  // how the content begins for it, see Envelope.Head

	// Suppressed says that it was on the suppression list at acceptance: it ends without an
	// attempt.
	Suppressed bool
}

// Notify is the set of DSN NOTIFY keywords. Zero means that the client gave none,
// which asks for FAILURE and perhaps DELAY (RFC 3461 §4.1).
type Notify uint8

const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// WantsFailure reports whether a failure report is wanted.
func (n Notify) WantsFailure() bool { return n == 0 || n&NotifyFailure != 0 }

// WantsSuccess reports whether a report of success is wanted.
func (n Notify) WantsSuccess() bool { return n&NotifySuccess != 0 }

// WantsDelay reports whether a delay report may be sent.
func (n Notify) WantsDelay() bool { return n == 0 || n&NotifyDelay != 0 }

// Ret is the DSN RET parameter.
type Ret uint8

const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// DeliverBy is a wish about time (RFC 2852). The zero DeliverBy is none.
type DeliverBy struct {
	Deadline int64 // wall-clock ns; 0: there is no wish
	Mode     ByMode
	Trace    bool // report it as relayed when it is handed on to a receiver without DELIVERBY
	// Relaxed lets mail of ByReturn go to receivers without DELIVERBY, which RFC 2852
	// §4.1.4 forbids; the deadline then holds on this server alone.
	Relaxed bool
}

// ByMode is what becomes of a message that is not delivered in time (RFC 2852 §4).
type ByMode uint8

const (
	ByReturn ByMode = iota // it is returned as undeliverable
	ByNotify               // a delay report is sent, and it is tried on
)

// RecipientState is what has become of one recipient: the mutable half that the
// spool keeps.
type RecipientState struct {
	Index    int    // into Envelope.Recipients
	Status   Status // Pending until the last outcome
	Attempts int    // transactions in which it was named
	Next     int64  // wall-clock ns before which it is not tried again; 0: at once
	Last     Reply  // the newest reply about it; zero when there was none
	Binding  string // set when the binding was chosen anew after acceptance; else empty
	Group    string
}
