package sim

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/sched"
)

// carries notes whose mail a connection is given. When that is another queue's than
// before, the connection counts there from now on, by the same limits as one that is
// opened; and the mail must be allowed to go over it at all. The referee knows whose a
// message is because it was there when it was handed in.
func (w *World) carries(c *conn, a sched.Deliver) {
	k := w.spool.live[a.Message]
	if k == nil {
		w.fail("message %s is handed out, but it is finished", a.Message)
		return
	}
	part := k.part(a.Recipients[0])
	domain := part.Domain
	if b := part.Binding; c.Binding != b && !slices.Contains(w.rebounds[domain], c.Binding) {
		w.fail("message %s leaves through %s, and is for %s", a.Message, c.Binding, b)
	}
	if domain == c.Domain && k.tenant == c.Tenant {
		return
	}
	if len(c.parts) > 0 {
		w.fail("%v is given mail for %s while it holds other mail", c, domain)
	}
	w.leadsTo(c, domain)
	w.referee.moved(w, c, domain, k.tenant)
}

// leadsTo checks that mail for the domain may go over the connection: the host is one of
// the domain's, and was spoken to as the domain demands.
func (w *World) leadsTo(c *conn, domain string) {
	ways := w.routes[c.Binding+"/"+domain]
	i := slices.IndexFunc(ways, func(x way) bool { return x.host == c.Host && x.addr == c.Address })
	switch {
	case i < 0:
		w.fail("%v is given mail for %s, which does not go there", c, domain)
	case ways[i].tls >= sched.TLSRequired && c.TLS < ways[i].tls:
		w.fail("%v is given mail for %s, which needs TLS there", c, domain)
	}
}

// way is an address that mail was last told to go to, and how.
type way struct {
	whose
	tls sched.TLS
}

// moved counts a connection where it is now.
func (r *referee) moved(w *World, c *conn, domain, tenant string) {
	r.Moves++
	r.closed(c)
	c.keys, c.Domain, c.Tenant = nil, domain, tenant
	r.counts(w, c, "moved, and is")
}
