package classify

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Recipient returns the class of the last word about one recipient. ahead is how many
// recipients of the transaction had been accepted when the reply came.
func Recipient(r mail.Reply, ahead int) mail.Class {
	switch r.Class() {
	case 0:
		return unanswered(r)
	case 2:
		if r.Stage == mail.StageDot {
			return mail.ClassDelivered
		}
		return mail.ClassDeferred // accepted on the way, and then nothing decided
	case 5:
		if r.Code == 552 && r.Stage == mail.StageRcpt {
			// RFC 5321 §4.5.3.1.10: RFC 821 gave 552 where 452 was meant.
			return tooMany(r, ahead)
		}
		return mail.ClassRefused
	case 4:
		if r.Code == 452 && r.Stage == mail.StageRcpt {
			return tooMany(r, ahead)
		}
	}
	return mail.ClassDeferred
}

// unanswered classes what happened instead of a reply: good for nothing is only what we
// know ourselves that this receiver will never take.
func unanswered(r mail.Reply) mail.Class {
	if strings.HasPrefix(r.Enhanced, "5.") {
		return mail.ClassRefused
	}
	return mail.ClassDeferred
}

// tooMany tells a 452 about the number of recipients from one about this recipient or
// about who sends. It needs somebody accepted before it, so every round gets somewhere.
func tooMany(r mail.Reply, ahead int) mail.Class {
	if ahead == 0 {
		return mail.ClassDeferred
	}
	_, subject, _ := strings.Cut(r.Enhanced, ".")
	switch subject, _, _ = strings.Cut(subject, "."); subject {
	case "1", "2", "7": // the address, the mailbox (often: full), a policy (RFC 3463 §3)
		return mail.ClassDeferred
	}
	return mail.ClassTooMany
}
