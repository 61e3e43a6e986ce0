package sched

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// noTLSFor is how long an address whose TLS failed is spoken to in clear where TLS was
// only wished for, unless the policy says another time.
const noTLSFor = time.Hour

// dane is what a certificate must prove by DANE. Immutable.
type dane struct {
	records []mail.TLSA
	names   []string
}

// daneOf is nil when the host is not asked for it.
func daneOf(x *RouteHost) *dane {
	if x.TLS != TLSDANE {
		return nil
	}
	return &dane{x.TLSA, x.Names}
}

func (d *dane) certificate() ([]mail.TLSA, []string) {
	if d == nil {
		return nil, nil
	}
	return d.records, d.names
}

// same reports whether both ask for the same, in the same order.
func (d *dane) same(o *dane) bool {
	if d == nil || o == nil {
		return d == o
	}
	return slices.Equal(d.names, o.names) && slices.EqualFunc(d.records, o.records, func(a, b mail.TLSA) bool {
		return a.Usage == b.Usage && a.Selector == b.Selector && a.Matching == b.Matching && bytes.Equal(a.Data, b.Data)
	})
}

// content reports whether mail for a host may go over the connection to it.
func (m *Machine) content(c *conn, rh *routeHost) bool {
	need := rh.tls
	switch {
	case c.protocol != rh.protocol:
		return false
	case need == TLSIfAvailable && m.places.at(c.place).noTLS > m.now:
		return true // it would be spoken to in clear
	case need == TLSNo, c.tls == TLSNo:
		return need == c.tls
	case need == TLSDANE:
		return c.tls == TLSDANE && c.dane.same(rh.dane)
	}
	return c.tls.covers(need)
}

// covers reports whether a connection with the need t is good enough for another need.
// DANE trusts other roots than an authority does, and no name where the key is known: it
// stands for no other verification.
func (t TLS) covers(need TLS) bool {
	switch need {
	case TLSNo:
		return t == TLSNo
	case TLSIfAvailable:
		return t != TLSNo
	case TLSRequired:
		return t >= TLSRequired
	case TLSVerifyCA:
		return t == TLSVerifyCA || t == TLSVerifyHost
	}
	return t == need
}

// stillSecure reports whether an open connection has the TLS that its lane's mail needs by
// now. One that was verified by other TLSA records stays: they held when it was opened.
func (m *Machine) stillSecure(l *lane, c *conn) bool {
	most := TLSIfAvailable
	for i := range l.route.hosts {
		rh := &l.route.hosts[i]
		if rh.host == c.host {
			return rh.tls < TLSRequired || c.tls.covers(rh.tls)
		}
		if rh.tls >= TLSRequired {
			most = TLSRequired
		}
	}
	return most < TLSRequired || c.tls.covers(most) // its host is one for which there was no room
}

// kinds is a number for the TLS needs of hosts, 0 when TLS is needed by none.
func kinds(hosts []RouteHost) (sum uint64) {
	for i := range hosts {
		if t := hosts[i].TLS; t >= TLSRequired {
			sum |= 1 << (32 + t)
		}
	}
	return sum
}

// tlsTimes is until when an address is left alone by those who insist on TLS, by what they
// ask for: a certificate that does not verify is no trouble of those who verify nothing.
type tlsTimes [tlsKinds - int(TLSRequired)]int64

// at is the time of those who ask for t, at least TLSRequired.
func (x *tlsTimes) at(t TLS) *int64 { return &x[max(t, TLSRequired)-TLSRequired] }

// of is until when those who ask for t keep away.
func (x *tlsTimes) of(t TLS) (until int64) {
	for i, at := range x {
		if t.covers(TLSRequired + TLS(i)) {
			until = max(until, at)
		}
	}
	return until
}

func (x *tlsTimes) last() int64 { return slices.Max(x[:]) }

// proven: a connection that asked for t has come about.
func (x *tlsTimes) proven(t TLS) {
	for i := range x {
		if t.covers(TLSRequired + TLS(i)) {
			x[i] = 0
		}
	}
}

// breaksTLS has an address spoken to in clear for some time: where TLS is only wished for
// its failure is no reason not to deliver (RFC 7435).
func (m *Machine) breaksTLS(p *place, l *lane, reply mail.Reply) {
	p.noTLS = m.now + int64(cmp.Or(l.policy.BrokenTLSRetry, noTLSFor))
	p.noTLSWhy = &reply
}

// inClear says why an address is spoken to in clear, and how long still.
func (p *place) inClear(now int64) string {
	s := "in clear for " + span(p.noTLS-now) + ", TLS failed"
	if p.noTLSWhy != nil {
		s += ": " + p.noTLSWhy.String()
	}
	return s
}

// clearText is the state of a host one of whose addresses is spoken to in clear.
func (m *Machine) clearText(now int64, l *lane, rh *routeHost) string {
	if rh.tls == TLSIfAvailable {
		for k := rh.from; k < rh.to; k++ {
			if p := m.places.at(l.route.addrs[k].place); p.noTLS > now {
				return p.inClear(now)
			}
		}
	}
	return "ok"
}

// tlsText says what a connection to the host must do about TLS.
func (rh *routeHost) tlsText() string {
	if rh.tlsWhy == "" {
		return rh.tls.String()
	}
	return rh.tls.String() + ": " + rh.tlsWhy
}
