package sched

import (
	"net/netip"

	"github.com/sluice-mta/sluice/internal/policy"
)

// HeldConn is a connection with the names that it is counted under.
type HeldConn struct {
	Conn                    ConnID
	Binding, Domain, Tenant string
	Host                    string
	Address                 netip.Addr
}

// Held lists up to n connections after the cursor, in pages as Queues does.
func (m *Machine) Held(cursor string, n int) (held []HeldConn, next string) {
	_, at := parseCursor(cursor)
	for left := pageSlots; at < m.conns.next && len(held) < n && left > 0; at++ {
		left--
		c := m.conns.at(at)
		if c.state == 0 {
			continue
		}
		b, d := m.laneNames(m.lanes.at(c.lane))
		held = append(held, HeldConn{
			Conn: m.connID(at), Binding: b, Domain: d, Tenant: m.names.tenants[m.queues.at(c.queue).tenant],
			Host: m.hosts.at(c.host).key.host, Address: m.places.at(c.place).key.addr,
		})
	}
	if at < m.conns.next {
		next = cursorAt('o', at)
	}
	return held, next
}

// CounterName is the name, "OPTION KEY", of the counter on which a limit counts this
// connection, with the binding's group and the routing domain.
func (c *HeldConn) CounterName(x *policy.Limit, group, routing string) string {
	k := keyOf(x, laneText{c.Binding, group, routing}, c.Host, &placeKey{host: c.Host, addr: c.Address})
	return k.Option + " " + k.String()
}
