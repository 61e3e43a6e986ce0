package classify

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Effect is what a reply, or its absence, means for the connection and whom it speaks of.
type Effect uint8

const (
	EffectNone  Effect = iota // the session goes on, or ended in good order
	EffectBusy                // the receiver has enough connections of ours: fewer, slower
	EffectHost                // the host is in trouble: leave it alone for a while
	EffectTLS                 // encryption did not come about
	EffectNever               // the host never takes mail (RFC 7504 §3)
)

var effectNames = [...]string{"none", "busy", "host", "tls", "never"}

func (e Effect) String() string {
	if int(e) < len(effectNames) {
		return effectNames[e]
	}
	return "unknown"
}

// Opening returns the effect of what ended a session before it was ready: a reply to the
// greeting, EHLO or STARTTLS that is no 2xx, or no reply. 421 is how a receiver says
// that it does not want a further connection now, and so is any code with words that a
// rule knows to say so; any other refusal is the host's.
func Opening(r mail.Reply, cause Cause) Effect {
	switch {
	case r.Code == 421, r.Class() >= 4 && cause.Busy():
		return EffectBusy
	case r.Stage == mail.StageSTARTTLS || r.Stage == mail.StageTLS:
		return EffectTLS
	case r.Class() == 2:
		return EffectNone
	case r.Code == 521 && (r.Stage == mail.StageGreeting || r.Stage == mail.StageEHLO):
		return EffectNever
	}
	return EffectHost
}

// Ending returns the effect of what ended a session that was ready. timeout: the
// receiver fell silent. delivered: it had taken at least one message.
//
//   - 421 between transactions or to MAIL, when nothing is in flight: busy, unless the
//     receiver only closes a connection that was idle for too long, or speaks of the
//     mailbox, the message, or something else that fewer connections do not help.
//   - 421 later is about the message, unless a rule knows its words to be about
//     connections; the session ended in good order.
//   - Silence is the host's, and so is a session that is lost before it took anything.
//     What is lost after the content was on its way may be the content's fault.
func Ending(r mail.Reply, timeout, delivered bool, cause Cause) Effect {
	switch {
	case r.Code == 421 && cause.Busy():
		return EffectBusy
	case r.Code == 421:
		if (r.Stage == mail.StageNone || r.Stage == mail.StageMail || r.Stage == mail.StageRset) && !idleFarewell(r) && !harmless(cause) {
			return EffectBusy
		}
		return EffectNone
	case timeout:
		return EffectHost
	case r.Code != 0 || delivered:
		return EffectNone
	}
	switch r.Stage {
	case mail.StageMail, mail.StageRcpt, mail.StageData:
		return EffectHost
	}
	return EffectNone
}

// harmless reports whether a cause has nothing to do with how much is sent, or how fast.
func harmless(c Cause) bool {
	switch c {
	case CauseMailbox, CauseContent, CauseGreylisted, CauseDNS, CauseOther:
		return true
	}
	return false
}

// idleFarewell reports whether a 421 only says that the connection was idle for too
// long (RFC 3463: X.4.2 bad connection).
func idleFarewell(r mail.Reply) bool {
	if r.Stage != mail.StageNone {
		return false
	}
	if strings.HasSuffix(r.Enhanced, ".4.2") || strings.HasSuffix(r.Enhanced, ".4.1") {
		return true
	}
	text := strings.ToLower(r.Text)
	for _, s := range [...]string{"timeout", "timed out", "time out", "idle"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}
