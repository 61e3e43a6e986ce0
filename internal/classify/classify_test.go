package classify

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

func reply(code int, enhanced string, stage mail.Stage) mail.Reply {
	return mail.Reply{Code: code, Enhanced: enhanced, Stage: stage}
}

func TestRecipient(t *testing.T) {
	tests := []struct {
		name  string
		reply mail.Reply
		ahead int
		want  mail.Class
	}{
		{"dot accepted", reply(250, "2.0.0", mail.StageDot), 1, mail.ClassDelivered},
		{"unknown 2xx to the dot", reply(299, "", mail.StageDot), 1, mail.ClassDelivered},
		{"accepted, then nothing", reply(250, "", mail.StageRcpt), 0, mail.ClassDeferred},
		{"dot deferred", reply(451, "4.7.1", mail.StageDot), 1, mail.ClassDeferred},
		{"unknown 4xx", reply(499, "", mail.StageRcpt), 0, mail.ClassDeferred},
		{"dot refused", reply(554, "5.7.1", mail.StageDot), 1, mail.ClassRefused},
		{"unknown 5xx", reply(599, "", mail.StageMail), 0, mail.ClassRefused},
		{"no such user", reply(550, "5.1.1", mail.StageRcpt), 3, mail.ClassRefused},
		{"552 to RCPT", reply(552, "", mail.StageRcpt), 0, mail.ClassDeferred},
		{"552 to RCPT after others", reply(552, "", mail.StageRcpt), 1, mail.ClassTooMany},
		{"552 mailbox full after others", reply(552, "5.2.2", mail.StageRcpt), 1, mail.ClassDeferred},
		{"552 to the dot", reply(552, "5.3.4", mail.StageDot), 1, mail.ClassRefused},
		{"452 first", reply(452, "4.5.3", mail.StageRcpt), 0, mail.ClassDeferred},
		{"452 after others", reply(452, "4.5.3", mail.StageRcpt), 100, mail.ClassTooMany},
		{"452 after others without enhanced code", reply(452, "", mail.StageRcpt), 1, mail.ClassTooMany},
		{"452 storage after others", reply(452, "4.3.1", mail.StageRcpt), 1, mail.ClassTooMany},
		{"452 mailbox full after others", reply(452, "4.2.2", mail.StageRcpt), 1, mail.ClassDeferred},
		{"452 policy after others", reply(452, "4.7.0", mail.StageRcpt), 1, mail.ClassDeferred},
		{"452 to the dot", reply(452, "4.3.1", mail.StageDot), 1, mail.ClassDeferred},
		{"421", reply(421, "", mail.StageRcpt), 1, mail.ClassDeferred},
		{"lost", reply(0, "4.4.2", mail.StageDot), 1, mail.ClassDeferred},
		{"not sent: too large", reply(0, "5.3.4", mail.StageMail), 0, mail.ClassRefused},
		{"nothing", mail.Reply{}, 0, mail.ClassDeferred},
		{"354 to RCPT", reply(354, "", mail.StageRcpt), 0, mail.ClassDeferred},
	}
	for _, tt := range tests {
		if got := Recipient(tt.reply, tt.ahead); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOpening(t *testing.T) {
	tests := []struct {
		name  string
		reply mail.Reply
		cause Cause
		want  Effect
	}{
		{"ready", reply(220, "", mail.StageGreeting), 0, EffectNone},
		{"too many connections", reply(421, "4.7.0", mail.StageGreeting), 0, EffectBusy},
		{"421 to EHLO", reply(421, "", mail.StageEHLO), 0, EffectBusy},
		{"450 greeting", reply(450, "", mail.StageGreeting), 0, EffectHost},
		{"no mail here", reply(521, "", mail.StageGreeting), 0, EffectNever},
		{"554 greeting", reply(554, "5.7.1", mail.StageGreeting), 0, EffectHost},
		{"EHLO refused", reply(550, "", mail.StageEHLO), 0, EffectHost},
		{"silence", reply(0, "4.4.2", mail.StageGreeting), 0, EffectHost},
		{"STARTTLS refused", reply(454, "4.7.0", mail.StageSTARTTLS), 0, EffectTLS},
		{"421 to STARTTLS", reply(421, "", mail.StageSTARTTLS), 0, EffectBusy},
		{"too many connections under another code", reply(554, "5.7.1", mail.StageGreeting), CauseConnections, EffectBusy},
		{"connecting too fast", reply(450, "4.7.1", mail.StageEHLO), CauseConnectRate, EffectBusy},
		{"blocked", reply(554, "5.7.1", mail.StageGreeting), CauseBlocked, EffectHost},
		{"handshake", reply(0, "4.7.5", mail.StageTLS), 0, EffectTLS},
	}
	for _, tt := range tests {
		if got := Opening(tt.reply, tt.cause); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestEnding(t *testing.T) {
	idle := mail.Reply{Code: 421, Text: "mx.test Idle timeout, closing"}
	tests := []struct {
		name               string
		reply              mail.Reply
		timeout, delivered bool
		cause              Cause
		want               Effect
	}{
		{"421 between transactions", reply(421, "4.7.0", mail.StageNone), false, true, 0, EffectBusy},
		{"421 to MAIL", reply(421, "4.7.0", mail.StageMail), false, true, 0, EffectBusy},
		{"421 after an idle time, enhanced", reply(421, "4.4.2", mail.StageNone), false, true, 0, EffectNone},
		{"421 after an idle time, in words", idle, false, true, 0, EffectNone},
		{"421 to RCPT", reply(421, "4.7.0", mail.StageRcpt), false, true, 0, EffectNone},
		{"421 to the dot", reply(421, "", mail.StageDot), false, false, 0, EffectNone},
		{"421 to RCPT about connections", reply(421, "4.7.0", mail.StageRcpt), false, true, CauseConnections, EffectBusy},
		{"421 to MAIL: enough messages for this connection", reply(421, "", mail.StageMail), false, true, CauseOther, EffectNone},
		{"421 to MAIL about a mailbox", reply(421, "4.2.1", mail.StageMail), false, true, CauseMailbox, EffectNone},
		{"421 to MAIL: sending too fast", reply(421, "4.7.0", mail.StageMail), false, true, CauseMessageRate, EffectBusy},
		{"silence", reply(0, "4.4.2", mail.StageDot), true, true, 0, EffectHost},
		{"lost at MAIL, first", reply(0, "4.4.2", mail.StageMail), false, false, 0, EffectHost},
		{"lost at MAIL, later", reply(0, "4.4.2", mail.StageMail), false, true, 0, EffectNone},
		{"lost in the content", reply(0, "4.4.2", mail.StageBody), false, false, 0, EffectNone},
		{"lost at the dot", reply(0, "4.4.2", mail.StageDot), false, false, 0, EffectNone},
		{"closed while idle", reply(0, "4.4.2", mail.StageNone), false, false, 0, EffectNone},
		{"552 and gone in the content", reply(552, "", mail.StageBody), false, false, 0, EffectNone},
	}
	for _, tt := range tests {
		if got := Ending(tt.reply, tt.timeout, tt.delivered, tt.cause); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
