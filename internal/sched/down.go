package sched

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/mail"
)

// What becomes of mail none of whose hosts can be reached. At first it waits in line for
// an address to be tried again: a receiver that is away for a minute delays its mail by
// little more. Only the message whose connection failed is deferred, so that the trouble is
// seen. When every address has failed mx_failures_to_delay times in a row, or for
// connect_timeout_to_delay, or will not be tried before, everything that is ready is
// deferred at once, and so is what comes later, but for one message that probes.

// bides reports whether the mail of a lane, all of whose addresses have failed, waits for
// one of them to be tried again.
func (m *Machine) bides(l *lane) bool {
	r := &l.route
	if r.owes {
		r.owes = false
		return false
	}
	given := true
	for i := range r.hosts {
		rh := &r.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			p := m.places.at(r.addrs[k].place)
			if p.failed <= m.now { // its TLS failed: that is decided, not away
				return false
			}
			given = given && m.givenUp(p, l)
		}
	}
	return !given
}

// givenUp reports whether an address has failed for so long, or so often, that mail is
// deferred for it.
func (m *Machine) givenUp(p *place, l *lane) bool {
	often, long := l.policy.MXFailuresToDelay, int64(l.policy.ConnectTimeoutToDelay)
	return p.never || often > 0 && int(p.rounds) >= often || long > 0 && p.failed-p.down >= long
}

// fails notes that an address could not be spoken to. Connections that were on their way
// together fail once.
func (p *place) fails(now int64, never bool) {
	if p.failed > now {
		return
	}
	if p.rounds == 0 {
		p.down = now
	}
	p.rounds++
	p.never = never
}

// speaks notes that a session came about.
func (p *place) speaks() { p.failed, p.down, p.rounds, p.never = 0, 0, 0, false }

// biding is the state of a queue that waits so, and when the first address is tried again.
func (m *Machine) biding(now int64, l *lane) (string, int64) {
	var next int64
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			if at := m.failedUntil(l.route.addrs[k].place, rh.tls); next == 0 || at < next {
				next = at
			}
		}
	}
	return fmt.Sprintf("all hosts failed; tried again in %s", span(next-now)), next
}

// hostsFailed is the class and words for mail none of whose hosts could be reached. It is
// refused only when each of all its hosts has said that it never takes mail (RFC 7504): the
// least final word of them wins. Where a certificate is demanded, nothing is final that is said before it is shown.
func (m *Machine) hostsFailed(l *lane) (mail.Class, mail.Reply) {
	reply := mail.Reply{Text: "all hosts failed", Stage: mail.StageConnect}
	class := mail.ClassRefused
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		for k := rh.from; k < rh.to; k++ {
			p := m.places.at(l.route.addrs[k].place)
			if p.reply != nil {
				reply = *p.reply
				reply.Text = "all hosts failed; " + p.key.host + ": " + reply.Text
			}
			if !p.never || rh.tls > TLSRequired {
				class = mail.ClassDeferred
			}
		}
	}
	if l.route.partly {
		class = mail.ClassDeferred
	}
	return class, reply
}
