package smtp

import (
	"crypto/tls"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Bounds that are not settings.
const (
	maxSheds        = 64       // connections over MaxSessions that are told 421 at once, beside it
	maxCommand      = 512      // octets of a command line with CRLF (RFC 5321 §4.5.3.1.4)
	maxMailCommand  = 4096     // MAIL and RCPT with the parameters of the extensions
	maxAuthLine     = 12288    // AUTH and its responses (RFC 4954 §4)
	maxDiscard      = 16 << 20 // octets of an over-long command line that are read before the connection is cut
	maxChunks       = 10000    // BDAT commands of one message
	maxAuthFailures = 3        // per session
)

// ServerConfig is what a Server is told. A zero field gets the default in brackets;
// a negative limit means none.
type ServerConfig struct {
	Hostname string      // in the greeting and replies ["localhost"]
	Banner   string      // what follows the name in the greeting ["ESMTP sluice"]
	TLS      *tls.Config // STARTTLS is offered when it is set
	Auth     bool        // AUTH is offered where it is safe: under TLS, or to a loopback address

	// Normalize turns bare CR and bare LF in commands and data into CRLF instead of
	// refusing them. Even so nothing but CRLF.CRLF ends the data.
	Normalize bool

	MaxSessions           int   // connections at once; 421 4.7.0 above [1000]
	MaxSessionsPerAddress int   // of one client address [no limit]
	MaxMessageSize        int64 // octets of content, announced with SIZE; 552 5.3.4 above [50 MiB]
	MaxRecipients         int   // of one message; 452 4.5.3 above [1000]
	MaxLine               int   // octets of a line of content without CRLF; 550 5.6.0 above [65536]
	MaxErrors             int   // 5xx replies to one session before 421 4.7.0 [20]
	MaxIdleCommands       int   // commands that are no mail, and 4xx replies, since the last message before 421 4.7.0 [200]

	CommandTimeout time.Duration // for a whole command line to arrive (RFC 5321 §4.5.3.2.7) [5m]
	BlockTimeout   time.Duration // for the next piece of content to arrive [3m]
	WriteTimeout   time.Duration // for replies to be taken [1m]
	TLSTimeout     time.Duration // for a TLS handshake [1m]
	// A transfer has DataGrace and one second more for each MinRate octets that arrived,
	// so that a client that sends a byte now and then cannot hold a session for ever.
	DataGrace time.Duration // [5m]
	MinRate   int64         // octets per second [1024]
	AuthDelay time.Duration // wait before the reply to a failed AUTH; negative: none [1s]

	RequireTLS bool // REQUIRETLS (RFC 8689) is offered under TLS
	// MaxHold is the longest that a message may be held before it is released
	// (FUTURERELEASE, RFC 4865); 0: it is not offered.
	MaxHold   time.Duration
	DeliverBy bool // DELIVERBY (RFC 2852) is offered

	// Hide names extensions (the keywords of EHLO) that are not offered: for tests of
	// clients. STARTTLS and AUTH are governed by their own fields.
	Hide []string

	// Intercept, when set, sees each reply before it is sent: see Intercept.
	Intercept Intercept
}

// Intercept is called in the session's goroutine before each reply, with the step it
// belongs to. It may change the reply, take its time (ServerConn.Done tells of the
// end), write octets of its own with ServerConn.WriteRaw, and decides what happens.
// Stages: StageGreeting, StageEHLO (HELO too), StageSTARTTLS, StageAuth, StageMail,
// StageRcpt, StageData (354, and replies to chunks before the last), StageDot
// (BDAT LAST too), StageRset, StageQuit, and StageNone for every other reply.
//
// When it turns a success of MAIL or DATA into something else the transaction is reset.
// A changed reply to RCPT or to the final dot is not made known to the Session: what
// must be consistent is decided there.
type Intercept func(c *ServerConn, stage mail.Stage, r *mail.Reply) Verdict

// Verdict is what becomes of a reply.
type Verdict uint8

const (
	SendReply Verdict = iota // send it
	SkipReply                // send nothing; the session goes on
	HangUp                   // send nothing more and close the connection
)

func (c *ServerConfig) setDefaults() {
	orString(&c.Hostname, "localhost")
	orString(&c.Banner, "ESMTP sluice")
	orNumber(&c.MaxSessions, 1000)
	orNumber(&c.MaxMessageSize, 50<<20)
	orNumber(&c.MaxRecipients, 1000)
	orNumber(&c.MaxLine, 64<<10)
	orNumber(&c.MaxErrors, 20)
	orNumber(&c.MaxIdleCommands, 200)
	orNumber(&c.CommandTimeout, 5*time.Minute)
	orNumber(&c.BlockTimeout, 3*time.Minute)
	orNumber(&c.WriteTimeout, time.Minute)
	orNumber(&c.TLSTimeout, time.Minute)
	orNumber(&c.DataGrace, 5*time.Minute)
	orNumber(&c.MinRate, 1024)
	orNumber(&c.AuthDelay, time.Second)
}

func orString(p *string, def string) {
	if *p == "" {
		*p = def
	}
}

func orNumber[T ~int | ~int64](p *T, def T) {
	if *p == 0 {
		*p = def
	}
}
