package sched

import "slices"

// What a receiver says that it takes at most on one connection (RFC 9422) is obeyed when
// parts are handed out: MAILMAX ends the connection, RCPTMAX cuts parts, RCPTDOMAINMAX
// keeps a connection from passing on to further domains.

// full reports whether the receiver takes no further transaction on the connection.
func (c *conn) full() bool { return c.most.Mail > 0 && int(c.mails) >= c.most.Mail }

// takesDomain reports whether the receiver takes mail for a domain on the connection.
func (c *conn) takesDomain(domain uint32) bool {
	return c.most.RcptDomain <= 0 || len(c.domains) < c.most.RcptDomain || slices.Contains(c.domains, domain)
}

// handed counts a part that goes out on the connection.
func (c *conn) handed(domain uint32) {
	c.mails++
	if c.most.RcptDomain > 0 && !slices.Contains(c.domains, domain) {
		c.domains = append(c.domains, domain)
	}
}

// trim makes the next ready part of a queue one that the connection can carry: of one with
// more recipients than the receiver takes at once, the others become a part behind it.
func (m *Machine) trim(c *conn, q *queue) {
	h := m.nextReady(q)
	most := c.most.Rcpt
	if most <= 0 || m.size(m.parts.at(h)) <= most {
		return
	}
	m.leave(h)
	all := slices.Clone(m.recipients(m.parts.at(h)))
	rest := *m.parts.at(h)
	m.setRecipients(m.parts.at(h), all[:most])
	k := m.newPart(part{
		msg: rest.msg, queue: rest.queue, due: rest.due, attempts: rest.attempts,
		owed: rest.owed, grouped: rest.grouped, rebound: rest.rebound, moves: rest.moves,
	})
	m.setRecipients(m.parts.at(k), all[most:])
	m.enter(k, true)
	m.enter(h, true)
}
