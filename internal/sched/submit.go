package sched

import (
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// delayAfter is the age of a message at whose first deferral its delay is reported,
// where the sender's configuration wants that (generate_delay_dsn), once.
const delayAfter = int64(4 * time.Hour)

func (m *Machine) submit(ev *Submitted) {
	received := min(ev.Received, m.now)
	if ev.Recovered {
		m.recovered = m.now
	}
	h := m.messages.alloc()
	*m.messages.at(h) = message{
		id: ev.Message, received: received, job: m.joinJob(ev.Job), priority: ev.Priority,
		// Whether it was reported before a restart is not kept: rather not twice.
		delayed: ev.Recovered && m.now-max(received, ev.Release) >= delayAfter,
	}
	m.agree(h, ev)
	m.lineUp(h)
	total := 0
	for i := range ev.Parts {
		total += len(ev.Parts[i].Recipients)
	}
	m.messages.at(h).open = int32(total)
	tenant := m.tenant(ev.Tenant)
	for i := range ev.Parts {
		sp := &ev.Parts[i]
		if len(sp.Recipients) == 0 {
			continue
		}
		if !ev.Recovered {
			m.recordReceived(ev, sp)
		}
		if sp.Refused != nil {
			m.refuse(h, tenant, sp)
			continue
		}
		m.submitPart(h, tenant, sp, ev)
	}
	if total == 0 { // every recipient had its outcome before the crash: S3, finish last
		m.push(result{after: m.account, id: ev.Message, kind: resultFinish})
		m.freeMessage(h)
	}
}

func (m *Machine) recordReceived(ev *Submitted, sp *SubmittedPart) {
	out := make([]mail.Outcome, len(sp.Recipients))
	for i, r := range sp.Recipients {
		out[i].Recipient = r
	}
	m.record(Account{
		Kind: RecordReceived, Message: ev.Message, Envelope: ev.Envelope,
		Binding: sp.Binding, Domain: sp.Domain, Outcomes: out,
	})
}

func (m *Machine) submitPart(msg uint32, tenant int32, sp *SubmittedPart, ev *Submitted) {
	recovered := ev.Recovered
	lh := m.laneFor(sp.Binding, sp.Domain, sp.Policy, sp.Generation)
	l := m.lanes.at(lh)
	qh := m.queueFor(lh, tenant)
	due := sp.Due
	if recovered {
		due = min(due, m.now+int64(l.policy.Retry.Max))
	}
	due = max(due, ev.Release)
	late := ev.Deadline == 0 || !ev.Notify || recovered && m.now >= ev.Deadline
	batch := max(l.policy.MaxRecipientsPerBatch, 1)
	for rest := sp.Recipients; len(rest) > 0; {
		n := min(batch, len(rest))
		h := m.newPart(part{
			msg: msg, queue: qh, due: due, attempts: uint16(min(max(sp.Attempts, 0), 1<<16-2)),
			owed: recovered, grouped: sp.Group != "", rebound: recovered, late: late,
		})
		m.setRecipients(m.parts.at(h), rest[:n])
		m.enter(h, false)
		rest = rest[n:]
	}
}
