package server

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/route"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Bounds of what an operator may say and give.
const (
	maxReason      = 500    // octets
	maxSuspensions = 10_000 // that stand at once
	selectPage     = 10_000 // records counted under one hold of the scheduler's lock
)

var verbs = map[string]sched.Verb{
	"suspend": sched.Suspend, "resume": sched.Resume, "retry": sched.Retry, "fail": sched.Fail, "rebind": sched.Move,
}

// Operate carries out a verb, or counts what it would meet. What it counts is there at that
// moment; what it does is done in slices after it has answered.
func (b backend) Operate(op admin.Operation) (admin.Operated, error) {
	ev, err := b.operator(&op)
	if err != nil {
		return admin.Operated{}, err
	}
	// A reload between the choice of targets and the event would leave mail with policies
	// of before.
	b.reloadMu.Lock()
	defer b.reloadMu.Unlock()
	out := admin.Operated{Queues: b.matching(&op)}
	if op.DryRun || ev.Verb == sched.Fail || ev.Verb == sched.Move || ev.Verb == sched.Retry {
		out.Selection = b.selection(&ev)
	}
	if ev.Verb == sched.Move {
		if err := b.targets(&ev, &op); err != nil {
			return admin.Operated{}, err
		}
	}
	if op.DryRun {
		return out, nil
	}
	b.driver.Step(ev)
	b.log.Info("operator", "verb", op.Verb, "domain", op.Domain, "binding", op.Binding, "tenant", op.Tenant, "job", op.Job,
		"to", op.To, "by", op.By, "reason", op.Reason)
	if ev.Verb == sched.Suspend || ev.Verb == sched.Resume {
		if err := b.notebook.sure(); err != nil {
			return out, fmt.Errorf("%s holds now, but a restart will not know of it: %w", op.Verb, err)
		}
	}
	return out, nil
}

// operator checks what was asked, and makes an event of it.
func (b backend) operator(op *admin.Operation) (sched.Operator, error) {
	refuse := func(format string, args ...any) (sched.Operator, error) {
		return sched.Operator{}, fmt.Errorf("%w: "+format, append([]any{admin.ErrRefused}, args...)...)
	}
	verb, ok := verbs[op.Verb]
	if !ok {
		return refuse("verb %q: it is suspend, resume, retry, fail or rebind", op.Verb)
	}
	if op.Domain != "" {
		d, err := routingName(op.Domain)
		if err != nil {
			return refuse("%w", err)
		}
		op.Domain = d
	}
	if op.Binding != "" {
		// A name that is no binding's would match nothing for ever.
		if _, err := b.Binding(op.Binding); err != nil {
			return sched.Operator{}, fmt.Errorf("%w; a queue is written domain/binding, with a tenant domain/binding/tenant", err)
		}
	}
	switch {
	case op.Job != "" && (verb == sched.Suspend || verb == sched.Resume):
		return refuse("a job has no queue that could be suspended: name a domain, binding or tenant")
	case (op.To != "") != (verb == sched.Move):
		return refuse("rebind, and rebind alone, says to which binding or group mail goes")
	case verb == sched.Suspend && !op.DryRun && b.suspensions() >= maxSuspensions:
		return refuse("%d suspensions stand already: resume some, or suspend more at once", maxSuspensions)
	}
	if op.By == "" {
		op.By = "an operator"
	}
	op.By, op.Reason = sentence(op.By), sentence(op.Reason)
	ev := sched.Operator{Verb: verb, Binding: op.Binding, Domain: op.Domain, Tenant: op.Tenant, Job: op.Job, By: op.By, Reply: mail.Reply{Text: op.Reason}}
	if verb == sched.Fail {
		ev.Reply.Enhanced = "5.7.1"
		if op.Reason == "" {
			ev.Reply.Text = "the message was removed from the queue by the operator"
		}
	}
	return ev, nil
}

// sentence makes a text fit for reports and logs: one line, bounded.
func sentence(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return strings.TrimSpace(s)
}

// targets fills in where mail of each domain goes to.
func (b backend) targets(ev *sched.Operator, op *admin.Operation) error {
	snap := b.policies.snapshot()
	to := []route.Candidate{{Name: op.To, Weight: 1}}
	if g := snap.Groups[op.To]; g != nil {
		to, ev.Group = members(snap, g), true
	} else if snap.Bindings[op.To] == nil {
		return fmt.Errorf("%w: there is no binding or binding group %q; `sluice binding list` shows those there are", admin.ErrRefused, op.To)
	}
	ev.Targets = map[string][]sched.Candidate{}
	b.eachMatching(op, func(q *sched.QueueView) {
		if ev.Targets[q.Domain] != nil {
			return
		}
		for _, c := range to {
			p, generation := b.policies.queue(c.Name, q.Domain)
			ev.Targets[q.Domain] = append(ev.Targets[q.Domain], sched.Candidate{Binding: c.Name, Weight: c.Weight, Policy: p, Generation: generation})
		}
	})
	return nil
}

// selection counts the mail that a verb would meet, a page at a time.
func (b backend) selection(ev *sched.Operator) (sum sched.Selection) {
	for cursor := uint32(0); ; {
		b.driver.View(func(m *sched.Machine, _ int64) { cursor = m.Select(ev, cursor, selectPage, &sum) })
		if cursor == 0 {
			return sum
		}
	}
}

// matching counts the queues that an operation names.
func (b backend) matching(op *admin.Operation) (n int) {
	b.eachMatching(op, func(*sched.QueueView) { n++ })
	return n
}

func (b backend) eachMatching(op *admin.Operation, do func(q *sched.QueueView)) {
	for cursor := ""; ; {
		var rows []sched.QueueView
		rows, cursor = b.Queues(cursor, 1000)
		for i := range rows {
			q := &rows[i]
			if (op.Domain == "" || q.Domain == op.Domain || q.Routing == op.Domain) && (op.Binding == "" || q.Binding == op.Binding) &&
				(op.Tenant == "" || q.Tenant == op.Tenant) {
				do(q)
			}
		}
		if cursor == "" {
			return
		}
	}
}

func (b backend) suspensions() (n int) {
	b.driver.View(func(m *sched.Machine, _ int64) { n = len(m.Suspensions()) })
	return n
}

// Suspensions lists the orders that stand.
func (b backend) Suspensions() []admin.Suspension {
	var list []sched.Suspension
	b.driver.View(func(m *sched.Machine, _ int64) { list = m.Suspensions() })
	out := make([]admin.Suspension, len(list))
	for i, s := range list {
		out[i] = admin.Suspension{
			Domain: s.Domain, Binding: s.Binding, Tenant: s.Tenant, By: s.By, Reason: s.Reason, Since: b.driver.Clock().Time(s.Since),
		}
	}
	return out
}
