package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// Queues gathers a page in several looks, each of them short.
func (b backend) Queues(cursor string, n int) (rows []sched.QueueView, next string) {
	next = cursor
	for {
		var page []sched.QueueView
		b.driver.View(func(m *sched.Machine, now int64) { page, next = m.Queues(now, next, n-len(rows)) })
		rows = append(rows, page...)
		if next == "" || len(rows) >= n {
			break
		}
	}
	b.stampQueues(rows)
	return rows, next
}

// TopQueues are the n queues with most of what order says; empty names nothing that can be
// ordered by.
func (b backend) TopQueues(order string, n int) ([]sched.QueueView, error) {
	top, err := sched.NewTop(order, n)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	for cursor := ""; ; {
		b.driver.View(func(m *sched.Machine, now int64) { cursor = m.Rank(now, cursor, top) })
		if cursor == "" {
			break
		}
	}
	var rows []sched.QueueView
	for done := false; !done; {
		b.driver.View(func(m *sched.Machine, now int64) { rows, done = m.Ranked(now, top, rows) })
	}
	b.stampQueues(rows)
	return rows, nil
}

func (b backend) stampQueues(rows []sched.QueueView) {
	for i := range rows {
		b.stamp(rows[i].WaitingOn)
	}
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
	if !ok {
		known := b.policies.snapshot().Bindings[name]
		if known == nil {
			return v, fmt.Errorf("binding %q: %w: `sluice binding list` shows those there are", name, admin.ErrNotFound)
		}
		return sched.BindingView{Binding: name, Group: known.Group, Limit: -1, Domains: []sched.BindingUsage{}}, nil
	}
	v.Domains, v.More = b.bindingDomains(name, bindingRows)
	return v, nil
}

// bindingRows is how many domains of a binding are shown.
const bindingRows = 1000

// bindingDomains are the n domains with most connections from the binding; more is how many
// others there are.
func (b backend) bindingDomains(name string, n int) (rows []sched.BindingUsage, more int) {
	rank := func(a, b sched.BindingUsage) int {
		return cmp.Or(b.Conns-a.Conns, cmp.Compare(a.Domain, b.Domain))
	}
	all := 0
	for cursor := ""; ; {
		var page []sched.BindingUsage
		b.driver.View(func(m *sched.Machine, _ int64) { page, cursor = m.BindingDomains(name, cursor, bindingRows) })
		all += len(page)
		rows = append(rows, page...)
		if len(rows) >= 8*n || cursor == "" {
			slices.SortFunc(rows, rank)
			rows = slices.Clip(rows[:min(len(rows), n)])
		}
		if cursor == "" {
			return list(rows), all - len(rows)
		}
	}
}

// domainRows is how many queues of a domain are shown.
const domainRows = 1000

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
	d, more, _ := b.domainQueues(domain, domainRows)
	out.Queues, out.Hosts, out.Conns, out.More = list(d.Queues), list(d.Hosts), d.Conns, more
	slices.SortFunc(out.Queues, func(a, b sched.QueueView) int { return cmp.Compare(a.Queue, b.Queue) })
	b.stampQueues(out.Queues)
	b.habits(out.Hosts)
	return out, nil
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
