package server

import (
	"context"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/bounce"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/inject"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// recordWithin is how long a client waits for its report to be recorded.
const recordWithin = 30 * time.Second

var replyReportLater = mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "the report cannot be recorded now, try again later"}

// incoming takes a message to an address for reports: what it says is recorded before the
// client is told that we have it.
func (s *Server) incoming(m inject.Incoming) mail.Reply {
	snap := s.policies.snapshot()
	tags := bounce.NewTags(snap.BounceKey.Value)
	in := bounce.Parse(m.Content, snap.Hostname)
	var records []account.Record
	for i, to := range append(m.Feedback[:len(m.Feedback):len(m.Feedback)], m.Bounces...) {
		r := s.recordsOf(&m, &in, to, i < len(m.Feedback), tags)
		records = append(records, r...)
	}
	kept := records[:0]
	for i := range records {
		r := &records[i]
		s.metrics.Reported(r.Kind.String(), r.Report.Verified)
		if m.Listener.VerifyReports && !r.Report.Verified {
			continue // forged, or of nobody knows whom: taken and counted, it changes nothing
		}
		kept = append(kept, *r)
	}
	if in.Kind == bounce.KindUnknown || len(records) == 0 {
		s.metrics.Reported(bounce.KindUnknown.String(), false)
	}
	if len(kept) == 0 {
		return mail.Reply{}
	}
	ctx, cancel := context.WithTimeout(s.ctx, recordWithin)
	defer cancel()
	if err := s.accounts.Record(ctx, kept...); err != nil {
		s.log.Warn("a report from outside is not recorded; its sender is asked to come again", "error", err)
		return replyReportLater
	}
	for i := range kept {
		s.suppressReported(&kept[i], snap, tags != nil)
	}
	return mail.Reply{}
}

// recordsOf is what a report to one of our addresses says, a record for each recipient
// that it is about.
func (s *Server) recordsOf(m *inject.Incoming, in *bounce.Incoming, to mail.Address, feedback bool, tags *bounce.Tags) []account.Record {
	path := bounce.ParseReturnPath(to, tags, m.Received)
	if feedback || in.Kind == bounce.KindFeedback {
		path = returnedPath(in, to, path, tags, m.Received)
	}
	base := account.Record{
		Queued: m.Received, Sender: path.Sender.String(), Host: in.Reporter, Protocol: "smtp", Helo: m.Source.Helo,
		Client: m.Source.Client.Addr(), Listener: m.Source.Listener, Size: m.Size, EnvID: in.EnvID, Message: in.Returned.ID,
		Report: account.Reported{
			Form: in.Form, Verified: path.Verified, MessageID: in.Returned.MessageID, From: in.Returned.From,
			Feedback: in.Feedback.Type, UserAgent: in.Feedback.UserAgent, SourceIP: in.Feedback.SourceIP,
		},
	}
	if tags != nil {
		if id, ok := tags.ParseEnvID(m.Received, in.EnvID); ok {
			base.Message, base.Report.Verified = id, true
		}
	}
	reported := in.Recipients
	if !path.Recipient.IsNull() { // the address itself says whom it is about
		reported = []bounce.Reported{about(in.Recipients, path.Recipient.String())}
	}
	var out []account.Record
	for i := range reported {
		if r, ok := recordOf(base, in, &reported[i], feedback, path.Recipient, s.judge); ok {
			out = append(out, r)
		}
	}
	return out
}

// returnedPath is the return path that a complaint shows of the message that it is about:
// its own address is always the same.
func returnedPath(in *bounce.Incoming, to mail.Address, path bounce.Returned, tags *bounce.Tags, now int64) bounce.Returned {
	for _, s := range [...]string{in.Feedback.MailFrom, in.Returned.ReturnPath} {
		if a, err := policy.ParseListed(s); err == nil && a.Local != "" {
			if p := bounce.ParseReturnPath(a, tags, now); !p.Recipient.IsNull() || path.Sender == to {
				return p
			}
		}
	}
	return path
}

// about finds what a report says of a recipient; when it names others, as after a
// forwarding, the first of them was told about it.
func about(all []bounce.Reported, recipient string) bounce.Reported {
	for _, r := range all {
		if sameAddress(r.Final, recipient) || sameAddress(r.Original, recipient) {
			return r
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return bounce.Reported{}
}

func sameAddress(s, other string) bool {
	a, err := policy.ParseListed(s)
	b, err2 := policy.ParseListed(other)
	return err == nil && err2 == nil && a == b
}

// recordOf is the record of one recipient; false: the report says nothing of it.
func recordOf(r account.Record, in *bounce.Incoming, x *bounce.Reported, feedback bool, recipient mail.Address, judge func(*classify.Subject) classify.Judgement) (account.Record, bool) {
	r.Recipient, r.ORcpt = x.Final, ""
	if x.Original != "" {
		r.Recipient, r.ORcpt = x.Original, "rfc822;"+x.Original
	}
	if !recipient.IsNull() {
		r.Recipient = recipient.String()
	}
	r.Action, r.Status, r.Diag = x.Action, x.Status, x.Diag
	switch {
	case in.Kind == bounce.KindFeedback || feedback && in.Kind == bounce.KindUnknown:
		r.Kind, r.Action, r.Status = sched.RecordFeedback, "", ""
		r.Diag = "x-feedback;" + or(in.Feedback.Type, "unknown")
		return r, r.Recipient != ""
	case in.Kind == bounce.KindBounce && x.Action == "failed":
		r.Kind = sched.RecordRemoteBounce
		r.Categorize(judge)
	case in.Kind == bounce.KindBounce || in.Kind == bounce.KindStatus:
		r.Kind = sched.RecordRemoteStatus
	case in.Kind == bounce.KindReply:
		r.Kind, r.Diag, r.Category = sched.RecordRemoteStatus, "x-auto-reply", "auto-reply"
		r.Bounce = int(classify.BounceAutoReply)
	default:
		return r, false
	}
	return r, r.Recipient != ""
}

// suppressReported puts the recipient of a report on the list, where that is asked for.
// With a key only a report that shows a tag can do so; without one anybody could have sent
// it, and it cannot.
func (s *Server) suppressReported(r *account.Record, snap *policy.Snapshot, tagged bool) {
	if !tagged || !r.Report.Verified {
		return
	}
	switch {
	case r.Kind == sched.RecordFeedback && snap.Suppression.OnComplaint && r.Report.Feedback != "not-spam":
		s.suppressLater(r.Recipient, "complaint", mail.Printable(r.Report.Feedback+" "+r.Report.UserAgent))
	case r.Kind == sched.RecordRemoteBounce && snap.Suppression.OnHardBounce && strings.HasPrefix(r.Status, "5") && hard(classify.Bounce(r.Bounce)):
		s.suppressLater(r.Recipient, "hard_bounce", mail.Printable(r.Diag))
	}
}

// outgoing is what MAIL says of a message for one of its recipients: its return path
// (verp), and an ENVID of ours when the client gave none.
func (s *Server) outgoing(env *mail.Envelope, recipients []int, session *policy.Session) *mail.Envelope {
	key := s.policies.snapshot().BounceKey.Value
	if !session.VERP && key == "" || env.Sender.IsNull() {
		return env
	}
	tags, now := bounce.NewTags(key), s.opts.Clock.Wall()
	out := *env
	if session.VERP && len(recipients) == 1 {
		out.Sender = bounce.ReturnPath(env.Sender, &env.Recipients[recipients[0]], session.VERPDomain, tags, now)
	}
	if tags != nil && env.EnvID == "" {
		out.EnvID = tags.EnvID(now, env.ID)
	}
	return &out
}
