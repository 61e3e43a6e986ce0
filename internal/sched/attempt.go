package sched

import (
	"fmt"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// localRetry is how long a part waits after trouble of our own that is its own, not a
// connection's: its content could not be read, an extension it needs was missing.
const localRetry = int64(5 * time.Minute)

// attempted takes in the outcome of a transaction.
func (m *Machine) attempted(ev *Attempted) {
	ch, c, ok := m.connOf(ev.Conn)
	h, p, live := m.partOf(ev.Part)
	if !ok || !live || p.conn != ch {
		return
	}
	m.takeBack(ch, h)
	if c.fruitful {
		m.hostTakes(c.host, m.now-c.began)
	} else {
		c.began = c.started // the first one pays for the opening
	}
	m.paced(m.lanes.at(c.lane), m.now-c.began)
	c.began = m.now
	c.served++
	c.recipients += int32(m.size(p))
	c.fruitful = true
	qh := p.queue
	if m.conclude(h, complete(m.recipients(p), ev.Outcomes), ev.Attempt, ev.Conn) {
		c.delivered++
		m.hostAnswers(c)
	}
	m.settle(ch)
	m.touch(qh)
}

// complete returns an outcome for every recipient and for nobody else. Whoever was
// forgotten counts as deferred: a recipient without an outcome would be lost.
func complete(rcpt []int, out []mail.Outcome) []mail.Outcome {
	same := len(rcpt) == len(out)
	for i := 0; same && i < len(out); i++ {
		same = out[i].Recipient == rcpt[i]
	}
	if same {
		return out
	}
	by := make(map[int]mail.Outcome, len(out))
	for _, o := range out {
		by[o.Recipient] = o
	}
	all := make([]mail.Outcome, len(rcpt))
	for i, r := range rcpt {
		o, ok := by[r]
		if !ok {
			o = mail.Outcome{Class: mail.ClassDeferred, Reply: mail.Reply{Text: "no outcome was reported"}}
		}
		o.Recipient = r
		all[i] = o
	}
	return all
}

// verdicts is a transaction's outcomes by class. With one class only, its slice is the
// event's own.
type verdicts struct {
	delivered, deferred, refused, again, local []mail.Outcome
}

func sortOutcomes(out []mail.Outcome) (v verdicts) {
	for i := 0; i < len(out); {
		j := i + 1
		for j < len(out) && out[j].Class == out[i].Class {
			j++
		}
		var to *[]mail.Outcome
		switch out[i].Class {
		case mail.ClassDelivered:
			to = &v.delivered
		case mail.ClassRefused:
			to = &v.refused
		case mail.ClassTooMany:
			to = &v.again
		case mail.ClassLocal:
			to = &v.local
		default:
			to = &v.deferred
		}
		if *to == nil {
			*to = out[i:j:j]
		} else {
			*to = append(*to, out[i:j]...)
		}
		i = j
	}
	// "Too many" without anybody accepted is no progress: going at once again might
	// never end.
	if len(v.again) > 0 && len(v.delivered)+len(v.deferred)+len(v.refused) == 0 {
		v.deferred, v.again = v.again, nil
	}
	return v
}

// conclude draws the consequences of an attempt of a part that is in no list: records,
// spool changes, and what is left of the part back to its queue. conn is the
// connection that waits for the change to be stored, 0 if there was none. It reports
// whether a recipient was delivered to.
func (m *Machine) conclude(h uint32, outcomes []mail.Outcome, att *mail.Attempt, conn ConnID) bool {
	p := m.parts.at(h)
	msg := m.messages.at(p.msg)
	q := m.queues.at(p.queue)
	l := m.lanes.at(q.lane)
	v := sortOutcomes(outcomes)
	r := result{id: msg.id, conn: conn, attempt: att}
	r.binding, r.domain = m.laneNames(l)
	tried := int(p.attempts) + 1
	rec := Account{Message: msg.id, Binding: r.binding, Domain: m.routingOf(l), Attempts: tried, Attempt: att}
	for _, x := range [...]struct {
		kind RecordKind
		out  []mail.Outcome
	}{{RecordDelivered, v.delivered}, {RecordDeferred, v.deferred}, {RecordBounced, v.refused}} {
		if len(x.out) > 0 {
			rec.Kind, rec.Outcomes = x.kind, x.out
			m.record(rec)
			if x.kind != RecordDelivered {
				q.remember(x.out[0].Reply)
			}
		}
	}
	if len(v.delivered)+len(v.deferred)+len(v.refused) > 0 {
		p.owed = false
	}
	again := m.now + m.jitter(int64(l.policy.Retry.After(tried)))
	if len(v.deferred) > 0 && (m.now >= m.expiry(p) || l.policy.MaxRetries >= 0 && tried > l.policy.MaxRetries) {
		rec.Kind, rec.Outcomes = RecordBounced, v.deferred
		m.record(rec)
		v.refused = append(v.refused[:len(v.refused):len(v.refused)], v.deferred...)
		v.deferred, r.expired = nil, true
	}
	r.after = m.account
	final := len(v.delivered) + len(v.refused)
	msg.open -= int32(final)
	r.last = msg.open == 0
	bounce := len(v.refused) > 0 && l.policy.GenerateBounces
	delay := len(v.deferred) > 0 && l.policy.GenerateDelayDSN && !msg.delayed && m.now-max(msg.received, m.terms[p.msg].release) >= delayAfter
	if !r.last {
		r.states = m.states(p, &v, tried, again)
	}
	m.pushResults(r, &v, reports{bounce: bounce, delay: delay, relayed: len(v.delivered) > 0 && m.terms[p.msg].traced})
	if delay {
		msg.delayed = true
	}
	if r.last {
		m.freeMessage(p.msg)
	}
	m.distribute(h, &v, tried, again)
	return len(v.delivered) > 0
}

// reports says which reports an attempt gives cause for.
type reports struct{ bounce, delay, relayed bool }

// pushResults emits what one attempt changes in the spool: a connection waits for the
// last of it. A report and the outcomes that it tells of are one change; of two reports the
// later one.
func (m *Machine) pushResults(r result, v *verdicts, of reports) {
	waits := r.conn
	r.conn = 0
	n := 0
	add := func(kind resultKind) {
		r.kind = kind
		m.push(r)
		n++
		r.states = nil
	}
	if of.relayed && of.bounce {
		states, last := r.states, r.last
		r.outcomes, r.states, r.last = v.delivered, nil, false
		add(resultRelayed)
		r.states, r.last = states, last
	}
	switch {
	case of.bounce:
		r.outcomes = v.refused
		add(resultBounce)
	case of.relayed:
		r.outcomes = v.delivered
		add(resultRelayed)
	case r.last:
		add(resultFinish)
	case !of.delay && len(r.states) > 0:
		add(resultPersist)
	}
	if of.delay {
		r.outcomes, r.expired, r.last = v.deferred, false, false
		add(resultDelay)
	}
	if n == 0 || waits == 0 {
		return
	}
	m.results.back().conn = waits
	if _, c, ok := m.connOf(waits); ok {
		c.unstored++
	}
}

// states is what the spool is to keep about the recipients of an attempt.
func (m *Machine) states(p *part, v *verdicts, tried int, again int64) []mail.RecipientState {
	s := make([]mail.RecipientState, 0, len(v.delivered)+len(v.refused)+len(v.deferred))
	for _, o := range v.delivered {
		s = append(s, mail.RecipientState{Index: o.Recipient, Status: mail.Delivered, Attempts: tried, Last: o.Reply})
	}
	for _, o := range v.refused {
		s = append(s, mail.RecipientState{Index: o.Recipient, Status: mail.Failed, Attempts: tried, Last: o.Reply})
	}
	for _, o := range v.deferred {
		s = append(s, mail.RecipientState{Index: o.Recipient, Attempts: tried, Next: again, Last: o.Reply})
	}
	if p.rebound {
		l := m.lanes.at(m.queues.at(p.queue).lane)
		name, _ := m.laneNames(l)
		for i := range s {
			s[i].Binding, s[i].Group = name, p.group(l.policy)
		}
	}
	return s
}

// distribute sends what is left of the part on: who was deferred waits, who was one
// too many goes at once, who met trouble of our own waits a little.
func (m *Machine) distribute(h uint32, v *verdicts, tried int, again int64) {
	rest := *m.parts.at(h)
	used := false
	send := func(out []mail.Outcome, attempts int, due int64, front bool) {
		if len(out) == 0 {
			return
		}
		k := h
		if used {
			k = m.newPart(part{msg: rest.msg, queue: rest.queue, owed: rest.owed, grouped: rest.grouped, rebound: rest.rebound, late: rest.late})
		}
		used = true
		p := m.parts.at(k)
		idx := make([]int, len(out))
		for i := range out {
			idx[i] = out[i].Recipient
		}
		m.setRecipients(p, idx)
		p.attempts, p.due = uint16(min(attempts, 1<<16-2)), due
		m.enter(k, front)
	}
	send(v.deferred, tried, again, false)
	send(v.again, tried-1, m.now, true)
	send(v.local, tried-1, m.now+m.jitter(localRetry), false)
	if !used {
		m.freePart(h)
	}
}

// jitter spreads a delay by a tenth to either side.
func (m *Machine) jitter(d int64) int64 {
	if d < 10 {
		return d
	}
	return d - d/10 + m.rng.Int64N(d/5+1)
}

// fail concludes a part of which no connection came about: every recipient gets the
// same class and reply, and one attempt is counted.
func (m *Machine) fail(h uint32, class mail.Class, reply mail.Reply) {
	m.leave(h)
	rcpt := m.recipients(m.parts.at(h))
	out := make([]mail.Outcome, len(rcpt))
	for i, r := range rcpt {
		out[i] = mail.Outcome{Recipient: r, Class: class, Reply: reply}
	}
	m.conclude(h, out, nil, 0)
}

// expire ends a part, in no list, whose message is too old. It is no attempt.
func (m *Machine) expire(h uint32) {
	p := m.parts.at(h)
	if t := m.terms[p.msg]; t.deadline != 0 && !t.notify && m.now >= t.deadline {
		m.giveUp(h, mail.Reply{Enhanced: "5.4.7", Text: "not delivered within the time that the sender allowed"}, true)
		return
	}
	l := m.lanes.at(m.queues.at(p.queue).lane)
	m.giveUp(h, mail.Reply{Enhanced: "4.4.7", Text: fmt.Sprintf("message expired: not delivered within %v", l.policy.Expiration)}, true)
}

// giveUp ends a part, in no list, without an attempt.
func (m *Machine) giveUp(h uint32, reply mail.Reply, expired bool) {
	qh := m.parts.at(h).queue
	l := m.lanes.at(m.queues.at(qh).lane)
	m.endWithout(h, mail.ClassRefused, reply, expired, l.policy.GenerateBounces)
	m.touch(qh)
}

// endWithout ends a part, in no list, without an attempt.
func (m *Machine) endWithout(h uint32, class mail.Class, reply mail.Reply, expired, report bool) {
	p := m.parts.at(h)
	msg := m.messages.at(p.msg)
	l := m.lanes.at(m.queues.at(p.queue).lane)
	var v verdicts
	for _, r := range m.recipients(p) {
		v.refused = append(v.refused, mail.Outcome{Recipient: r, Class: class, Reply: reply})
	}
	r := result{id: msg.id, expired: expired}
	r.binding, r.domain = m.laneNames(l)
	r.after = m.record(Account{
		Kind: RecordBounced, Message: msg.id, Binding: r.binding, Domain: m.routingOf(l),
		Outcomes: v.refused, Attempts: int(p.attempts),
	})
	msg.open -= int32(len(v.refused))
	if r.last = msg.open == 0; !r.last {
		r.states = m.states(p, &v, int(p.attempts), 0)
	}
	m.pushResults(r, &v, reports{bounce: report})
	if r.last {
		m.freeMessage(p.msg)
	}
	m.freePart(h)
}
