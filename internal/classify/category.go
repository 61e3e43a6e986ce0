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

// phrase is a text that says what a reply is about. Phrases are in lower case.
type phrase struct {
	text     string
	category Category
}

// telling phrases decide before the code: receivers give them under any code.
var telling = []phrase{
	{"spamhaus", SpamRelated},
	{"spamcop", SpamRelated},
	{"dnsbl", SpamRelated},
	{"blacklist", SpamRelated},
	{"blocklist", SpamRelated},
	{"block list", SpamRelated},
	{"unsolicited", SpamRelated},
	{"spam", SpamRelated},
	{"virus", VirusRelated},
	{"malware", VirusRelated},
	{"mailbox full", QuotaIssues},
	{"mailbox is full", QuotaIssues},
	{"over quota", QuotaIssues},
	{"overquota", QuotaIssues},
	{"quota exceeded", QuotaIssues},
	{"exceeded storage", QuotaIssues},
	{"out of storage", QuotaIssues},
	{"relaying denied", RelayingIssues},
	{"relay access denied", RelayingIssues},
	{"unable to relay", RelayingIssues},
	{"relay not permitted", RelayingIssues},
	{"not permitted to relay", RelayingIssues},
}

// plain phrases are asked when the code says nothing of its own.
var plain = []phrase{
	{"account disabled", InactiveMailbox},
	{"account is disabled", InactiveMailbox},
	{"account inactive", InactiveMailbox},
	{"mailbox disabled", InactiveMailbox},
	{"account suspended", InactiveMailbox},
	{"user unknown", BadMailbox},
	{"unknown user", BadMailbox},
	{"no such user", BadMailbox},
	{"unknown recipient", BadMailbox},
	{"recipient unknown", BadMailbox},
	{"invalid recipient", BadMailbox},
	{"invalid mailbox", BadMailbox},
	{"mailbox not found", BadMailbox},
	{"mailbox unavailable", BadMailbox},
	{"no mailbox", BadMailbox},
	{"user not found", BadMailbox},
	{"address rejected", BadMailbox},
	{"sender rejected", InvalidSender},
	{"domain not found", InvalidSender},
	{"message too large", ContentRelated},
	{"size exceeds", ContentRelated},
	{"rate limit", PolicyRelated},
	{"too many connections", PolicyRelated},
	{"greylist", PolicyRelated},
	{"graylist", PolicyRelated},
	{"blocked", PolicyRelated},
	{"policy", PolicyRelated},
	{"timed out", NoAnswerFromHost},
	{"refused", NoAnswerFromHost},
}

// codes gives the category of an enhanced status code without its class (RFC 3463 §3).
var codes = map[string]Category{
	"1.1": BadMailbox, "1.2": BadDomain, "1.3": BadMailbox, "1.4": BadMailbox, "1.6": BadMailbox,
	"1.7": InvalidSender, "1.8": InvalidSender, "1.10": BadDomain,
	"2.0": BadMailbox, "2.1": InactiveMailbox, "2.2": QuotaIssues, "2.3": ContentRelated,
	"3.1": QuotaIssues, "3.3": ContentRelated, "3.4": ContentRelated, "3.5": BadConfiguration,
	"4.1": NoAnswerFromHost, "4.2": BadConnection, "4.3": RoutingErrors, "4.4": RoutingErrors,
	"4.6": RoutingErrors,
	"5.3": PolicyRelated,
}

// subjects gives the category of the remaining codes of a subject; those that say
// nothing (x.0.0, x.1.0, x.3.0, x.4.0) are left to the text.
var subjects = map[string]Category{"5": ProtocolErrors, "6": ContentRelated, "7": PolicyRelated}

// CategoryOf returns what a status ("5.1.1") with its diagnostic text ("smtp;550 5.1.1 no
// such user") is about. Telling phrases come first, then the code, then other phrases.
func CategoryOf(status, diag string) Category {
	class, detail, _ := strings.Cut(status, ".")
	if class == "2" {
		return Success
	}
	if detail == "4.7" {
		return MessageExpired // whatever the last reply was about
	}
	diag = strings.ToLower(diag[:min(len(diag), mail.MaxReply)])
	if c, ok := find(telling, diag); ok {
		return c
	}
	if c, ok := codes[detail]; ok {
		return c
	}
	subject, _, _ := strings.Cut(detail, ".")
	if c, ok := subjects[subject]; ok && detail != "5.0" && detail != "7.0" {
		return c
	}
	if c, ok := find(plain, diag); ok {
		return c
	}
	if c, ok := subjects[subject]; ok {
		return c
	}
	return Other
}

func find(list []phrase, text string) (Category, bool) {
	for _, p := range list {
		if strings.Contains(text, p.text) {
			return p.category, true
		}
	}
	return "", false
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
