package sched

import "github.com/sluice-mta/sluice/internal/mail"

type resultKind uint8

const (
	resultPersist resultKind = iota
	resultBounce
	resultDelay
	resultRelayed
	resultFinish
)

// result is a change to the spool that waits until the accounting records about it
// are written (S2).
type result struct {
	after    uint64 // this accounting record must be written
	conn     ConnID // the connection that waits for it to be stored (S6); 0: none
	id       mail.ID
	states   []mail.RecipientState
	outcomes []mail.Outcome
	attempt  *mail.Attempt
	binding  string
	domain   string
	kind     resultKind
	expired  bool
	last     bool
}

// stored is a change that has gone to the spool.
type stored struct {
	seq  uint64
	conn ConnID
}

// record emits an accounting record.
func (m *Machine) record(a Account) uint64 {
	m.account++
	a.Seq = m.account
	m.emit(a)
	return a.Seq
}

func (m *Machine) push(r result) {
	m.results.push(r)
	m.backpressure()
}

// nextResult sends the oldest result to the spool if its records are written.
func (m *Machine) nextResult() bool {
	if m.results.len() == 0 || m.results.front().after > m.recorded {
		return false
	}
	r, _ := m.results.pop()
	m.change++
	switch r.kind {
	case resultPersist:
		m.emit(Persist{Seq: m.change, Message: r.id, States: r.states})
	case resultFinish:
		m.emit(Finish{Seq: m.change, Message: r.id})
	case resultBounce, resultDelay, resultRelayed:
		m.emit(Bounce{
			Seq: m.change, Message: r.id, Outcomes: r.outcomes, States: r.states, Attempt: r.attempt,
			Binding: r.binding, Domain: r.domain, Delay: r.kind == resultDelay, Relayed: r.kind == resultRelayed, Expired: r.expired, Last: r.last,
		})
	}
	m.unstored.push(stored{m.change, r.conn})
	return true
}

// nextStored takes note of the oldest change that the spool has written.
func (m *Machine) nextStored() bool {
	if m.unstored.len() == 0 || m.unstored.front().seq > m.saved {
		return false
	}
	s, _ := m.unstored.pop()
	if h, c, ok := m.connOf(s.conn); ok {
		c.unstored--
		m.settle(h)
	}
	m.backpressure()
	return true
}

// health notes whether the spool can write (S7).
func (m *Machine) health(ok bool) {
	if m.sick == !ok {
		return
	}
	m.sick = !ok
	if ok {
		m.emit(Log{Level: Info, Subject: "spool", Text: "outcomes are written again; deliveries go on"})
	} else {
		m.emit(Log{Level: Warn, Subject: "spool", Text: "outcomes cannot be written; no further message is handed out until they can"})
	}
	m.backpressure()
}

// backpressure holds hand-outs back while outcomes cannot be written or pile up, and
// has every queue looked at when that is over.
func (m *Machine) backpressure() {
	n := m.results.len() + m.unstored.len()
	hold := m.sick || n >= maxBacklog || m.held && n > maxBacklog/2
	if m.held != hold { // what they wait for is another thing now, too
		m.eachQueue(func(h uint32, _ *queue) { m.touch(h) })
	}
	m.held = hold
}
