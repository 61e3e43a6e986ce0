package sched

import (
	"fmt"
	"time"
)

// How a host gets its connections, as one binding sees it; what holds up another binding's
// does not count.
//
// At most openingMost are on their way, unanswered, or as many as sessions are open if these
// are more: a receiver is not buried under more calls than it takes in, which it would drop
// without a word. One that is not answered after openingSlow does not count: a receiver that
// lets callers wait for its greeting, as some do on purpose, has taken the call by then.
//
// In all there are as many as its width, which is openingMost at first. While somebody waits
// for more it grows by an eighth each second: when many queues come at once, connections that
// are open go from queue to queue (migrate.go) rather than each dialing, and yet what is
// allowed is reached. It grows by a thirty-second where all sessions are busy and each message takes half
// as long again as it does when they are few: more of them bring little then. A host
// without connections has its first width again.
const (
	openingMost = 32
	openingSlow = int64(time.Second)
	growEvery   = int64(time.Second)
)

// crowded reports whether further connections to the host have to wait. To a host that has
// proven nothing there is one, which probes: a dead domain is not called by all its mail
// at once.
func (h *host) crowded() bool {
	if !h.proven {
		return h.calling > 0
	}
	return h.opening >= max(openingMost, h.open) || h.conns >= h.most()
}

// most is the host's width.
func (h *host) most() int { return max(openingMost, h.width) }

// laden reports whether all sessions are busy and a message takes half as long again as it
// does when they are few.
func (h *host) laden() bool { return h.idle.n == 0 && h.takes > h.light+h.light/2 }

// hostTakes has the mean time that a message takes at a host follow one more sample.
func (m *Machine) hostTakes(host uint32, ns int64) {
	x := m.hosts.at(host)
	if x.takes == 0 {
		x.takes = ns
	}
	x.takes += (ns - x.takes) / openingMost
	switch {
	case x.light == 0 || x.takes < x.light:
		x.light = x.takes
	case x.open <= openingMost: // what it takes by itself may have changed
		x.light += (x.takes - x.light) / (8 * openingMost)
	}
}

// hostTimer: those who wait for a wider host have waited a second.
func (m *Machine) hostTimer(host uint32) {
	x := m.hosts.at(host)
	x.timer = noTimer
	switch n := x.most(); {
	case x.conns < n: // it is not its width that they wait for
	case x.laden():
		x.width = n + n/openingMost
	default:
		x.width = n + n/8
	}
	m.wakeCrowd(host)
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
	x := m.hosts.at(host)
	if x.calls = x.crowd.len(); x.calls > 0 && !x.waking {
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

// crowdText says what those who wait at a crowded host wait for.
func (h *host) crowdText() string {
	if h.conns >= h.most() {
		return fmt.Sprintf("%d connections; more follow second by second", h.conns)
	}
	return fmt.Sprintf("%d connections are being opened; more follow as they are answered", h.opening)
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
	x := m.hosts.at(host)
	x.crowd.push(gatePlace{h, q.epoch})
	if x.timer == noTimer && x.conns >= x.most() {
		x.timer = m.wheel.set(m.now+growEvery, timerHost, host)
	}
}

// nextRoomy wakes one of those who wait at a host with room: those that need it no
// more, or are blocked elsewhere by now, leave it to the next.
func (m *Machine) nextRoomy() bool {
	if m.roomy.len() == 0 {
		return false
	}
	x := m.hosts.at(*m.roomy.front())
	if x.crowd.len() == 0 || x.calls == 0 || x.crowded() {
		x.waking = false
		m.roomy.pop()
		return true
	}
	x.calls-- // who comes back to the line, because an equal is being probed, is not called again
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
