package policy

import (
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// check finds what is allowed and yet probably not meant.
func (b *builder) check() {
	b.checkSources()
	b.checkReserve()
	b.checkNames()
	b.checkRollups()
	cluster := b.speaksOf(ScopeCluster)
	seen := map[*Option]bool{}
	b.eachScope(b.root, func(c *Scope) {
		for _, o := range c.Settings() {
			v := c.Get(o)
			b.checkLimit(c, o, v)
			b.checkEgress(c, o, v)
			if (o == opt.tlsCertificate || o == opt.tlsKey) && (c.Get(opt.tlsCertificate) == nil || c.Get(opt.tlsKey) == nil) {
				b.errorf(v.Origin, "tls_certificate and tls_key belong together: one of them is missing in this stanza")
			}
			switch {
			case seen[o]:
			case strings.HasPrefix(o.Name, "cluster_") && !cluster:
				seen[o] = true
				b.warnf(v.Origin, "%s without a cluster stanza: the limit holds on this node alone, as in a cluster of one", o.Name)
			case o.Later != "":
				seen[o] = true
				b.warnf(v.Origin, "%s: %s", o.Name, o.Later)
			}
		}
	})
	for _, c := range b.root.children {
		if st := stanzaOf(c.Kind); st != nil && st.Later != "" {
			b.warnf(c.Origin, "%s: %s", c.Kind, st.Later)
		}
	}
	b.checkDKIM()
}

func stanzaOf(k ScopeKind) *Stanza {
	for i := range Stanzas {
		if Stanzas[i].Kind == k && !Stanzas[i].Listen {
			return &Stanzas[i]
		}
	}
	return nil
}

// GroupRule is the error of an option that is not valid in a group.
func (o *Option) GroupRule() string {
	return o.Name + " is not valid in a binding_group nor in anything inside one; for bindings in a group too it is set outside of groups, in " +
		strings.Join(o.Scopes.Names(), ", ")
}

func (b *builder) checkLimit(c *Scope, o *Option, v *Setting) {
	if o.NotInGroup && c.InGroup() {
		b.errorf(v.Origin, "%s", o.GroupRule())
	}
	if o.NotInDomain && c.Kind == ScopeHost && c.prefix.IsValid() {
		b.errorf(v.Origin, "%s counts by the host's name exactly as in the MX record; an address label never matches", o.Name)
	}
	if o.Minus == unlimited && v.Num == 0 {
		b.warnf(v.Origin, "%s = 0 admits no connection at all; suspend_delivery is the proper tool to stop mail", o.Name)
	}
}

// checkSources warns of bindings that share a source address.
func (b *builder) checkSources() {
	first := map[netip.Addr]*Binding{}
	for _, name := range b.names(true, false) {
		n := b.s.Bindings[name]
		if n == nil || n.Origin.IsDefault() {
			continue
		}
		for _, a := range sourceOf(n) {
			if have := first[a]; have != nil && have != n {
				b.warnf(n.Origin, "bindings %q and %q (%s) share the source address %s: limits count by binding, receivers count by address", n.Name, have.Name, have.Origin, a)
				continue
			}
			first[a] = n
		}
	}
}

func (b *builder) checkReserve() {
	l, ok := b.s.serverLimit()
	if !ok || l.Reserve == 0 || l.Reserve*10 < l.Max {
		return
	}
	at := l.Origin
	if v := b.root.Get(opt.serverReserve); v != nil {
		at = v.Origin
	}
	b.warnf(at, "server_reserve_outbound_connections = %d is a tenth of %s = %d or more: the server may hold %d connections", l.Reserve, l.Option, l.Max, l.Max+l.Reserve)
}

// checkNames warns where a name means a binding and a group.
func (b *builder) checkNames() {
	for _, name := range b.names(false, true) {
		if n := b.s.Bindings[name]; n != nil {
			b.warnf(b.s.Groups[name].Origin, "%q names a binding_group and a binding: headers and logins that name it get the binding", name)
		}
	}
}

// checkDKIM warns where signing is switched on and no key can be found.
func (b *builder) checkDKIM() {
	key, selector := false, false
	b.eachScope(b.root, func(c *Scope) {
		key = key || c.Get(opt.dkimKey) != nil
		v := c.Get(opt.dkimSelector)
		if v == nil {
			return
		}
		selector = true
		for _, name := range v.List {
			if _, err := mail.CanonicalDomain(name); err != nil {
				b.errorf(v.Origin, "dkim_selector: %q is not a name in the DNS", name)
			}
		}
	})
	b.eachScope(b.root, func(c *Scope) {
		v := c.Get(opt.dkim)
		switch {
		case v == nil || !v.Bool():
			return
		case !key:
			b.warnf(v.Origin, "dkim is on and no dkim_key is set: messages leave unsigned")
		case !selector:
			b.warnf(v.Origin, "dkim is on and no dkim_selector is set: messages leave unsigned")
		}
		b.s.Signs = true
	})
}

// FileFinding compares what the limits can ask for with the open files that the
// system gives (hard limit: the server raises its own soft limit), or returns nil.
func (s *Snapshot) FileFinding(files int) *Finding {
	need := s.FilesNeeded()
	if files <= 0 || (need >= 0 && need <= files) {
		return nil
	}
	l, ok := s.serverLimit()
	f := &Finding{Warning: true, Origin: l.Origin}
	server := s.Server(files)
	if !ok {
		f.Text = "the connections of the server are unlimited, and the system gives " + itoa(files) + " open files"
	} else {
		f.Text = "the limits allow " + itoa(s.OutboundCeiling()) + " outbound connections beside " + itoa(s.sessionFiles()-FilesPerServer) +
			" sessions, and the system gives " + itoa(files) + " open files"
	}
	f.Text += ": at most " + itoa(server.MaxConnections) + " connections are opened; raise the limit of open files (ulimit -Hn, LimitNOFILE=) or lower " + l.Option
	return f
}
