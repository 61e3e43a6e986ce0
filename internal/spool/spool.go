package spool

import (
	"errors"
	"io"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Errors that a Spool gives, wrapped with operation and cause; test with errors.Is.
var (
	// ErrFull: no room (disk full, or below the configured free space). Temporary; heals
	// by itself: 452 4.3.1.
	ErrFull = errors.New("spool is full")
	// ErrSick: writing or syncing failed; intake is stopped until the spool has moved to
	// a new segment and synced it: 451 4.3.0.
	ErrSick = errors.New("spool cannot write")
	// ErrNotFound: no such message, or it is finished.
	ErrNotFound = errors.New("no such message in the spool")
	// ErrDamaged: the record does not match its checksum; it has been quarantined.
	ErrDamaged = errors.New("spool record is damaged")
	// ErrClosed: the spool has been closed.
	ErrClosed = errors.New("spool is closed")
)

// Spool keeps messages. Safe for concurrent use.
type Spool interface {
	// Create begins a message. Nothing is visible before Draft.Commit.
	Create(id mail.ID) Draft
	// Commit stores a batch. It does not wait: done is called once when the batch is
	// written (when it is durable, for a batch with Reports), or with the error. Calls of
	// done come in the order of the Commit calls, from a goroutine of the spool, and must
	// not block. A batch that fails with ErrFull or ErrSick is not stored; the caller
	// hands it in again.
	Commit(b Batch, done func(error))
	// Open returns a live message for reading: ErrNotFound, ErrDamaged or a read error.
	// The message stays readable until Close, even if it is finished meanwhile.
	Open(id mail.ID) (Message, error)
	// Envelope returns the envelope of a live message, also of one whose content is damaged.
	// Errors as for Open.
	Envelope(id mail.ID) (*mail.Envelope, error)
	// States returns what is stored of the recipients of a live message, by index; none of
	// those that are as at acceptance. Errors as for Open.
	States(id mail.ID) ([]mail.RecipientState, error)
	// Recover yields every live message once, oldest first, before the first Create or
	// Commit. An error of yield ends it and is returned.
	Recover(yield func(Recovered) error) error
	// Stats is cheap.
	Stats() Stats
	// Close flushes, syncs and closes. Messages still open stay readable.
	Close() error
}

// Draft is a message on its way in. Not safe for concurrent use. It ends with Commit
// or Abort; Abort after Commit does nothing.
type Draft interface {
	// Write appends content: header and body with CRLF line ends, without dot-stuffing.
	// Large content is written to disk on the way, so memory stays bounded. ErrFull,
	// ErrSick.
	io.Writer
	// Commit stores the message: the content is prefix (header lines that could be known
	// only at the end: signatures) followed by what was written. It returns when all of it
	// is durable. env.Size is set by the caller. ErrFull, ErrSick, ErrClosed.
	Commit(env *mail.Envelope, prefix []byte) error
	// Abort forgets the message.
	Abort()
}

// Batch is stored as a whole or not at all.
type Batch struct {
	Changes []Change
	Reports []Report // new messages that come into being with the changes
}

// Change is what has become of recipients of one message.
type Change struct {
	Message mail.ID
	States  []mail.RecipientState
	Finish  bool // the message is done: it need not be kept any longer
}

// Report is a message of our own making (a DSN).
type Report struct {
	Envelope *mail.Envelope
	Content  []byte
}

// Message is a live message, open for reading. Safe for concurrent use.
type Message interface {
	Envelope() *mail.Envelope
	Size() int64
	// Bytes returns the whole content when it is in memory, else nil. Not to be changed,
	// not to be used after Close.
	Bytes() []byte
	// ReadAt reads content; a damaged record gives ErrDamaged.
	io.ReaderAt
	Close()
}

// Recovered is a live message found at start.
type Recovered struct {
	Envelope *mail.Envelope
	// States holds the state of every recipient for which one was stored; the others are
	// as at acceptance.
	States []mail.RecipientState
}

// Stats describes a spool.
type Stats struct {
	Messages    int    `json:"messages"`    // live
	LiveBytes   int64  `json:"live_bytes"`  // octets of live records
	DiskBytes   int64  `json:"disk_bytes"`  // octets of all segments
	FreeBytes   int64  `json:"free_bytes"`  // of the file system; -1: unknown
	Segments    int    `json:"segments"`    //
	Quarantined int    `json:"quarantined"` // damaged records set aside since the spool was made
	Syncs       int64  `json:"syncs"`       // since start
	Full        bool   `json:"full"`        // intake refused for want of room
	Sick        bool   `json:"sick"`        // intake stopped by a failed write or sync
	SickReason  string `json:"sick_reason"` //
}
