package mail

import "net/netip"

// Status is the state of one recipient.
type Status uint8

const (
	Pending   Status = iota // waits for its first or next attempt
	Delivered               // a receiver took responsibility
	Failed                  // refused for good, expired, or removed by an operator
)

var statusNames = [...]string{"pending", "delivered", "failed"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

// Class is what one attempt means for one recipient, and whom it speaks of.
// `classify` gives it from the reply; the scheduler acts on it and never reads text.
type Class uint8

const (
	ClassNone      Class = iota
	ClassDelivered       // 2xx to the final dot
	ClassDeferred        // 4xx, or the connection ended before an answer: try again later
	ClassRefused         // 5xx about this recipient or message: no further attempt
	// ClassTooMany is a 452 to RCPT after others were accepted (RFC 5321 §4.5.3.1.10): the
	// recipient was not judged; it goes at once in a further transaction and costs no attempt.
	ClassTooMany
	// ClassLocal is trouble of our own (content unreadable, a needed extension missing on
	// our side): not the receiver's, costs no attempt.
	ClassLocal
	// ClassSuppressed is our own decision at acceptance: the recipient is on the suppression
	// list. It ends without an attempt.
	ClassSuppressed
)

var classNames = [...]string{"none", "delivered", "deferred", "refused", "too many recipients", "local trouble", "suppressed"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// Outcome is the result of one attempt for one recipient.
type Outcome struct {
	Recipient int // index into Envelope.Recipients
	Class     Class
	Reply     Reply
}

// Attempt tells the edges (accounting, reports, trace) how a transaction went. The
// scheduler passes it through and does not look inside. Immutable once reported.
type Attempt struct {
	Envelope *Envelope
	Started  int64          // wall-clock ns
	Ended    int64          // wall-clock ns
	Host     string         // MX host by name
	Remote   netip.AddrPort // the receiver
	Local    netip.Addr     // our source address
	Ehlo     []string       // extensions that the receiver offered, e.g. "PIPELINING", "SIZE 10485760"
	TLS      string         // "TLS1.3/TLS_AES_128_GCM_SHA256", empty in clear
}
