package policy

import (
	"encoding/binary"
	"net/netip"
)

// pathOf is a limit path being made: unlimited values are left out.
type pathOf []Limit

func (l *pathOf) add(o *Option, by By, v *Setting) {
	if v != nil && v.Num >= 0 {
		*l = append(*l, Limit{Option: o.Name, By: by, Max: int(v.Num), Origin: v.Origin})
	}
}

// queueLimits are the counters of a binding and a routing domain, most specific first,
// the server's last. The table in the manual ("Connection limits") has a row for each.
func (s *Snapshot) queueLimits(p *path) []Limit {
	var out pathOf
	// (b, d), or (b, S) where the binding's own domain stanza pools it.
	out.pair(p, opt.scopeMax, opt.maxOutbound)
	out.pair(p, opt.clusterScope, opt.clusterMax)
	for _, o := range [...]*Option{opt.scopeMax, opt.clusterScope} {
		out.add(o, ByGroup|ByStanza, p.at(o, GroupDomain))
		out.add(o, ByStanza, p.at(o, AnyDomain))
	}
	for _, o := range [...]*Option{opt.scopeMax, opt.clusterScope} {
		out.add(o, ByBinding, p.at(o, OneBinding))
	}
	for _, o := range [...]*Option{opt.serverMax, opt.clusterServer} {
		v := p.at(o, OneBinding)
		if v == nil {
			v = p.at(o, OneGroup)
		}
		out.add(o, ByBinding, v)
	}
	for _, o := range [...]*Option{opt.scopeMax, opt.clusterScope} {
		out.add(o, ByGroup, p.at(o, OneGroup))
	}
	if v := p.at(opt.clusterScope, Global); v != nil {
		out.add(opt.clusterScope, 0, v)
	} else {
		out.add(opt.clusterServer, 0, p.at(opt.clusterServer, Global))
	}
	if l, ok := s.serverLimit(); ok {
		out = append(out, l)
	}
	return out
}

// pair adds the counter of one binding and one domain: scope's where the binding's
// domain stanza sets it (it replaces the other), otherwise max's by its chain.
func (l *pathOf) pair(p *path, scope, max *Option) {
	for _, level := range [...]Level{GroupBindingDomain, BindingDomain} {
		if v := p.at(scope, level); v != nil {
			l.add(scope, ByBinding|ByStanza, v)
			return
		}
	}
	v, _ := p.find(max, max.Chain)
	if v == nil && max.HasDefault() {
		v = &Setting{Value: max.def}
	}
	l.add(max, ByBinding|ByDomain, v)
}

// serverLimit is the limit on the whole server: scope_max_outbound_connections in
// global exactly, otherwise server_max_outbound_connections with its reserve.
func (s *Snapshot) serverLimit() (Limit, bool) {
	if v := s.Root.Get(opt.scopeMax); v != nil {
		return Limit{Option: opt.scopeMax.Name, Max: int(v.Num), Origin: v.Origin}, v.Num >= 0
	}
	l := Limit{Option: opt.serverMax.Name, Max: int(opt.serverMax.def.Num), Reserve: int(opt.serverReserve.def.Num)}
	if v := s.Root.Get(opt.serverMax); v != nil {
		l.Max, l.Origin = int(v.Num), v.Origin
	}
	if v := s.Root.Get(opt.serverReserve); v != nil {
		l.Reserve = int(v.Num)
	}
	return l, l.Max >= 0
}

// hostPath collects the stanzas that a binding's connection to a host falls under, by
// the host's name or by one address.
func (s *Snapshot) hostPath(binding string, match func(*matcher) []*Scope) path {
	var p path
	p[AnyHost] = match(&s.Root.hosts)
	b := s.scopes[binding]
	switch {
	case b == nil:
	case b.Parent.Kind != ScopeGroup:
		p[BindingHost] = match(&b.hosts)
	default:
		p[GroupBindingHost] = match(&b.hosts)
		p[GroupHost] = match(&b.Parent.hosts)
	}
	return p
}

// Host resolves the limits and throttles of a binding's connections to one MX host (canonical name)
// and its addresses. Each call makes a new Host; config.Resolver shares them.
func (s *Snapshot) Host(binding, host string, addrs []netip.Addr) *Host {
	p := s.hostPath(binding, func(m *matcher) []*Scope { return m.name(nil, host) })
	h := &Host{Limits: hostLimits(&p, ByHost), Throttles: hostThrottles(&p)}
	for _, a := range addrs {
		p := s.hostPath(binding, func(m *matcher) []*Scope { return m.addr(nil, a) })
		if l := hostLimits(&p, ByAddress); l != nil {
			if h.Addresses == nil {
				h.Addresses = map[netip.Addr][]Limit{}
			}
			h.Addresses[a] = l
		}
		if t := hostThrottles(&p); t != nil {
			if h.AddressThrottles == nil {
				h.AddressThrottles = map[netip.Addr][]Throttle{}
			}
			h.AddressThrottles[a] = t
		}
	}
	return h
}

// hostLimits are the counters of a host (by its name) or of one address.
func hostLimits(p *path, by By) []Limit {
	var out pathOf
	v, _ := p.find(opt.maxOutbound, hostChain)
	out.add(opt.maxOutbound, ByBinding|by, v)
	if by == ByHost { // by the name in the MX record only
		out.add(opt.clusterMax, ByBinding|ByHost, p.at(opt.clusterMax, BindingHost))
	}
	for _, o := range [...]*Option{opt.scopeMax, opt.clusterScope} {
		v := p.at(o, GroupBindingHost)
		if v == nil {
			v = p.at(o, BindingHost)
		}
		out.add(o, ByBinding|ByStanza, v)
		out.add(o, ByGroup|ByStanza, p.at(o, GroupHost))
		out.add(o, ByStanza, p.at(o, AnyHost))
	}
	if by == ByHost {
		out.add(opt.clusterMax, ByHost, p.at(opt.clusterMax, AnyHost))
	}
	return out
}

// AppendHostKey appends a key that is equal for equal answers of Host.
func (s *Snapshot) AppendHostKey(dst []byte, binding, host string, addrs []netip.Addr) []byte {
	var room [8]*Scope
	dst = append(append(dst, binding...), 0)
	m := s.hostMatchers(binding)
	for i := range m {
		if m[i] != nil {
			dst = appendIDs(dst, m[i].name(room[:0], host))
		}
	}
	for _, a := range addrs {
		mark := len(dst)
		raw := a.As16()
		dst = append(append(dst, '@'), raw[:]...)
		dst = append(append(dst, a.Zone()...), 0)
		if a.Is4() {
			dst = append(dst, '4')
		}
		before := len(dst)
		for i := range m {
			if m[i] != nil {
				dst = appendIDs(dst, m[i].addr(room[:0], a))
			}
		}
		if len(dst) == before { // nothing is said of this address
			dst = dst[:mark]
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(dst)-mark))
	}
	return dst
}

func (s *Snapshot) hostMatchers(binding string) [3]*matcher {
	m := [3]*matcher{&s.Root.hosts}
	if b := s.scopes[binding]; b != nil {
		m[1] = &b.hosts
		if b.Parent.Kind == ScopeGroup {
			m[2] = &b.Parent.hosts
		}
	}
	return m
}

// OutboundCeiling is the most connections that the limits let open at once; -1 when
// no limit bounds them.
func (s *Snapshot) OutboundCeiling() int {
	l, ok := s.serverLimit()
	if !ok {
		return Unlimited
	}
	return l.Max + l.Reserve
}

// FilesPerServer is what the server keeps open beside connections and sessions:
// spool segments, accounting files, DNS sockets, the listeners themselves.
const FilesPerServer = 512

// FilesNeeded is the most files that outbound connections and sessions can ask for
// at once; -1 when no limit bounds the connections.
func (s *Snapshot) FilesNeeded() int {
	n := s.OutboundCeiling()
	if n < 0 {
		return Unlimited
	}
	return n + s.sessionFiles()
}

func (s *Snapshot) sessionFiles() int {
	n := FilesPerServer
	for _, l := range s.Listeners {
		n += l.MaxSessions
	}
	return n
}

// Server returns what holds for the server as a whole on a machine that gives it
// files open files (0 or less: no bound known).
func (s *Snapshot) Server(files int) Server {
	out := Server{MaxConnections: s.OutboundCeiling(), DrainTimeout: s.DrainTimeout}
	if files <= 0 {
		return out
	}
	// Sessions get at most half of what there is: mail must be able to leave.
	room := max(files-s.sessionFiles(), files/2, 1)
	if out.MaxConnections < 0 || out.MaxConnections > room {
		out.MaxConnections, out.BoundBy = room, "open files"
	}
	return out
}
