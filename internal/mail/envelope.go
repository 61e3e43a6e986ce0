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

// WantsDelay reports whether a delay report may be sent.
func (n Notify) WantsDelay() bool { return n == 0 || n&NotifyDelay != 0 }

// Ret is the DSN RET parameter.
type Ret uint8

const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
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
