package smtp

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Feature is a way to save turns that a receiver may offer, and then not do.
type Feature uint8

const (
	Pipelining Feature = 1 << iota // commands of an envelope in one flight (RFC 2920)
	Ahead                          // the next envelope in the flight of the content (RFC 2920 §3.1)
	Chunking                       // content by BDAT (RFC 3030)
)

// AllFeatures is every feature.
const AllFeatures = Pipelining | Ahead | Chunking

// String names the features as an operator knows them: "PIPELINING, CHUNKING".
func (f Feature) String() string {
	var names []string
	for i, name := range [...]string{"PIPELINING", "PIPELINING behind content", "CHUNKING"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Habits is what is known of how a receiver does what it offers.
type Habits struct {
	Proven Feature // seen to work
	Broken Feature // offered, and not done: not made use of
	// Silent is those of Broken that no reply speaks against: the session was lost, or hung,
	// where they were first made use of. One that is lost in the same way without them
	// acquits them.
	Silent Feature
	Why    string // what happened, in a few words: the last
}

// Use says which features the session may make use of where they are offered, and what
// is known of the receiver. To be called before the first Transact; without it only
// Pipelining and Ahead are made use of.
func (c *Client) Use(allowed Feature, known Habits) { c.allowed, c.habits = allowed, known }

// Habits returns what is known of the receiver now.
func (c *Client) Habits() Habits { return c.habits }

// does reports whether a feature is to be made use of.
func (c *Client) does(f Feature) bool {
	offered := Feature(0)
	if c.ext.Pipelining {
		offered = Pipelining
		if c.allowed&^c.habits.Broken&Pipelining != 0 {
			offered |= Ahead
		}
	}
	if c.ext.Chunking {
		offered |= Chunking
	}
	if c.lmtp {
		offered &= Pipelining
	}
	return offered&c.allowed&^c.habits.Broken&f != 0
}

func (c *Client) prove(f Feature) { c.habits.Proven |= f }

// disprove notes that the receiver does not do what it offers. silent: no reply says so.
func (c *Client) disprove(f Feature, why string, silent bool) {
	c.habits.Broken |= f
	c.habits.Proven &^= f
	c.habits.Silent &^= f
	if silent {
		c.habits.Silent |= f
	}
	c.habits.Why = why
	c.accused |= f
}

// acquit takes back what was held against features in this session: without them it
// goes the same way.
func (c *Client) acquit() {
	c.habits.Broken &^= c.accused
	c.habits.Silent &^= c.accused
	c.cleared |= c.accused
	c.accused = 0
}

// outOfOrder reports whether the reply just read says that the receiver has lost its place
// in a group of commands: it does not know the command, or where it came.
func (c *Client) outOfOrder(code int) bool {
	switch code {
	case 500, 502, 503:
		return true
	}
	return code >= 400 && speaksOfOrder(c.rr.last)
}

// speaksOfOrder reports whether a reply's text is about the order of commands: "improper
// command pipelining", "SMTP synchronization error".
func speaksOfOrder(reply []byte) bool {
	reply = bytes.ToLower(clip(reply, 512))
	return bytes.Contains(reply, []byte("pipelining")) || bytes.Contains(reply, []byte("synchroni"))
}

// suspect notes that a reply inside an envelope is out of order; false: it was sent by
// itself, and the reply is meant.
func (c *Client) suspect(tx *Transaction) bool {
	switch {
	case tx.behind:
		return c.doubt(tx, Ahead)
	case c.does(Pipelining) || tx.doubt != 0:
		return c.doubt(tx, Pipelining)
	case tx.again:
		c.acquit()
	}
	return false
}

// doubt notes that the reply just read speaks against a feature: the rest of the
// transaction is not to be relied upon. False: the feature was cleared of that in this session. So
// a transaction is sent once more for each feature at most.
func (c *Client) doubt(tx *Transaction, f Feature) bool {
	if c.cleared&f != 0 {
		return false
	}
	if tx.doubt |= f; c.does(f) {
		c.disprove(f, clipText("a pipelined command was answered with "+c.rr.Reply(0).String()), false)
	}
	return true
}

// outOfStep notes that the receiver has said more than it was asked. What it does least
// well, of what the session made use of, is not asked of it again.
func (c *Client) outOfStep() {
	for _, f := range [...]Feature{Chunking, Ahead, Pipelining} {
		if c.used&f != 0 && c.does(f) {
			c.disprove(f, "a reply too many", false)
			c.culprit = f
			return
		}
	}
}

// blame finds, when a session has ended inside a transaction, whether it was by a feature
// that has never been seen to work with this receiver, and was tried there.
func (c *Client) blame(tx *Transaction, e *SessionError) {
	if !c.blamed && c.culprit == 0 {
		if c.culprit = c.onTrial(tx, e); c.culprit != 0 {
			c.disprove(c.culprit, clipText(e.Error()), e.Kind != EndSaid)
		}
	}
	c.blamed = true
	// That a session is lost, or out of step, may have other reasons: with the first message it
	// counts as it would without the feature. That the receiver says so has no other.
	tx.Retry = tx.Retry || c.culprit != 0 && !tx.content && (e.Kind == EndSaid || tx.behind)
}

func (c *Client) onTrial(tx *Transaction, e *SessionError) Feature {
	switch e.Kind {
	case EndLost, EndTimeout, EndProtocol:
	case EndSaid:
		if !speaksOfOrder([]byte(e.Reply.Text)) {
			return 0
		}
	default:
		return 0
	}
	f := Feature(0)
	switch {
	case !tx.Sent:
	case tx.content && tx.read == tx.steps():
		if tx.chunked {
			f = Chunking
		}
		if c.habits.Proven&f == f && c.ahead != nil {
			f = Ahead
		}
	case tx.behind && !tx.Judged:
		f = Ahead
	case tx.sent > tx.read && c.does(Pipelining):
		f = Pipelining
	}
	return f &^ c.habits.Proven
}

func clipText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s[:min(len(s), 200)])
}

// chunkReply looks at the reply to BDAT when somebody had been accepted: a receiver that does
// not know the command has taken the content for commands, or for nothing.
func (c *Client) chunkReply(tx *Transaction, code int) *SessionError {
	switch code {
	case 500, 501, 502, 503, 504, 555:
		why := fmt.Sprintf("BDAT was answered with %s", clipText(c.rr.Reply(0).String()))
		c.disprove(Chunking, why, false)
		c.culprit, tx.Retry = Chunking, true
		return c.fail(mail.StageDot, "sending the content", protocolError("%s", why))
	}
	c.prove(Chunking)
	return nil
}
