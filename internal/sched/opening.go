package sched

// openingMost is how many connections may be on their way to one address, unanswered.
// A receiver is not buried under more calls than it takes in, which it would drop without
// a word; and when many queues come at once, what the first connections of each deliver
// meanwhile needs no further ones.
const openingMost = 32

// crowded reports whether further connections to the address wait for those that are
// being opened.
func (p *place) crowded() bool {
	return p.opening >= openingMost
}

// begins counts a connection as being opened, until answered.
func (m *Machine) begins(c *conn) {
	c.opening = true
	m.places.at(c.place).opening++
}

// answered: the connection is open, or has failed.
func (m *Machine) answered(c *conn) {
	if !c.opening {
		return
	}
	c.opening = false
	p := m.places.at(c.place)
	p.opening--
	if p.crowd.len() > 0 && !p.waking {
		p.waking = true
		m.roomy.push(c.place)
	}
}

// waitCrowd lines the queue up at a crowded address.
func (m *Machine) waitCrowd(h, place uint32) {
	q := m.queues.at(h)
	if !q.gated && q.waitOn == 0 {
		q.since = m.now
	}
	q.gated = true
	m.places.at(place).crowd.push(gatePlace{h, q.epoch})
}

// nextRoomy wakes one of those who wait at an address with room: those that need it no
// more, or are blocked elsewhere by now, leave it to the next.
func (m *Machine) nextRoomy() bool {
	if m.roomy.len() == 0 {
		return false
	}
	p := m.places.at(*m.roomy.front())
	if p.crowd.len() == 0 || p.crowded() {
		p.waking = false
		m.roomy.pop()
		return true
	}
	if x, _ := p.crowd.pop(); m.waitsHere(x) {
		m.unwait(x.queue)
		m.kick(x.queue, 0)
	}
	return true
}

// crowdedAt returns an address of the lane at which connections are being opened, or nil.
func (m *Machine) crowdedAt(l *lane) *place {
	for i := range l.route.addrs {
		if p := m.places.at(l.route.addrs[i].place); p.crowded() {
			return p
		}
	}
	return nil
}
