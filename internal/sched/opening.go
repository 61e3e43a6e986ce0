package sched

import "time"

// openingMost is how many connections of one binding may be on their way to one host,
// unanswered, or as many as sessions are open there if these are more: a host that bears
// them answers as many again. What holds up another binding's does not count. So a receiver
// is not buried under more calls than it takes in, which it would drop without a word, and
// what is allowed is reached all the same, by doubling.
const openingMost = 32

// openingSlow is how long a connection counts as on its way: a receiver that lets callers
// wait for its greeting, as some do on purpose, has taken the call by then.
const openingSlow = int64(time.Second)

// crowded reports whether further connections to the host wait for those that are being
// opened. To a host that has proven nothing there is one, which probes: a dead domain is
// not called by all its mail at once.
func (h *host) crowded() bool {
	if !h.proven {
		return h.calling > 0
	}
	return h.opening >= max(openingMost, h.open)
}

// proves: a session came about with the host, or it took mail. It is in order until an
// address of it fails.
func (m *Machine) proves(host uint32) {
	if x := m.hosts.at(host); !x.proven {
		x.proven = true
		m.wakeCrowd(host)
	}
}

// wakeCrowd looks at those who wait at a host, if there is room now.
func (m *Machine) wakeCrowd(host uint32) {
	if x := m.hosts.at(host); x.crowd.len() > 0 && !x.waking {
		x.waking = true
		m.roomy.push(host)
	}
}

// prober is the one of equal hosts that is being probed, 0 if none is: the others that
// have proven nothing either are left alone meanwhile.
func (m *Machine) prober(hosts []routeHost) uint32 {
	for i := range hosts {
		if x := m.hosts.at(hosts[i].host); !x.proven && x.calling > 0 {
			return hosts[i].host
		}
	}
	return 0
}

// crowdAt is the host at which mail for the host rh must wait until connections that are
// being opened are answered, 0 if it need not. probed is the prober of its equals.
func (m *Machine) crowdAt(rh *routeHost, probed uint32) uint32 {
	switch x := m.hosts.at(rh.host); {
	case x.crowded():
		return rh.host
	case !x.proven:
		return probed
	}
	return 0
}

// begins counts a connection as being opened, until answered.
func (m *Machine) begins(h uint32, c *conn) {
	x := m.hosts.at(c.host)
	c.calling, c.opening = true, true
	x.calling++
	x.opening++
	c.timer = m.wheel.set(m.now+openingSlow, timerConn, h)
}

// drags: a connection is not answered yet and counts no more as on its way.
func (m *Machine) drags(c *conn) {
	if c.opening {
		c.opening = false
		m.hosts.at(c.host).opening--
		m.wakeCrowd(c.host)
	}
}

// answered: the connection is open, or has failed.
func (m *Machine) answered(c *conn) {
	if !c.calling {
		return
	}
	m.wheel.cancel(&c.timer)
	m.drags(c)
	c.calling = false
	m.hosts.at(c.host).calling--
	m.wakeCrowd(c.host)
}

// waitCrowd lines the queue up at a crowded host.
func (m *Machine) waitCrowd(h, host uint32) {
	q := m.queues.at(h)
	if !q.gated {
		q.gated, q.before = true, uint8(causeOpening)
	}
	m.hosts.at(host).crowd.push(gatePlace{h, q.epoch})
}

// nextRoomy wakes one of those who wait at a host with room: those that need it no
// more, or are blocked elsewhere by now, leave it to the next.
func (m *Machine) nextRoomy() bool {
	if m.roomy.len() == 0 {
		return false
	}
	x := m.hosts.at(*m.roomy.front())
	if x.crowd.len() == 0 || x.crowded() {
		x.waking = false
		m.roomy.pop()
		return true
	}
	if q, _ := x.crowd.pop(); m.waitsHere(q) {
		m.unwait(q.queue)
		m.kick(q.queue, 0)
	}
	return true
}

// crowdedAt returns a host of the lane at which connections are being opened, or nil.
func (m *Machine) crowdedAt(l *lane) *host {
	for i := range l.route.hosts {
		if h := m.hosts.at(l.route.hosts[i].host); h.crowded() {
			return h
		}
	}
	return nil
}
