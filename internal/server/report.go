package server

import (
	"io"

	"github.com/sluice-mta/sluice/internal/bounce"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/route"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/spool"
)

// reportTenant is the tenant of reports, so that they never wait behind bulk mail.
const reportTenant = "sluice-reports"

// report composes the report to the sender that a Bounce asks for; nil when none is
// due.
func (s *Server) report(a sched.Bounce) *spool.Report {
	env, content, release := s.original(&a)
	defer release()
	if env == nil {
		return nil
	}
	snap := s.policies.snapshot()
	now := s.opts.Clock.Wall()
	in := bounce.Input{
		ID: s.injector.NewID(), Now: now, Hostname: snap.Hostname, Postmaster: snap.Postmaster, Tenant: reportTenant,
		Envelope: env, Content: content, Outcomes: s.withLastReplies(a.Message, a.Outcomes), Attempt: a.Attempt,
	}
	in.Binding, in.Group = s.bounceBinding(in.ID)
	switch {
	case a.Relayed:
		in.Action = bounce.Relayed
	case a.Delay:
		in.Action = bounce.Delayed
		q, _ := s.policies.queue(a.Binding, a.Domain)
		in.Until = max(env.Received, env.Release) + int64(q.Expiration)
	}
	out, text := bounce.Compose(in)
	if out == nil {
		return nil
	}
	if snap.Signs {
		to := out.Recipients[0]
		text = s.injector.SignReport(text, to.Binding, to.Domain)
		out.Size = int64(len(text))
	}
	return &spool.Report{Envelope: out, Content: text}
}

// original opens the message that a report is about. One whose content cannot be read is
// reported on from its envelope alone.
func (s *Server) original(a *sched.Bounce) (env *mail.Envelope, content io.ReaderAt, release func()) {
	m, err := s.spool.Open(a.Message)
	if err == nil {
		return m.Envelope(), m, m.Close
	}
	if env, err = s.spool.Envelope(a.Message); err != nil {
		s.log.Error("no report about a message that cannot be read", "error", err)
	}
	return env, nil, func() {}
}

// bounceBinding is the binding that a report leaves through.
func (s *Server) bounceBinding(id mail.ID) (binding, group string) {
	snap := s.policies.snapshot()
	name := snap.BounceBinding
	if g := snap.Groups[name]; g != nil {
		candidates := members(snap, g)
		if i := route.Pick(id, candidates); i >= 0 {
			return candidates[i].Name, name
		}
	}
	if snap.Bindings[name] != nil {
		return name, ""
	}
	return defaultBinding, ""
}
