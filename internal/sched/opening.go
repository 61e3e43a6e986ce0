package sched

// openingMost is how many connections of one binding may be on their way to one host,
// unanswered. What holds up another binding's does not count. A receiver is not buried
// under more calls than it takes in, which it would drop without a word. Beside as many
// sessions, at most openingFew are opened at a time: when many queues come at once, those
// that are open go from queue to queue (migrate.go). And when each message takes longer
// for their number, more of them bring little: there is one more when each has had a turn.
const (
	openingMost = 32
	openingFew  = 4
)

// crowded reports whether further connections to the host wait for those that are being
// opened. To a host that has proven nothing there is one, which probes: a dead domain is
// not called by all its mail at once.
func (h *host) crowded() bool {
	if !h.proven {
		return h.opening > 0
	}
	switch {
	case h.open+h.opening < openingMost:
		return false
	case h.laden():
		return h.opening > 0 || h.carried < quantumParts*h.open
	}
	return h.opening >= openingFew
}

// laden reports whether all sessions are busy and a message takes half as long again as it
// does when they are few.
func (h *host) laden() bool { return h.idle.n == 0 && h.takes > h.light+h.light/2 }

// hostTakes has the mean time that a message takes at a host follow one more sample.
func (m *Machine) hostTakes(host uint32, ns int64) {
	x := m.hosts.at(host)
	if x.takes == 0 {
		x.takes = ns
	}
	x.carried++
	x.takes += (ns - x.takes) / openingMost
	switch {
	case x.light == 0 || x.takes < x.light:
		x.light = x.takes
	case x.open <= openingMost: // what it takes by itself may have changed
		x.light += (x.takes - x.light) / (8 * openingMost)
	}
	m.easeCrowd(host)
}

// easeCrowd wakes those who wait at a host if it has room for them by now.
func (m *Machine) easeCrowd(host uint32) {
	if x := m.hosts.at(host); x.crowd.len() > 0 && !x.crowded() {
		m.wakeCrowd(host)
	}
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
		if x := m.hosts.at(hosts[i].host); !x.proven && x.opening > 0 {
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
func (m *Machine) begins(c *conn) {
	c.opening = true
	x := m.hosts.at(c.host)
	x.opening++
	x.carried = 0
}

// answered: the connection is open, or has failed.
func (m *Machine) answered(c *conn) {
	if !c.opening {
		return
	}
	c.opening = false
	m.hosts.at(c.host).opening--
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
