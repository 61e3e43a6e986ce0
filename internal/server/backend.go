package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/spool"
)

// lookupTimeout bounds what `sluice domain` waits for the network.
const lookupTimeout = 10 * time.Second

// backend answers the control API.
type backend struct{ *Server }

func (b backend) Status() admin.Status {
	snap := b.policies.snapshot()
	st := admin.Status{
		Version: b.opts.Version, Hostname: snap.Hostname, Config: snap.File, Generation: snap.Generation,
		Uptime: time.Since(b.started).Seconds(), Spool: b.spool.Stats(),
		Files:    admin.Files{Limit: b.files, Connections: snap.Server(b.files).MaxConnections, Asked: snap.OutboundCeiling()},
		Pressure: b.gate.closed().String(),
	}
	if f := b.finding.Load(); f != nil {
		st.Files.Warning = f.Text
	}
	if err := b.accounts.Pressure(); err != nil {
		st.Accounting = err.Error()
	}
	b.driver.View(func(m *sched.Machine, now int64) { st.Queue = m.Totals(now) })
	return st
}

func (b backend) Queues(cursor string, n int) (rows []sched.QueueView, next string) {
	b.driver.View(func(m *sched.Machine, now int64) { rows, next = m.Queues(now, cursor, n) })
	for i := range rows {
		b.stamp(rows[i].WaitingOn)
	}
	return rows, next
}

// stamp turns the machine's times into RFC 3339.
func (b backend) stamp(c *sched.CounterView) {
	if c != nil {
		c.Since = b.driver.Clock().Time(c.SinceAt)
	}
}

func (b backend) Explain(subject string) ([]sched.Explanation, error) {
	names, err := b.queuesOf(subject)
	if err != nil {
		return nil, err
	}
	var out []sched.Explanation
	for _, name := range names {
		var e sched.Explanation
		var ok bool
		b.driver.View(func(m *sched.Machine, now int64) { e, ok = m.Explain(now, name) })
		if !ok {
			continue
		}
		b.stamp(e.WaitingOn)
		for i := range e.Path {
			b.stamp(&e.Path[i])
		}
		e.Next = b.driver.Clock().Time(e.NextAt)
		e.Path, e.Hosts = list(e.Path), list(e.Hosts)
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%q: %w: no queue of that name holds mail or connections; `sluice queue list` shows those that do", subject, admin.ErrNotFound)
	}
	return out, nil
}

// queuesOf returns the queues that a subject names.
func (b backend) queuesOf(subject string) ([]string, error) {
	if id, err := mail.ParseID(subject); err == nil {
		return b.queuesOfMessage(id)
	}
	name, rest, isQueue := strings.Cut(subject, "/")
	domain, err := routingName(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; give a queue (domain/binding), a domain or a message id", admin.ErrRefused, err)
	}
	if isQueue {
		return []string{domain + "/" + rest}, nil
	}
	var names []string
	b.driver.View(func(m *sched.Machine, now int64) {
		if d, ok := m.Domain(now, domain); ok {
			for _, q := range d.Queues {
				names = append(names, q.Queue)
			}
		}
	})
	return names, nil
}

func (b backend) queuesOfMessage(id mail.ID) ([]string, error) {
	env, err := b.spool.Envelope(id)
	if err != nil {
		return nil, b.noMessage(id.String(), err)
	}
	seen := map[string]bool{}
	var names []string
	for _, r := range env.Recipients {
		name := r.Domain + "/" + r.Binding
		if env.Tenant != "" {
			name += "/" + env.Tenant
		}
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}

func (b backend) noMessage(id string, err error) error {
	if errors.Is(err, spool.ErrNotFound) {
		return fmt.Errorf("message %s: %w: it was never accepted here or has its outcome; the accounting files tell", id, admin.ErrNotFound)
	}
	return fmt.Errorf("message %s: %w", id, err)
}

func (b backend) Message(text string) (admin.Message, error) {
	id, err := mail.ParseID(text)
	if err != nil {
		return admin.Message{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	env, err := b.spool.Envelope(id)
	if err != nil {
		return admin.Message{}, b.noMessage(text, err)
	}
	out := admin.Message{
		ID: id.String(), Sender: env.Sender.String(), Size: env.Size, Tenant: env.Tenant, Job: env.Job,
		Priority: env.Priority.String(),
		Received: time.Unix(0, env.Received).UTC().Format(time.RFC3339),
	}
	for _, r := range env.Recipients {
		out.Recipients = append(out.Recipients, admin.Recipient{Address: r.Address.String(), Domain: r.Domain, Binding: r.Binding})
	}
	return out, nil
}

func (b backend) Bindings() []sched.BindingView {
	snap := b.policies.snapshot()
	var views []sched.BindingView
	b.driver.View(func(m *sched.Machine, _ int64) { views = m.Bindings() })
	known := map[string]bool{}
	for _, v := range views {
		known[v.Binding] = true
	}
	// Bindings that have carried no mail yet are listed too.
	for name, declared := range snap.Bindings {
		if !known[name] {
			views = append(views, sched.BindingView{Binding: name, Group: declared.Group, Limit: -1})
		}
	}
	for i := range views {
		views[i].Domains = list(views[i].Domains)
	}
	slices.SortFunc(views, func(a, b sched.BindingView) int { return cmp.Compare(a.Binding, b.Binding) })
	return views
}

func (b backend) Binding(name string) (sched.BindingView, error) {
	var v sched.BindingView
	var ok bool
	b.driver.View(func(m *sched.Machine, _ int64) { v, ok = m.Binding(name) })
	v.Domains = list(v.Domains)
	if ok {
		return v, nil
	}
	if known := b.policies.snapshot().Bindings[name]; known != nil {
		v.Binding, v.Group, v.Limit = name, known.Group, -1
		return v, nil
	}
	return v, fmt.Errorf("binding %q: %w: `sluice binding list` shows those there are", name, admin.ErrNotFound)
}

func (b backend) Domain(name string) (admin.Domain, error) {
	domain, err := routingName(name)
	if err != nil {
		return admin.Domain{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	out := b.lookup(ctx, domain)
	out.Rollups = list(b.rollups(ctx, domain))
	q, _ := b.policies.queue(defaultBinding, domain)
	out.Gateway = q.Session.Gateway
	b.driver.View(func(m *sched.Machine, now int64) {
		if d, ok := m.Domain(now, domain); ok {
			out.Queues, out.Hosts, out.Conns = d.Queues, d.Hosts, d.Conns
		}
	})
	out.Queues, out.Hosts = list(out.Queues), list(out.Hosts)
	for i := range out.Queues {
		b.stamp(out.Queues[i].WaitingOn)
	}
	return out, nil
}

func (b backend) Operate(op admin.Operation) (int, error) {
	verbs := map[string]sched.Verb{"suspend": sched.Suspend, "resume": sched.Resume, "retry": sched.Retry}
	verb, ok := verbs[op.Verb]
	if !ok {
		return 0, fmt.Errorf("verb %q: %w: it is suspend, resume or retry", op.Verb, admin.ErrRefused)
	}
	if op.Domain != "" {
		d, err := routingName(op.Domain)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", admin.ErrRefused, err)
		}
		op.Domain = d
	}
	if op.Binding != "" {
		// A name that is no binding's, a queue with its tenant for one, would match nothing for ever.
		if _, err := b.Binding(op.Binding); err != nil {
			return 0, fmt.Errorf("%w; a verb takes a domain, a binding or both, and holds for all tenants", err)
		}
	}
	if op.By == "" {
		op.By = "an operator"
	}
	b.driver.Step(sched.Operator{Verb: verb, Binding: op.Binding, Domain: op.Domain, By: op.By})
	b.log.Info("operator", "verb", op.Verb, "domain", op.Domain, "binding", op.Binding, "by", op.By)
	return b.matching(op), nil
}

// matching counts the queues that an operation names.
func (b backend) matching(op admin.Operation) int {
	n := 0
	for cursor := ""; ; {
		var rows []sched.QueueView
		rows, cursor = b.Queues(cursor, 1000)
		for i := range rows {
			if (op.Domain == "" || rows[i].Domain == op.Domain || rows[i].Routing == op.Domain) && (op.Binding == "" || rows[i].Binding == op.Binding) {
				n++
			}
		}
		if cursor == "" {
			return n
		}
	}
}

func (b backend) Eval(words []string) (admin.Answer, error) {
	snap := b.policies.snapshot()
	q, err := snap.ParseQuestion(words)
	if err != nil {
		return admin.Answer{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	a := snap.Eval(q)
	return admin.Answer{AnswerView: a.View(), Text: a.String() + "\n" + a.Why()}, nil
}

func (b backend) Reload() (admin.Reloaded, error) {
	warnings, err := b.Server.Reload()
	if err != nil {
		return admin.Reloaded{}, err
	}
	return admin.Reloaded{Generation: b.policies.snapshot().Generation, Warnings: warnings}, nil
}

// list is never nil: JSON has [] for an empty list, not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
