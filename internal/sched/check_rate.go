package sched

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/limit"
)

// lacksTokens recounts whether an open connection of the queue could take the next part
// but for a rate.
func (m *Machine) lacksTokens(q *queue, l *lane) bool {
	if q.ready.n == 0 || m.held || m.stopping || q.halted(l) || m.bindingOf(q).gone {
		return false
	}
	for ch := q.idle.head; ch != 0; ch = m.conns.at(ch).next {
		if _, ok := m.tokensFor(q, m.conns.at(ch)); !ok {
			return true
		}
	}
	return false
}

// tokensFor is what keeps the next part of the queue from a connection of it.
func (m *Machine) tokensFor(q *queue, c *conn) (limit.Blocker, bool) {
	return m.limits.Check(m.now, nil, m.messageTolls(c.fares, c.paid, m.nextSize(q)), limit.Turn{Tenant: q.tenant})
}

// dryBeside recounts whether an open connection lacks a token that is needed for an address
// too: it comes first.
func (m *Machine) dryBeside(q *queue, fares []fare) bool {
	for ch := q.idle.head; ch != 0; ch = m.conns.at(ch).next {
		if b, ok := m.tokensFor(q, m.conns.at(ch)); !ok && under(fares, b.Counter) {
			return true
		}
	}
	return false
}

// checkTokens: no ready part lies beside a connection that may take it, and a queue whose
// connections lack tokens stands in line for some.
func (m *Machine) checkTokens(h uint32, q *queue, l *lane) error {
	if q.ready.n == 0 || m.held || m.stopping || q.halted(l) || m.bindingOf(q).gone {
		return nil
	}
	for ch := q.idle.head; ch != 0 && q.idle.n <= mostDry; ch = m.conns.at(ch).next {
		b, ok := m.tokensFor(q, m.conns.at(ch))
		who, d := m.laneNames(l)
		if ok {
			return fmt.Errorf("queue %s/%s has %d ready parts, and connection %d, which is idle, may take one", d, who, q.ready.n, ch)
		}
		if !m.limits.Parked(limit.WaiterID(h)) {
			return fmt.Errorf("queue %s/%s needs a token of %s for its connection %d, and waits for nothing", d, who, m.label(b.Counter), ch)
		}
	}
	return nil
}

// checkPaid: only what has not begun to send holds the tokens of a first message.
func (m *Machine) checkPaid(h uint32, c *conn) error {
	if c.paid > 0 && (c.retiring || c.held > 0 || !c.metered()) {
		return fmt.Errorf("connection %d holds the tokens of %d recipients, though it retires (%v), sends (%d) or is under no rate", m.connID(h), c.paid, c.retiring, c.held)
	}
	return nil
}
