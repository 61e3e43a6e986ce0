package sched

import (
	"net/netip"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Action is something the outside must do. The driver puts each into one outbox per
// destination (resolver, spool, accounting, each connection) in the order emitted.
type Action interface{ action() }

type (
	// Resolve asks where mail of a binding for a domain may go. Answered by one Resolved.
	Resolve struct {
		Binding string
		Domain  string
		Policy  *policy.Queue
	}

	// Connect is one dial to one address, under one permit. deliver never dials again
	// by itself. Answered by Connected or ConnectFailed, and in the end by one Closed.
	Connect struct {
		Conn    ConnID
		Binding string
		Domain  string // of the queue it was opened for
		Tenant  string // likewise
		Host    string
		Address netip.Addr
		Port    uint16
		TLS     TLS
		TLSA    []mail.TLSA // as in RouteHost
		Names   []string    // likewise
		// Protocol is what is spoken there.
		Protocol policy.Protocol
		Policy   *policy.Queue
	}
	// Deliver hands a part to a connection that has given credit by Wants. Answered by
	// one Attempted or Returned.
	Deliver struct {
		Conn       ConnID
		Part       PartID
		Message    mail.ID
		Recipients []int // indices into the envelope, ascending; not to be changed
		Attempts   int   // attempts before this one
	}
	// Recall asks for a part back that a connection holds and has not begun, because
	// another one is free for it. Answered by Returned; not at all when it has begun.
	Recall struct {
		Conn ConnID
		Part PartID
	}
	// Close ends a connection. Parts that were handed out and not begun come back as
	// Returned. Answered by Closed.
	Close struct {
		Conn ConnID
		How  CloseHow
	}

	// Account writes an accounting record for each recipient named. Numbered by Seq,
	// without gaps, from 1.
	Account struct {
		Seq      uint64
		Kind     RecordKind
		Message  mail.ID
		Envelope *mail.Envelope // for received records; nil elsewhere
		Binding  string
		Domain   string // routing domain; of received records the recipient's
		Outcomes []mail.Outcome
		Attempts int           // attempts so far, this one included
		Attempt  *mail.Attempt // nil when there was no connection (expiry, DNS failure)
	}
	// Persist stores what has become of recipients that stay queued, or of some that are
	// done while others are not. Next times are nanoseconds of CLOCK_BOOTTIME here: the
	// driver turns them into wall time. Numbered by Seq together with Bounce and Finish,
	// without gaps, from 1; answered by Stored.
	Persist struct {
		Seq     uint64
		Message mail.ID
		States  []mail.RecipientState
	}
	// Bounce stores final outcomes and, in the same atomic record, the report to the
	// sender about them (failed; with Delay a delay report, and States stay pending; with
	// Relayed one of success). Last says that the message is finished by it.
	Bounce struct {
		Seq      uint64
		Message  mail.ID
		Outcomes []mail.Outcome
		States   []mail.RecipientState
		Attempt  *mail.Attempt // nil when there was no connection
		Binding  string
		Domain   string
		Delay    bool
		Relayed  bool // delivered: who asked for it is told
		Expired  bool
		Last     bool
	}
	// Finish removes a message whose last recipient has an outcome.
	Finish struct {
		Seq     uint64
		Message mail.ID
	}

	// Rebind asks which bindings could take over the mail of a queue whose binding cannot
	// send: suspended, removed, out of order, or rebound by an operator; never because it
	// is full. Answered by one Rebound.
	Rebind struct {
		Binding string
		Domain  string
		Group   string // the group whose mail it is about; empty: mail that named the binding itself, which is gone
		Reason  string
	}

	// Remember asks to keep a fact over restarts under its key, in place of the one before,
	// or to forget it. What was remembered comes back at the next start, before any
	// mail, as an Operator with Restored.
	Remember struct {
		Key    string
		State  Suspension
		Forget bool
	}

	// WakeAt asks for a Tick at the given time (ns of CLOCK_BOOTTIME); it replaces the
	// one asked for before. A time in the past: at once.
	WakeAt struct{ At int64 }

	// Log tells operators of a change of state, once for each change.
	Log struct {
		Level   Level
		Subject string // "binding ip-1", "host mx.one.test", "queue one.test/default"
		Text    string
	}
)

// Level is the weight of a Log.
type Level uint8

const (
	Info Level = iota
	Warn
)

// CloseHow says how a connection is to be closed.
type CloseHow uint8

const (
	CloseNow          CloseHow = iota // it is idle: QUIT
	CloseAfterMessage                 // finish the transaction in progress, then QUIT
	CloseAbort                        // at once, inside a transaction if need be
)

// RecordKind is the kind of an accounting record.
type RecordKind uint8

const (
	RecordReceived RecordKind = iota + 1
	RecordDelivered
	RecordDeferred
	RecordBounced // refused or expired

	// Of what receivers report later; the scheduler has no part in them.
	RecordRemoteBounce
	RecordRemoteStatus
	RecordFeedback
)

var recordNames = [...]string{"", "received", "delivered", "deferred", "bounced", "remote_bounce", "remote_status", "feedback"}

func (k RecordKind) String() string { return recordNames[k] }

func (Resolve) action()  {}
func (Connect) action()  {}
func (Deliver) action()  {}
func (Recall) action()   {}
func (Close) action()    {}
func (Account) action()  {}
func (Persist) action()  {}
func (Bounce) action()   {}
func (Finish) action()   {}
func (Rebind) action()   {}
func (Remember) action() {}
func (WakeAt) action()   {}
func (Log) action()      {}
