package server

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Each look under the lock is short (D1): lists are gathered page by page.
const (
	explainPage   = 16    // queues explained in one look
	explainQueues = 100   // queues in one explanation
	gatherQueues  = 10000 // queues of a domain from which those that have waited longest are picked
	firstWaiters  = 20
	topHolders    = 20
)

// Explain answers for whatever the subject names.
func (b backend) Explain(subject string) (sched.Explained, error) {
	x, err := b.explain(subject)
	if err != nil {
		return sched.Explained{}, err
	}
	x.Subject = subject
	if len(x.Queues) > 0 {
		x.Explanation = x.Queues[0]
	}
	b.complete(&x.Explanation)
	x.Queues = list(x.Queues)
	return x, nil
}

func (b backend) explain(subject string) (sched.Explained, error) {
	if id, err := mail.ParseID(subject); err == nil {
		return b.explainMessage(id)
	}
	kind, name, chosen := strings.Cut(subject, ":")
	switch {
	case chosen && kind == "binding":
		return b.explainBinding(name)
	case chosen && kind == "host":
		return b.explainHost(name)
	case chosen && kind == "domain":
		return b.explainDomain(name)
	case strings.Contains(subject, " "):
		return b.explainCounter(subject)
	case strings.Contains(subject, "/"):
		return b.explainQueue(subject)
	}
	for _, try := range []func(string) (sched.Explained, error){b.explainDomain, b.explainBinding, b.explainHost} {
		if x, err := try(subject); err == nil {
			return x, nil
		}
	}
	return sched.Explained{}, fmt.Errorf("%q: %w: no queue holds mail for a domain of that name, and no binding or host is called so; `sluice queue list` shows the queues there are", subject, admin.ErrNotFound)
}

func (b backend) explainQueue(name string) (sched.Explained, error) {
	d, rest, _ := strings.Cut(name, "/")
	domain, err := routingName(d)
	if err != nil {
		return sched.Explained{}, fmt.Errorf("%w: %w; give a queue (domain/binding), a domain, a binding, a host, a message id, or a counter as it is printed (\"OPTION KEY\")", admin.ErrRefused, err)
	}
	x := sched.Explained{Kind: "queue", Queues: b.explainAll([]string{domain + "/" + rest})}
	if len(x.Queues) == 0 {
		return x, fmt.Errorf("%q: %w: no queue of that name holds mail or connections; `sluice queue list` shows those that do", name, admin.ErrNotFound)
	}
	return x, nil
}

// explainAll explains the queues that are still there.
func (b backend) explainAll(names []string) []sched.Explanation {
	out := make([]sched.Explanation, 0, len(names))
	for page := range slices.Chunk(names, explainPage) {
		b.driver.View(func(m *sched.Machine, now int64) {
			for _, name := range page {
				if e, ok := m.Explain(now, name); ok {
					out = append(out, e)
				}
			}
		})
	}
	for i := range out {
		b.complete(&out[i])
	}
	return out
}

// complete turns the machine's times into RFC 3339, and absent lists into empty ones.
func (b backend) complete(e *sched.Explanation) {
	clock := b.driver.Clock()
	b.stamp(e.WaitingOn)
	b.stampAll(e.Path)
	e.Next, e.Since = clock.Time(e.NextAt), clock.Time(e.SinceAt)
	b.stampEstimate(e.Estimate)
	b.habits(e.Hosts)
	e.Path, e.Hosts, e.Causes = list(e.Path), list(e.Hosts), list(e.Causes)
	b.classify(e)
	if e.Waited == nil {
		e.Waited = map[string]float64{}
	}
}

// stamp turns the machine's times into RFC 3339.
func (b backend) stamp(c *sched.CounterView) {
	if c != nil {
		c.Since, c.NextToken = b.driver.Clock().Time(c.SinceAt), b.driver.Clock().Time(c.NextTokenAt)
	}
}

func (b backend) stampAll(path []sched.CounterView) {
	for i := range path {
		b.stamp(&path[i])
	}
}

func (b backend) stampEstimate(e *sched.Estimate) {
	if e != nil {
		e.At = b.driver.Clock().Time(e.AtTime)
	}
}

// explainDomain explains the queues of a domain that have waited longest.
func (b backend) explainDomain(name string) (sched.Explained, error) {
	domain, err := routingName(name)
	if err != nil {
		return sched.Explained{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	d, more, ok := b.domainQueues(domain, gatherQueues)
	if !ok {
		return sched.Explained{}, fmt.Errorf("%q: %w: no queue holds mail for that domain", name, admin.ErrNotFound)
	}
	slices.SortFunc(d.Queues, func(a, b sched.QueueView) int {
		return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(b.Oldest, a.Oldest), cmp.Compare(a.Queue, b.Queue))
	})
	var names []string
	for i := range min(len(d.Queues), explainQueues) {
		names = append(names, d.Queues[i].Queue)
	}
	x := sched.Explained{Kind: "domain", Queues: b.explainAll(names)}
	x.More = len(d.Queues) - len(names)
	if more {
		x.More = max(x.More, 1)
	}
	return x, nil
}

// domainQueues gathers a domain's queues, n at most; more says that there are others.
func (b backend) domainQueues(domain string, n int) (out sched.DomainView, more, ok bool) {
	for cursor := ""; ; {
		var page sched.DomainView
		var found bool
		b.driver.View(func(m *sched.Machine, now int64) { page, cursor, found = m.Domain(now, domain, cursor, n) })
		if !found {
			return out, false, ok
		}
		ok = true
		out.Domain, out.Conns = page.Domain, page.Conns
		out.Queues = append(out.Queues, page.Queues...)
		for _, h := range page.Hosts {
			if len(out.Hosts) < 1000 && !slices.ContainsFunc(out.Hosts, func(x sched.HostView) bool { return x.Host == h.Host && x.State == h.State }) {
				out.Hosts = append(out.Hosts, h)
			}
		}
		if cursor == "" || len(out.Queues) >= n {
			return out, cursor != "", true
		}
	}
}

func (b backend) explainBinding(name string) (sched.Explained, error) {
	v, err := b.Binding(name)
	if err != nil {
		return sched.Explained{}, err
	}
	x := sched.BindingExplanation{BindingView: v, State: "no mail has gone through it yet"}
	b.driver.View(func(m *sched.Machine, now int64) {
		if e, ok := m.ExplainBinding(now, name); ok {
			x = e
		}
	})
	x.Domains, x.More = v.Domains, v.More
	var waits sched.Waits
	for cursor := ""; ; {
		b.driver.View(func(m *sched.Machine, now int64) { cursor = m.BindingWaits(now, name, cursor, &waits, explainPage) })
		if cursor == "" {
			break
		}
	}
	waiting := 0
	for _, c := range waits.Causes {
		waiting += c.Queues
		x.Waiting = append(x.Waiting, c)
	}
	slices.SortFunc(x.Waiting, func(a, b sched.CauseTotal) int {
		return cmp.Or(cmp.Compare(b.Queues, a.Queues), cmp.Compare(a.Cause, b.Cause))
	})
	var names []string
	for _, w := range waits.Longest {
		names = append(names, w.Queue)
	}
	b.stampAll(x.Path)
	x.Path, x.Waiting = list(x.Path), list(x.Waiting)
	out := sched.Explained{Kind: "binding", Binding: &x, Queues: b.explainAll(names)}
	out.More = max(waiting-len(out.Queues), 0)
	return out, nil
}

func (b backend) explainHost(name string) (sched.Explained, error) {
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	x := sched.Explained{Kind: "host"}
	for cursor := ""; ; {
		var rows []sched.HostExplanation
		b.driver.View(func(m *sched.Machine, now int64) { rows, cursor = m.ExplainHost(now, host, cursor, explainPage) })
		x.Hosts = append(x.Hosts, rows...)
		if cursor == "" {
			break
		}
	}
	var names []string
	for i := range x.Hosts {
		h := &x.Hosts[i]
		b.stampAll(h.Path)
		if room := explainPage - len(names); room > 0 {
			names = append(names, h.Waiting[:min(room, len(h.Waiting))]...)
		}
		x.More += len(h.Waiting) + h.More
		for k := range h.Addresses {
			h.Addresses[k].Broken = b.habit(h.Host, h.Addresses[k].Address)
		}
		h.Addresses, h.Path, h.Waiting = list(h.Addresses), list(h.Path), list(h.Waiting)
	}
	if len(x.Hosts) == 0 {
		return x, fmt.Errorf("%q: %w: no mail goes to a host of that name now", name, admin.ErrNotFound)
	}
	x.Queues = b.explainAll(names)
	x.More = max(x.More-len(x.Queues), 0)
	return x, nil
}

func (b backend) explainCounter(name string) (sched.Explained, error) {
	var x sched.CounterExplanation
	var ok bool
	b.driver.View(func(m *sched.Machine, now int64) { x, ok = m.ExplainCounter(now, name, firstWaiters) })
	if !ok {
		return sched.Explained{}, fmt.Errorf("%q: %w: no connection, mail or route is on a counter of that name now; `sluice explain QUEUE` prints those of a queue", name, admin.ErrNotFound)
	}
	sums := map[string]int{}
	for cursor := ""; ; {
		b.driver.View(func(m *sched.Machine, _ int64) { cursor = m.Holders(name, cursor, sums) })
		if cursor == "" {
			break
		}
	}
	holders := make([]sched.Holder, 0, len(sums))
	for _, q := range slices.Sorted(maps.Keys(sums)) {
		holders = append(holders, sched.Holder{Queue: q, Conns: sums[q]})
	}
	slices.SortStableFunc(holders, func(a, b sched.Holder) int { return cmp.Compare(b.Conns, a.Conns) })
	x.Holders = holders[:min(len(holders), topHolders)]
	x.Others = len(holders) - len(x.Holders)
	b.stamp(&x.CounterView)
	b.stampEstimate(x.Drain)
	x.First = list(x.First)
	return sched.Explained{Kind: "counter", Counter: &x}, nil
}

// explainMessage tells where the parts of a message are, and explains their queues.
func (b backend) explainMessage(id mail.ID) (sched.Explained, error) {
	if _, err := b.spool.Envelope(id); err != nil {
		return sched.Explained{}, b.noMessage(id.String(), err)
	}
	var handle uint32
	for cursor := ""; ; {
		b.driver.View(func(m *sched.Machine, _ int64) { handle, cursor = m.FindMessage(id, cursor) })
		if cursor == "" {
			break
		}
	}
	x := sched.MessageExplanation{ID: id.String()}
	for cursor := ""; handle != 0; {
		b.driver.View(func(m *sched.Machine, _ int64) { cursor = m.MessageParts(id, handle, cursor, &x) })
		if cursor == "" {
			break
		}
	}
	var names []string
	for i := range x.Parts {
		x.Parts[i].Next = b.driver.Clock().Time(x.Parts[i].NextAt)
		if q := x.Parts[i].Queue; len(names) < explainQueues && !slices.Contains(names, q) {
			names = append(names, q)
		}
	}
	x.Parts = list(x.Parts)
	return sched.Explained{Kind: "message", Message: &x, Queues: b.explainAll(names)}, nil
}
