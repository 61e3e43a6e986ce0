package sim

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// rule is a limit as a scenario states it: an option for a target.
type rule struct {
	option  string
	target  string // "*", a domain, "host:NAME", "binding:NAME", "group:NAME", "group:NAME/DOMAIN"
	max     int
	reserve int
	line    int
}

// rules is the configuration of a world.
type rules struct {
	limits  []rule
	rates   []rateRule
	tenants map[string]int
	files   int // open-file limit on connections; 0: none
	tune    func(*policy.Queue)
	off     map[string]bool // suspended bindings and domains

	rollups  []policy.Rollup
	mxRollup map[string]string // by domain, or "*"

	queues map[string]*policy.Queue // made so far under this generation
	hosts  map[string]*policy.Host
}

func (r *rules) server() policy.Server {
	return policy.Server{MaxConnections: r.files, BoundBy: "open files"}
}

const (
	optMax    = "max_outbound_connections"
	optScope  = "scope_max_outbound_connections"
	optServer = "server_max_outbound_connections"
)

// by says what a rule counts together, and whether it holds for a connection's names.
func (x *rule) by(b *binding, domain, host string) (policy.By, bool) {
	switch {
	case x.target == "*":
		return map[string]policy.By{optMax: policy.ByBinding | policy.ByDomain}[x.option], true
	case x.target == "host:"+host && host != "":
		return map[string]policy.By{optMax: policy.ByBinding | policy.ByHost, optScope: policy.ByStanza}[x.option], true
	case x.target == "address:"+host && host != "":
		return policy.ByBinding | policy.ByAddress, true
	case x.target == "binding:"+b.name && domain != "":
		return policy.ByBinding, true
	case x.target == "group:"+b.group && b.group != "" && domain != "":
		return policy.ByGroup, true
	case x.target == "group:"+b.group+"/"+domain && b.group != "":
		return policy.ByGroup | policy.ByStanza, true
	case x.target == domain && domain != "":
		return map[string]policy.By{optMax: policy.ByBinding | policy.ByDomain, optScope: policy.ByStanza}[x.option], true
	}
	return 0, false
}

func (x *rule) limit(by policy.By) policy.Limit {
	return policy.Limit{
		Option: x.option, By: by, Max: x.max, Reserve: x.reserve,
		Origin: policy.Origin{Stanza: x.target, File: "scenario", Line: x.line},
	}
}

// find returns the limits for a connection, the winning value of each option and key:
// an exact domain beats "*".
func (r *rules) find(b *binding, domain, host string) []policy.Limit {
	var out []policy.Limit
	at := map[string]int{}
	for i := range r.limits {
		x := &r.limits[i]
		by, ok := x.by(b, domain, host)
		if !ok {
			continue
		}
		id := fmt.Sprintf("%s %d", x.option, by)
		if j, found := at[id]; found {
			if x.target != "*" || out[j].Origin.Stanza == "*" {
				out[j] = x.limit(by)
			}
			continue
		}
		at[id] = len(out)
		out = append(out, x.limit(by))
	}
	kept := out[:0]
	for _, x := range out {
		if x.Max >= 0 {
			kept = append(kept, x)
		}
	}
	return kept
}

// queue is the policy of a binding and domain, under a rollup if that is not empty.
func (r *rules) queue(b *binding, domain, rollup string) *policy.Queue {
	if r.queues == nil {
		r.queues = map[string]*policy.Queue{}
	}
	id := b.name + "/" + domain + "/" + rollup
	if q := r.queues[id]; q != nil {
		return q
	}
	q := &policy.Queue{
		Group: b.group, Rollup: r.setting(domain), Limits: sorted(r.find(b, cmp.Or(rollup, domain), "")), Throttles: r.throttles(domainTargets(b, cmp.Or(rollup, domain))...), Ramp: 0.30,
		Retry:      policy.RetrySchedule{Steps: []time.Duration{20 * time.Minute}, Doubling: true, Max: 12 * time.Hour},
		Expiration: 5 * 24 * time.Hour, MaxRetries: -1,
		MaxRecipientsPerBatch: 100, IdleTimeout: 5 * time.Second, MaxMXHosts: 5, MaxAddressesPerHost: 2,
		HostFailureRetry: 2 * time.Minute, MXFailuresToDelay: 50, ConnectTimeoutToDelay: 15 * time.Minute, GenerateBounces: true,
		Suspended: r.off["binding:"+b.name] || r.off[domain],
	}
	if rollup != "" {
		q.Under = r.under(q.Rollup)
	}
	if r.tune != nil {
		r.tune(q)
	}
	r.queues[id] = q
	return q
}

// sorted puts the most specific limits first.
func sorted(in []policy.Limit) []policy.Limit {
	var out []policy.Limit
	for want := 8; want >= 0; want-- {
		for _, x := range in {
			n := 0
			for b := x.By; b != 0; b &= b - 1 {
				n++
			}
			if n == want {
				out = append(out, x)
			}
		}
	}
	return out
}

func (r *rules) host(b *binding, x *Receiver) *policy.Host {
	if r.hosts == nil {
		r.hosts = map[string]*policy.Host{}
	}
	id := b.name + "/" + x.Host
	if h := r.hosts[id]; h != nil {
		return h
	}
	h := &policy.Host{Addresses: map[netip.Addr][]policy.Limit{}, Throttles: r.throttles("host:" + x.Host)}
	if at := r.throttles("address:" + x.Host); at != nil {
		h.AddressThrottles = map[netip.Addr][]policy.Throttle{}
		for _, a := range x.Addresses {
			h.AddressThrottles[a] = at
		}
	}
	for _, l := range r.find(b, "", x.Host) {
		if l.Origin.Stanza == "*" {
			continue
		}
		if l.By&policy.ByAddress != 0 {
			for _, a := range x.Addresses {
				h.Addresses[a] = append(h.Addresses[a], l)
			}
			continue
		}
		h.Limits = append(h.Limits, l)
	}
	r.hosts[id] = h
	return h
}

// ceilings lists what a connection is on, by names alone.
func (r *rules) ceilings(b *binding, c whose) []ceiling {
	all := r.find(b, c.domain, "")
	for _, l := range r.find(b, "", c.host) {
		if l.Origin.Stanza != "*" {
			all = append(all, l)
		}
	}
	var out []ceiling
	for _, l := range all {
		key := l.Option
		if l.By&policy.ByBinding != 0 {
			key += " binding=" + b.name
		}
		if l.By&policy.ByGroup != 0 {
			key += " group=" + b.group
		}
		if l.By&policy.ByDomain != 0 {
			key += " domain=" + c.domain
		}
		if l.By&policy.ByHost != 0 {
			key += " host=" + c.host
		}
		if l.By&policy.ByAddress != 0 {
			key += " address=" + c.addr.String()
		}
		if l.By&policy.ByStanza != 0 {
			key += " stanza=" + l.Origin.Stanza
		}
		out = append(out, ceiling{key, l.Max, l.Reserve})
	}
	if r.files > 0 {
		out = append(out, ceiling{"open files", r.files, 0})
	}
	return out
}

// Limit sets a limit, and reloads if the machine runs.
func (w *World) Limit(option, target string, most, reserve, line int) {
	for i := range w.rules.limits {
		if x := &w.rules.limits[i]; x.option == option && x.target == target {
			x.max, x.reserve, x.line = most, reserve, line
			w.Reload()
			return
		}
	}
	w.rules.limits = append(w.rules.limits, rule{option, target, most, reserve, line})
	w.Reload()
}

// Load is a message with recipients at one domain, as it is handed in.
type Load struct {
	Binding, Domain, Tenant, Job string
	Named                        bool // the client named the binding, which else comes by its group, if it has one
	Priority                     mail.Priority
	Recipients                   int
}

// Submit hands in a message without a job.
func (w *World) Submit(binding, domain, tenant string, rcpt int) {
	w.Hand(Load{Binding: binding, Domain: domain, Tenant: tenant, Recipients: rcpt})
}

// Hand hands in a message.
func (w *World) Hand(x Load) {
	w.messages++
	id := mail.NewID(int64(w.messages), [10]byte{1})
	group := w.bindingOf(x.Binding).group
	if x.Named {
		group = ""
	}
	idx := make([]int, x.Recipients)
	for i := range idx {
		idx[i] = i
	}
	part := sched.SubmittedPart{Binding: x.Binding, Domain: x.Domain, Group: group, Policy: w.queuePolicy(x.Binding, x.Domain, ""), Generation: w.generation, Recipients: idx, Due: w.now}
	w.books.accept(id, x.Job, x.Recipients)
	w.spool.live[id] = &kept{tenant: x.Tenant, job: x.Job, priority: x.Priority, received: w.now + w.wall, parts: []sched.SubmittedPart{part}, state: map[int]mail.RecipientState{}}
	w.step(sched.Submitted{Message: id, Envelope: &mail.Envelope{ID: id}, Tenant: x.Tenant, Job: x.Job, Priority: x.Priority, Received: w.now, Parts: []sched.SubmittedPart{part}})
}
