package smtp

import (
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Handler decides about connections. Safe for concurrent use.
type Handler interface {
	// NewSession is asked before the greeting. A zero reply greets with 220 and the
	// configured text, a 220 with its own text; any other reply is sent and the
	// connection closed, and the session (which may then be nil) is not used.
	NewSession(c *ServerConn) (Session, mail.Reply)
}

// Refuser is a Handler that is told of connections that the server refuses by itself,
// because there are too many.
type Refuser interface{ Refused(mail.Reply) }

// Session decides about one connection. All calls come from one goroutine, in the
// order of the protocol: Mail only outside a transaction, Rcpt only after a Mail that
// was accepted, Data only after an accepted Rcpt. Replies: Code 0 is the usual
// success of that step; a 421 closes the connection after it has been sent.
type Session interface {
	// Mail begins a transaction (2xx) or refuses. p is valid until the transaction ends.
	Mail(from mail.Address, p *MailParams) mail.Reply
	// Rcpt names one recipient.
	Rcpt(to mail.Address, p *RcptParams) mail.Reply
	// BeforeData may refuse before the client is asked for the content (452 4.3.1 when
	// there is no room); a zero or 3xx reply goes on.
	BeforeData() mail.Reply
	// Data reads the content and answers for the message. An error of content other than
	// io.EOF means that the message may not be accepted; the server then sends its own
	// reply for that error. What is not read is read and discarded by the server, which
	// still refuses when the unread rest was malformed: to be sure, read to io.EOF first.
	// The transaction ends with the return; Reset is not called.
	Data(content *Content) mail.Reply
	// Reset ends a transaction that was begun and did not come to Data: RSET, EHLO.
	Reset()
	// Close is the last call, before the connection is closed.
	Close()
}

// Authenticator is a Session that takes logins. AUTH is offered when
// ServerConfig.Auth is set and the session is one.
type Authenticator interface {
	// Auth checks a password. A zero or 235 reply logs in; then ServerConn.Login returns
	// user. It should take the same time for unknown users as for wrong passwords.
	Auth(user, password string) mail.Reply
}

// MailParams are the parameters of MAIL.
type MailParams struct {
	Size     int64    // SIZE (RFC 1870), octets; 0 when not given
	EightBit bool     // BODY=8BITMIME (RFC 6152)
	SMTPUTF8 bool     // RFC 6531
	Ret      mail.Ret // RFC 3461 §4.3
	EnvID    string   // RFC 3461 §4.4, decoded from xtext: printable ASCII, at most 100 octets
	Auth     string   // AUTH= (RFC 4954 §5), as received; not trusted

	RequireTLS bool      // REQUIRETLS (RFC 8689 §3)
	Release    time.Time // HOLDFOR or HOLDUNTIL (RFC 4865 §4); zero: at once
	By         By        // BY (RFC 2852 §4)
}

// By is the parameter BY of MAIL (RFC 2852 §4).
type By struct {
	Given  bool
	In     time.Duration // from now; may be 0 or negative when Notify is set
	Notify bool          // by-mode N; else R
	Trace  bool
}

// RcptParams are the parameters of RCPT.
type RcptParams struct {
	Notify mail.Notify // RFC 3461 §4.1
	ORcpt  string      // RFC 3461 §4.2, as received: type;xtext, checked; at most 500 octets
}
