package policy

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Finding is something that Build has to say about a configuration.
type Finding struct {
	Origin  Origin
	Warning bool // otherwise an error: the configuration must not be used
	Text    string
}

// Environment is what a configuration is completed with.
type Environment struct {
	File     string // the main file; empty for the defaults alone
	Hostname string // the machine's name, when the configuration sets none
	// Directory is what relative default paths are below: that of the configuration file;
	// empty: the working directory. Paths that are set are made whole by config.
	Directory string
}

// New is the configuration of a server without a file: SMTP on 127.0.0.1:2525, the
// control on 127.0.0.1:8025, relaying for loopback alone.
func New(hostname string) *Snapshot {
	s, _ := Build(NewRoot(), Environment{Hostname: hostname})
	return s
}

// Build makes a Snapshot of a tree of stanzas and says what is wrong with it as a
// whole. The tree must not be changed afterwards. The Snapshot is of use only when no
// finding is an error.
func Build(root *Scope, env Environment) (*Snapshot, []Finding) {
	var next uint32
	root.seal(&next)
	b := &builder{root: root, env: env, s: &Snapshot{
		File: env.File, Hostname: env.Hostname, Root: root,
		Users: map[string]*User{}, Tenants: map[string]int{},
		Bindings: map[string]*Binding{}, Groups: map[string]*Group{},
		scopes: map[string]*Scope{}, groups: map[string]*Scope{},
	}}
	b.global()
	b.bindings()
	b.stanzas()
	b.rollups()
	b.defaultListeners()
	b.references()
	b.check()
	return b.s, b.findings
}

type builder struct {
	root     *Scope
	env      Environment
	s        *Snapshot
	findings []Finding
}

func (b *builder) errorf(o Origin, format string, args ...any) {
	b.findings = append(b.findings, Finding{Origin: o, Text: fmt.Sprintf(format, args...)})
}

func (b *builder) warnf(o Origin, format string, args ...any) {
	b.findings = append(b.findings, Finding{Origin: o, Warning: true, Text: fmt.Sprintf(format, args...)})
}

// own returns what a stanza, or the stanza around it, sets for an option, or the
// built-in default.
func own(s *Scope, name string) Value {
	o := must(s.Kind, name)
	if v := s.Get(o); v != nil {
		return v.Value
	}
	if s.Parent != nil && s.Parent.Kind == s.Kind {
		return own(s.Parent, name)
	}
	return o.def
}

func (b *builder) global() {
	s := b.s
	if v := own(b.root, "hostname").Str; v != "" {
		s.Hostname = v
	}
	if s.Hostname == "" {
		s.Hostname = "localhost"
	}
	s.BounceBinding = own(b.root, "bounce_binding").Str
	s.Postmaster = own(b.root, "postmaster").Str
	if s.Postmaster == "" {
		s.Postmaster = "postmaster@" + s.Hostname
	}
	s.ReplyRules = own(b.root, "reply_rules").Str
	b.reports()
	s.UnknownBindingDefault = own(b.root, "unknown_binding").Str == "default"
	s.MTASTSPort = uint16(own(b.root, "mta_sts_port").Num)
	s.TLSReports = TLSReports{
		From:         cmp.Or(own(b.root, "tls_report_from").Str, s.Postmaster),
		Organization: cmp.Or(own(b.root, "tls_report_organization").Str, s.Hostname),
		Contact:      s.Postmaster,
	}
	s.DrainTimeout = own(b.root, "drain_timeout").Duration()
	s.SuspendAll = own(b.root, "suspend_delivery").Bool()
	// The stanzas that may be left out.
	b.spool(&Scope{Kind: ScopeSpool})
	b.accounting(&Scope{Kind: ScopeAccounting})
}

func (b *builder) bindings() {
	for _, c := range b.root.children {
		switch c.Kind {
		case ScopeBinding:
			b.binding(c, "")
		case ScopeGroup:
			g := &Group{Name: c.Label, Origin: c.Origin}
			b.s.Groups[c.Label], b.s.groups[c.Label] = g, c
			for _, m := range c.children {
				if m.Kind == ScopeBinding && b.binding(m, c.Label) {
					g.Bindings = append(g.Bindings, m.Label)
				}
			}
		}
	}
	for _, name := range b.implicit() {
		if b.s.Bindings[name] == nil {
			b.s.Bindings[name] = &Binding{Name: name, Weight: 1}
		}
	}
}

// implicit names the bindings that are there without being declared.
func (b *builder) implicit() []string {
	names := []string{"default"}
	b.eachScope(b.root, func(c *Scope) {
		if v := c.Get(opt.tlsReports); v != nil && v.Bool() && len(names) == 1 {
			names = append(names, TLSReportBinding)
		}
	})
	return names
}

// binding adds one binding and reports whether its name was free.
func (b *builder) binding(c *Scope, group string) bool {
	if have := b.s.Bindings[c.Label]; have != nil {
		b.errorf(c.Origin, "binding %q is there already, in %s (%s): a name exists once, in global or in one binding_group",
			c.Label, inWords(have.Group), have.Origin)
		return false
	}
	n := &Binding{Name: c.Label, Group: group, Weight: int(own(c, "weight").Num), Origin: c.Origin}
	for _, name := range [...]string{"bind_address_secondary", "bind_address"} {
		switch a := own(c, name).Addr; {
		case a.Is4():
			n.Bind4 = a
		case a.IsValid():
			n.Bind6 = a
		}
	}
	first, second := c.Get(opt.bind), c.Get(opt.bindSecondary)
	if first != nil && second != nil && first.Addr.IsValid() && second.Addr.IsValid() && first.Addr.Is4() == second.Addr.Is4() {
		b.errorf(second.Origin, "bind_address_secondary = %s is of the same family as bind_address = %s: it is the address of the other family", second.Text, first.Text)
	}
	b.s.Bindings[c.Label], b.s.scopes[c.Label] = n, c
	return true
}

func inWords(group string) string {
	if group == "" {
		return "global"
	}
	return "binding_group " + strconv.Quote(group)
}

func (b *builder) stanzas() {
	for _, c := range b.root.children {
		switch c.Kind {
		case ScopeESMTP, ScopeHTTP, ScopeControl:
			for _, l := range c.children {
				b.listener(l)
			}
		case ScopeUser:
			b.user(c)
		case ScopeTenant:
			b.s.Tenants[c.Label] = int(own(c, "weight").Num)
		case ScopeSpool:
			b.spool(c)
		case ScopeAccounting:
			b.accounting(c)
		case ScopeDNS:
			b.dns(c)
		}
	}
}

func (b *builder) spool(c *Scope) {
	b.s.Spool = Spool{Directory: b.directory(c), SegmentSize: own(c, "segment_size").Num, MinFree: own(c, "min_free").Num}
}

// directory is where a stanza keeps its files.
func (b *builder) directory(c *Scope) string {
	o := must(c.Kind, "directory")
	if v := c.Get(o); v != nil {
		return v.Str
	}
	if b.env.Directory == "" {
		return o.def.Str
	}
	return filepath.Join(b.env.Directory, o.def.Str)
}

func (b *builder) accounting(c *Scope) {
	a := Account{Directory: b.directory(c), MaxSize: own(c, "max_size").Num, MaxAge: own(c, "max_age").Duration()}
	for _, f := range own(c, "formats").List {
		a.Formats = append(a.Formats, strings.ToLower(f))
	}
	b.s.Account = a
}

func (b *builder) dns(c *Scope) {
	for _, e := range own(c, "resolver").List {
		if ap, err := ParseEndpoint(e, 53); err == nil {
			b.s.DNS.Resolvers = append(b.s.DNS.Resolvers, ap.String())
		}
	}
	b.s.DNS.ZoneFile = own(c, "zone_file").Str
	b.s.DNS.TrustAD = own(c, "trust_ad").Bool()
	if b.s.DNS.ZoneFile != "" && len(b.s.DNS.Resolvers) > 0 {
		b.warnf(c.Origin, "zone_file and resolver are both set: the zone file answers, the resolvers are not asked")
	}
}

func (b *builder) listener(c *Scope) {
	l := Listener{Kind: listenerKind(c.Kind), Address: c.Label, Origin: c.Origin, MaxSessions: int(own(c, "max_sessions").Num)}
	if c.Kind != ScopeControl {
		l.TLSCertificate, l.TLSKey = own(c, "tls_certificate").Str, own(c, "tls_key").Str
		l.MaxSessionsPerAddress = int(own(c, "max_sessions_per_address").Num)
		l.MaxMessageSize = own(c, "max_message_size").Num
		l.MaxRecipients = int(own(c, "max_recipients").Num)
		if (l.TLSCertificate == "") != (l.TLSKey == "") {
			b.errorf(c.Origin, "tls_certificate and tls_key belong together: one of them is missing")
		}
	}
	if c.Kind == ScopeESMTP {
		l.RelayNetworks = own(c, "relay_networks").Networks
		l.BindingHeader = own(c, "binding_header").Bool()
		l.Binding, l.BindingGroup = own(c, "binding").Str, own(c, "binding_group").Str
		l.Tenant = own(c, "tenant").Str
		l.Auth = AuthMode(own(c, "auth").Num) // the choices are in the order of the type
		l.NormalizeLineEndings = own(c, "normalize_line_endings").Bool()
		b.listenerTerms(c, &l)
		l.ProxyProtocol = own(c, "proxy_protocol").Bool()
		if l.Binding != "" && l.BindingGroup != "" {
			b.errorf(c.Origin, "binding and binding_group are both set: mail that names no binding goes through one of them")
		}
	}
	b.addListener(l)
}

func listenerKind(k ScopeKind) ListenerKind {
	switch k {
	case ScopeHTTP:
		return ListenHTTP
	case ScopeControl:
		return ListenControl
	}
	return ListenESMTP
}

func (b *builder) addListener(l Listener) {
	for _, have := range b.s.Listeners {
		if have.Address == l.Address && !strings.HasSuffix(l.Address, ":0") {
			b.errorf(l.Origin, "another listener has the address %s (%s)", l.Address, have.Origin)
			return
		}
	}
	b.s.Listeners = append(b.s.Listeners, l)
}

// defaultListeners adds those of the kinds that the configuration does not speak of;
// an empty stanza of the kind means that none is wanted.
func (b *builder) defaultListeners() {
	for _, d := range [...]struct {
		kind    ScopeKind
		address string
	}{{ScopeESMTP, "127.0.0.1:2525"}, {ScopeControl, "127.0.0.1:8025"}} {
		if b.speaksOf(d.kind) || b.taken(d.address) {
			continue
		}
		parent := &Scope{Kind: d.kind, Path: d.kind.String()}
		b.listener(&Scope{Kind: d.kind, Label: d.address, Parent: parent})
	}
}

func (b *builder) speaksOf(kind ScopeKind) bool {
	for _, c := range b.root.children {
		if c.Kind == kind {
			return true
		}
	}
	return false
}

func (b *builder) taken(address string) bool {
	for _, l := range b.s.Listeners {
		if l.Address == address {
			return true
		}
	}
	return false
}

func (b *builder) user(c *Scope) {
	u := &User{
		Name: c.Label, Bindings: own(c, "bindings").List, Binding: own(c, "binding").Str, BindingGroup: own(c, "binding_group").Str,
		Tenant: own(c, "tenant").Str, MessageRate: own(c, "message_rate").Rate, MaxMessageSize: own(c, "max_message_size").Num, Origin: c.Origin,
	}
	v := c.Get(must(ScopeUser, "password"))
	if v == nil {
		b.errorf(c.Origin, "user %q has no password: nobody could log in", c.Label)
		return
	}
	u.Password = Secret{Value: v.Str}
	if IsReference(v.Text) {
		u.Password.Ref = v.Text
	}
	if u.Binding != "" && u.BindingGroup != "" {
		b.errorf(c.Origin, "binding and binding_group are both set: mail that names no binding goes through one of them")
	}
	b.s.Users[c.Label] = u
}

// IsReference reports whether the text of a secret names the place of the secret.
func IsReference(text string) bool {
	for _, p := range [...]string{"file:", "env:", "credential:"} {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}
