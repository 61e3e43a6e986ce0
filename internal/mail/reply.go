package mail

import "strconv"

// MaxReply bounds the text of a stored reply, in octets.
const MaxReply = 64 << 10

// Stage is the step of a delivery at which something was said or went wrong.
type Stage uint8

const (
	StageNone     Stage = iota
	StageResolve        // DNS
	StageConnect        // connect()
	StageGreeting       // 220
	StageEHLO           // EHLO or HELO
	StageSTARTTLS       // reply to STARTTLS
	StageTLS            // handshake
	StageAuth
	StageMail
	StageRcpt
	StageData // reply to DATA (354), or to a BDAT chunk that is not the last
	StageBody // sending the content
	StageDot  // reply after the final dot, or to BDAT LAST
	StageRset
	StageQuit
)

var stageNames = [...]string{"", "resolve", "connect", "greeting", "ehlo", "starttls", "tls", "auth", "mail", "rcpt", "data", "body", "dot", "rset", "quit"}

func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return "stage " + strconv.Itoa(int(s))
}

// Reply is what a receiver answered, or, with Code 0, what happened instead of
// an answer (Text is then ours). It is data: untrusted, bounded by MaxReply, and
// escaped wherever it is shown.
type Reply struct {
	Code     int    // 200..599; 0 when there was no reply
	Enhanced string // "4.7.0" (RFC 3463), empty when the receiver gave none
	Text     string // lines joined by "\n", without codes; any octets but CR and LF inside a line
	Stage    Stage
}

// Class returns the first digit of the code (RFC 5321 §4.2.1), 0 without a reply.
func (r Reply) Class() int { return r.Code / 100 }

// IsZero reports whether nothing was said.
func (r Reply) IsZero() bool { return r == Reply{} }

// String returns the reply on one line, "421 4.7.0 text", line ends as spaces.
// It does not escape control characters other than line ends.
func (r Reply) String() string {
	b := make([]byte, 0, len(r.Text)+12)
	if r.Code != 0 {
		b = strconv.AppendInt(b, int64(r.Code), 10)
	}
	for _, s := range [2]string{r.Enhanced, r.Text} {
		if s == "" {
			continue
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, s...)
	}
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return string(b)
}
