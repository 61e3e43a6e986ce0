package classify

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Category names what a refusal or deferral is about, for people and reports. The
// names are those that accounting tools of the field know; treat them as open.
type Category string

const (
	Success          Category = "success"
	BadMailbox       Category = "bad-mailbox"
	BadDomain        Category = "bad-domain"
	InactiveMailbox  Category = "inactive-mailbox"
	QuotaIssues      Category = "quota-issues"
	SpamRelated      Category = "spam-related"
	PolicyRelated    Category = "policy-related"
	ContentRelated   Category = "content-related"
	VirusRelated     Category = "virus-related"
	RelayingIssues   Category = "relaying-issues"
	RoutingErrors    Category = "routing-errors"
	NoAnswerFromHost Category = "no-answer-from-host"
	BadConnection    Category = "bad-connection"
	BadConfiguration Category = "bad-configuration"
	InvalidSender    Category = "invalid-sender"
	MessageExpired   Category = "message-expired"
	ProtocolErrors   Category = "protocol-errors"
	Other            Category = "other"
)

// categoryOf is the category of a cause when no rule names a bounce class.
var categoryOf = [...]Category{
	CauseUnknown: Other, CauseConnections: PolicyRelated, CauseConnectRate: PolicyRelated, CauseMessageRate: PolicyRelated,
	CauseReputation: SpamRelated, CauseBlocked: SpamRelated, CauseGreylisted: PolicyRelated, CauseMailbox: BadMailbox,
	CauseContent: ContentRelated, CausePolicy: PolicyRelated, CauseDNS: RoutingErrors, CauseTrouble: Other, CauseOther: Other,
}

// Status returns the enhanced status code of an outcome (RFC 3463): the receiver's own
// when it is one and agrees with the class of the outcome, else X.0.0.
func Status(r mail.Reply, c mail.Class) string {
	want := byte('4')
	switch c {
	case mail.ClassDelivered:
		want = '2'
	case mail.ClassRefused:
		want = '5'
	}
	if validStatus(r.Enhanced) && r.Enhanced[0] == want {
		return r.Enhanced
	}
	switch want {
	case '2':
		return "2.0.0"
	case '5':
		return "5.0.0"
	}
	return "4.0.0"
}

// Expired is the status of a recipient that was given up for want of time.
const Expired = "4.4.7"

// Final returns the status of a recipient that has failed for good: Expired when its last
// outcome was not a refusal.
func Final(r mail.Reply, c mail.Class) string {
	if c != mail.ClassRefused || r.Code == 0 && r.Enhanced == Expired {
		return Expired
	}
	return Status(r, c)
}

// validStatus reports whether s is class.subject.detail with at most three digits in
// the last two.
func validStatus(s string) bool {
	if len(s) < 5 || s[1] != '.' || s[0] != '2' && s[0] != '4' && s[0] != '5' {
		return false
	}
	subject, detail, ok := strings.Cut(s[2:], ".")
	return ok && digits(subject) && digits(detail)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

// meanings are the words of RFC 3463 §3 and RFC 7505 for codes without their class.
var meanings = map[string]string{
	"0.0": "other undefined status", "1.0": "other address status", "1.1": "bad destination mailbox address",
	"1.2": "bad destination system address", "1.3": "bad destination mailbox address syntax",
	"1.4": "destination mailbox address ambiguous", "1.6": "destination mailbox has moved",
	"1.7": "bad sender's mailbox address syntax", "1.8": "bad sender's system address", "1.10": "recipient address has null MX",
	"2.0": "other or undefined mailbox status", "2.1": "mailbox disabled", "2.2": "mailbox full",
	"2.3": "message length exceeds administrative limit", "2.4": "mailing list expansion problem",
	"3.0": "other or undefined mail system status", "3.1": "mail system full", "3.2": "system not accepting network messages",
	"3.3": "system not capable of selected features", "3.4": "message too big for system", "3.5": "system incorrectly configured",
	"4.0": "other or undefined network or routing status", "4.1": "no answer from host", "4.2": "bad connection",
	"4.3": "directory server failure", "4.4": "unable to route", "4.5": "mail system congestion",
	"4.6": "routing loop detected", "4.7": "delivery time expired",
	"5.0": "other or undefined protocol status", "5.1": "invalid command", "5.2": "syntax error", "5.3": "too many recipients",
	"5.4": "invalid command arguments", "5.5": "wrong protocol version",
	"6.0": "other or undefined media error", "6.1": "media not supported", "6.3": "conversion required but not supported",
	"6.7": "internationalized address not supported",
	"7.0": "other or undefined security status", "7.1": "delivery not authorized", "7.5": "cryptographic failure",
	"7.8": "authentication credentials invalid", "7.25": "reverse DNS validation failed", "7.26": "multiple authentication checks failed",
}

// StatusText returns what a status says in words, empty when that is not known.
func StatusText(status string) string {
	class, detail, _ := strings.Cut(status, ".")
	if class == "2" {
		return "success"
	}
	return meanings[detail]
}
