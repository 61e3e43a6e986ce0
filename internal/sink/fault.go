package sink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// FaultKind is something that a receiver may do to a client, as --fault writes it.
type FaultKind string

// Drawn once for each session.
const (
	Greeting4xx     FaultKind = "greeting-4xx"      // 421 instead of 220
	CloseAtGreeting FaultKind = "close-at-greeting" // closed instead of 220
	SlowReplies     FaultKind = "slow-replies"      // one octet every SlowEvery
	EndlessReply    FaultKind = "endless-reply"     // EHLO is answered with lines without end
	BareLFReply     FaultKind = "bare-lf-reply"     // every reply line ends in LF alone
	StallGreeting   FaultKind = "stall-at-greeting"
	StallEHLO       FaultKind = "stall-at-ehlo"
	StallSTARTTLS   FaultKind = "stall-at-starttls" // silence instead of 220 to STARTTLS
	StallQuit       FaultKind = "stall-at-quit"
)

// Drawn once for each message, rcpt ones for each recipient, rset for each RSET.
const (
	Mail4xx       FaultKind = "mail-4xx"
	Rcpt4xx       FaultKind = "rcpt-4xx"
	Rcpt5xx       FaultKind = "rcpt-5xx"
	Data4xx       FaultKind = "data-4xx" // to DATA, or to the first BDAT
	Dot4xx        FaultKind = "dot-4xx"  // after the whole content
	Dot5xx        FaultKind = "dot-5xx"
	CloseInData   FaultKind = "close-in-data"   // closed when the content has begun
	CloseAfterDot FaultKind = "close-after-dot" // closed instead of the last reply; not accepted
	StallMail     FaultKind = "stall-at-mail"
	StallRcpt     FaultKind = "stall-at-rcpt"
	StallData     FaultKind = "stall-at-data"
	StallBody     FaultKind = "stall-at-body" // 354, then the content is not read
	StallDot      FaultKind = "stall-at-dot"
	StallRset     FaultKind = "stall-at-rset"
)

// FaultKinds returns every kind, in the order of the manual.
func FaultKinds() []FaultKind {
	return []FaultKind{
		Greeting4xx, Mail4xx, Rcpt4xx, Rcpt5xx, Data4xx, Dot4xx, Dot5xx,
		CloseAtGreeting, CloseInData, CloseAfterDot,
		StallGreeting, StallEHLO, StallSTARTTLS, StallMail, StallRcpt, StallData, StallBody, StallDot, StallRset, StallQuit,
		SlowReplies, EndlessReply, BareLFReply,
	}
}

// Fault is a kind with the share of sessions, messages or recipients that meet it.
type Fault struct {
	Kind  FaultKind
	Share float64 // 0..1
}

var errFault = errors.New("want KIND=SHARE with a share from 0 to 1, or in per cent with %")

// ParseFault reads "rcpt-4xx=0.05" or "rcpt-4xx=5%".
func ParseFault(s string) (Fault, error) {
	kind, share, ok := strings.Cut(s, "=")
	if !ok {
		return Fault{}, fmt.Errorf("fault %q: %w", s, errFault)
	}
	if !slices.Contains(FaultKinds(), FaultKind(kind)) {
		return Fault{}, fmt.Errorf("fault %q: no such kind; there are %v", kind, FaultKinds())
	}
	num, percent := strings.CutSuffix(share, "%")
	v, err := strconv.ParseFloat(num, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) { // written so that NaN is refused
		return Fault{}, fmt.Errorf("fault %q: %w", s, errFault)
	}
	return Fault{Kind: FaultKind(kind), Share: v}, nil
}

// dice draw the faults of one connection. The same seed and number of connection
// draw the same faults for the same commands.
type dice struct {
	shares map[FaultKind]float64
	rng    *rand.Rand
}

func newDice(shares map[FaultKind]float64, seed, connection uint64) dice {
	d := dice{shares: shares}
	if len(shares) > 0 {
		d.rng = rand.New(rand.NewPCG(seed, connection))
	}
	return d
}

func (d dice) roll(k FaultKind) bool {
	share := d.shares[k]
	return share > 0 && d.rng.Float64() < share
}
