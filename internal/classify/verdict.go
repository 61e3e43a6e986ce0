package classify

// Cause is what a reply complains of: the class that limits may react to. The zero value
// says that no rule knows.
type Cause uint8

const (
	CauseUnknown     Cause = iota
	CauseConnections       // too many connections at once
	CauseConnectRate       // connections opened too fast
	CauseMessageRate       // messages or recipients sent too fast, or too many in a time
	CauseReputation        // slowed down or refused for what is known of the sender
	CauseBlocked           // the address or the identity is on a list
	CauseGreylisted        // to be tried again after a while, by design
	CauseMailbox           // the mailbox is unknown, disabled, full or busy
	CauseContent           // the message: spam, virus, size, form
	CausePolicy            // authentication, reverse DNS, TLS, relaying: an administrator's rule
	CauseDNS               // a name could not be looked up, here or there
	CauseTrouble           // the receiver's own: overload, disk, a fault
	CauseOther             // known, and none of the above
)

var causeNames = [...]string{
	"unknown", "connections", "connect-rate", "message-rate", "reputation", "blocked", "greylisted",
	"mailbox", "content", "policy", "dns", "trouble", "other",
}

func (c Cause) String() string { return nameOf(causeNames[:], int(c)) }

// CauseNames are the values of class in a rule, without unknown.
func CauseNames() []string { return causeNames[1:] }

// ParseCause finds a cause by its name.
func ParseCause(s string) (Cause, bool) {
	i, ok := indexOf(causeNames[1:], s)
	return Cause(i + 1), ok
}

// Reach is how far the effect of a reply goes: its scope. Nothing beyond it may be slowed
// down or stopped because of the reply.
type Reach uint8

const (
	ReachRecipient Reach = iota // this recipient of this message
	ReachSender                 // mail of the same sender identity: its domain, its signature
	ReachQueue                  // the mail of this binding for this domain
	ReachReceiver               // the mail of this binding for all domains of the receiver
	ReachBinding                // all mail of this binding
)

var reachNames = [...]string{"recipient", "sender", "queue", "receiver", "binding"}

func (r Reach) String() string { return nameOf(reachNames[:], int(r)) }

// ReachNames are the values of scope in a rule.
func ReachNames() []string { return reachNames[:] }

// ParseReach finds a reach by its name.
func ParseReach(s string) (Reach, bool) {
	i, ok := indexOf(reachNames[:], s)
	return Reach(i), ok
}

// usual is the reach of a cause when a rule names none.
var usual = [...]Reach{
	CauseConnections: ReachReceiver, CauseConnectRate: ReachReceiver, CauseMessageRate: ReachReceiver,
	CauseReputation: ReachReceiver, CauseBlocked: ReachReceiver, CausePolicy: ReachSender,
	CauseTrouble: ReachQueue, CauseOther: ReachRecipient,
}

// Usual returns the reach of a cause when nothing else is said.
func (c Cause) Usual() Reach {
	if int(c) < len(usual) {
		return usual[c]
	}
	return ReachRecipient
}

// Busy reports whether a cause asks for fewer or slower connections.
func (c Cause) Busy() bool { return c == CauseConnections || c == CauseConnectRate }

// Bounce is a bounce class, by the numbers that analysts know from Momentum. 0: none.
type Bounce uint8

// The bounce classes.
const (
	BounceUndetermined     Bounce = 1
	BounceInvalidRecipient Bounce = 10
	BounceSoft             Bounce = 20
	BounceDNS              Bounce = 21
	BounceMailboxFull      Bounce = 22
	BounceTooLarge         Bounce = 23
	BounceTimeout          Bounce = 24
	BounceAdmin            Bounce = 25
	BounceNoRcpt           Bounce = 30
	BounceGeneric          Bounce = 40
	BounceMailBlock        Bounce = 50
	BounceSpamBlock        Bounce = 51
	BounceSpamContent      Bounce = 52
	BounceAttachment       Bounce = 53
	BounceRelaying         Bounce = 54
	BounceAutoReply        Bounce = 60
	BounceTransient        Bounce = 70
	BounceSubscribe        Bounce = 80
	BounceUnsubscribe      Bounce = 90
	BounceChallenge        Bounce = 100
)

// bounce describes a class: its name, its kind, the category of accounting when a rule
// names none, and the cause when no rule names one. A cause that limits react to is
// never concluded from a bounce class.
type bounce struct {
	class    Bounce
	name     string
	kind     string
	category Category
	cause    Cause
}

var bounces = [...]bounce{
	{BounceUndetermined, "undetermined", "Undetermined", Other, CauseUnknown},
	{BounceInvalidRecipient, "invalid-recipient", "Hard", BadMailbox, CauseMailbox},
	{BounceSoft, "soft-bounce", "Soft", Other, CauseUnknown},
	{BounceDNS, "dns-failure", "Soft", RoutingErrors, CauseDNS},
	{BounceMailboxFull, "mailbox-full", "Soft", QuotaIssues, CauseMailbox},
	{BounceTooLarge, "too-large", "Soft", ContentRelated, CauseContent},
	{BounceTimeout, "timeout", "Soft", NoAnswerFromHost, CauseTrouble},
	{BounceAdmin, "admin-failure", "Admin", PolicyRelated, CauseOther},
	{BounceNoRcpt, "no-rcpt", "Hard", BadMailbox, CauseMailbox},
	{BounceGeneric, "generic-bounce", "Soft", Other, CauseUnknown},
	{BounceMailBlock, "mail-block", "Block", PolicyRelated, CauseUnknown},
	{BounceSpamBlock, "spam-block", "Block", SpamRelated, CauseUnknown},
	{BounceSpamContent, "spam-content", "Block", SpamRelated, CauseContent},
	{BounceAttachment, "prohibited-attachment", "Block", ContentRelated, CauseContent},
	{BounceRelaying, "relaying-denied", "Block", RelayingIssues, CausePolicy},
	{BounceAutoReply, "auto-reply", "Soft", Other, CauseOther},
	{BounceTransient, "transient-failure", "Soft", Other, CauseUnknown},
	{BounceSubscribe, "subscribe", "Admin", Other, CauseOther},
	{BounceUnsubscribe, "unsubscribe", "Hard", Other, CauseOther},
	{BounceChallenge, "challenge-response", "Soft", Other, CauseOther},
}

func (b Bounce) entry() *bounce {
	for i := range bounces {
		if bounces[i].class == b {
			return &bounces[i]
		}
	}
	return &bounces[0]
}

// String is the class's name, "mailbox-full"; empty for 0.
func (b Bounce) String() string {
	if b == 0 {
		return ""
	}
	return b.entry().name
}

// Kind is Hard, Soft, Block, Admin or Undetermined.
func (b Bounce) Kind() string { return b.entry().kind }

// Bounces are all classes, in order.
func Bounces() []Bounce {
	out := make([]Bounce, len(bounces))
	for i := range bounces {
		out[i] = bounces[i].class
	}
	return out
}

// ParseBounce finds a bounce class by its name.
func ParseBounce(s string) (Bounce, bool) {
	for i := range bounces {
		if bounces[i].name == s {
			return bounces[i].class, true
		}
	}
	return 0, false
}

// bounceOf is the bounce class of a cause when no rule names one.
var bounceOf = [...]Bounce{
	CauseConnections: BounceTransient, CauseConnectRate: BounceTransient, CauseMessageRate: BounceTransient,
	CauseReputation: BounceSpamBlock, CauseBlocked: BounceSpamBlock, CauseGreylisted: BounceTransient,
	CauseMailbox: BounceSoft, CauseContent: BounceSpamContent, CausePolicy: BounceMailBlock, CauseDNS: BounceDNS,
	CauseTrouble: BounceTransient, CauseOther: BounceUndetermined,
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

func indexOf(names []string, s string) (int, bool) {
	for i, n := range names {
		if n == s {
			return i, true
		}
	}
	return -1, false
}
