package inject

import "github.com/sluice-mta/sluice/internal/mail"

// reasons names the refusals that have a reply of their own.
var reasons = map[mail.Reply]string{
	replyRelay: "relaying_denied", replyRate: "login_rate", replyTooBig: "too_big", replyBigHeader: "header_too_big",
	replyLoop: "loop", replyTooMany: "too_many_recipients", replyDomain: "malformed_domain", replyNoRcpt: "no_recipients",
	replyFull: "no_room", replyInternal: "internal", replyWrong: "login_failed", replyPutOff: "login_put_off", replyBusy: "login_busy",
}

// byCode names those of the Gate, and others whose text tells more than their kind.
var byCode = map[string]string{
	"4.3.0": "spool_sick", "4.3.1": "no_room", "4.3.2": "stopping", "5.7.0": "login_required", "4.7.0": "login_gone", "5.7.1": "binding_denied",
}

// Refuse tells who counts refusals of one that a way in answers itself, and returns the reply.
// It does nothing to a reply that refuses nothing.
func (in *Injector) Refuse(r mail.Reply) mail.Reply {
	if r.Code >= 400 {
		in.cfg.Refused(Reason(r))
	}
	return r
}

// RefuseSession counts a session that was refused because there are too many.
func (in *Injector) RefuseSession() { in.cfg.Refused("too_many_sessions") }

// Reason is why a reply refuses, in a word of a fixed list.
func Reason(r mail.Reply) string {
	if w, ok := reasons[r]; ok {
		return w
	}
	if w, ok := byCode[r.Enhanced]; ok {
		return w
	}
	return "other"
}
