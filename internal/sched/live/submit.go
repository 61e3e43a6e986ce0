package live

import (
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Policies answers what holds for the mail of a binding to a domain, and the
// generation of the configuration that says so. Asked outside the lock.
type Policies func(binding, domain string) (*policy.Queue, uint64)

// Submit hands a message that the spool has durably to the machine. States holds what
// is known of its recipients from before a restart; nil for a new message.
func (d *Driver) Submit(env *mail.Envelope, states []mail.RecipientState, recovered bool, policies Policies) {
	for {
		ev := d.submitted(env, states, recovered, policies)
		if len(ev.Parts) == 0 && !recovered {
			return
		}
		if d.submit(ev) {
			return
		}
	}
}

// submit hands the message over. A reload may have come between the resolution and now: then
// it is done again with the new configuration.
func (d *Driver) submit(ev sched.Submitted) bool {
	defer d.unlock(UseStep, d.lock())
	if !current(ev.Parts, d.gen) {
		return false
	}
	d.step(ev)
	return true
}

func current(parts []sched.SubmittedPart, gen uint64) bool {
	for i := range parts {
		if parts[i].Generation < gen {
			return false
		}
	}
	return true
}

// submitted groups the recipients that are still to be delivered by binding, the
// group it came from, and domain; recipients of one pair stand side by side in the envelope unless they were
// rebound since.
func (d *Driver) submitted(env *mail.Envelope, states []mail.RecipientState, recovered bool, policies Policies) sched.Submitted {
	ev := sched.Submitted{
		Message: env.ID, Tenant: env.Tenant, Job: env.Job, Priority: env.Priority,
		Received: min(d.clock.ToBoot(env.Received), d.clock.Boot()), Recovered: recovered,
	}
	if !recovered {
		ev.Envelope = env
	}
	d.terms(&ev, env)
	type pair struct {
		binding, group, domain string
		suppressed             bool
	}
	var known map[int]*mail.RecipientState
	if len(states) > 0 {
		known = make(map[int]*mail.RecipientState, len(states))
		for i := range states {
			known[states[i].Index] = &states[i]
		}
	}
	at := map[pair]int{}
	var last pair
	for i := range env.Recipients {
		r := &env.Recipients[i]
		p := pair{r.Binding, r.Group, r.Domain, r.Suppressed}
		var attempts int
		var next int64
		if st := known[i]; st != nil {
			if st.Status != mail.Pending {
				continue
			}
			if st.Binding != "" {
				p.binding, p.group = st.Binding, st.Group
			}
			attempts, next = st.Attempts, d.clock.ToBoot(st.Next)
		}
		n := len(ev.Parts)
		if n == 0 || p != last {
			k, ok := at[p]
			if !ok {
				q, gen := policies(p.binding, p.domain)
				ev.Parts = append(ev.Parts, sched.SubmittedPart{
					Binding: p.binding, Group: p.group, Domain: p.domain, Policy: q, Generation: gen,
					Attempts: attempts, Due: next,
				})
				if p.suppressed {
					ev.Parts[n].Refused, ev.Parts[n].Report = &suppressed, q.ReportSuppressed
				}
				k = n
				at[p] = k
			}
			n, last = k, p
		} else {
			n = at[p]
		}
		ev.Traced = ev.Traced || r.Notify.WantsSuccess()
		part := &ev.Parts[n]
		part.Recipients = append(part.Recipients, i)
		part.Attempts = max(part.Attempts, attempts)
		part.Due = min(part.Due, next)
	}
	for i := range ev.Parts {
		p := &ev.Parts[i]
		p.Due = min(p.Due, d.latest(p))
	}
	return ev
}

// suppressed is what becomes of recipients that were on the suppression list.
var suppressed = mail.Reply{Enhanced: "5.7.1", Text: "the recipient is on the suppression list"}

// terms tells what a message asks of time and of reports.
func (d *Driver) terms(ev *sched.Submitted, env *mail.Envelope) {
	ev.Release = d.clock.ToBoot(env.Release)
	ev.Deadline, ev.Notify = d.clock.ToBoot(env.By.Deadline), env.By.Mode == mail.ByNotify
	ev.Traced = env.By.Trace
}

// latest is the longest that a recovered part may wait: its schedule from now on, with the
// tenth that jitter may add. The wall clock may have been set back while it was stored.
func (d *Driver) latest(p *sched.SubmittedPart) int64 {
	wait := p.Policy.Retry.After(p.Attempts)
	return d.clock.Boot() + int64(wait+wait/10)
}
