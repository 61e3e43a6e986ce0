package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// ScopeKind is the kind of a container in the configuration. The first five are the
// scopes that values fall through; the others are stanzas with options of their own.
type ScopeKind uint8

const (
	ScopeGlobal ScopeKind = iota
	ScopeGroup            // binding_group
	ScopeBinding
	ScopeDomain
	ScopeHost
	ScopeESMTP // ESMTP_Listener, and its Listen stanzas
	ScopeHTTP
	ScopeControl
	ScopeUser
	ScopeTenant
	ScopeRollup
	ScopeSpool
	ScopeAccounting
	ScopeDNS
	ScopeCluster
	numScopes
)

var scopeNames = [numScopes]string{
	"global", "binding_group", "binding", "domain", "host",
	"esmtp_listener", "http_listener", "control_listener", "user", "tenant", "rollup",
	"spool", "accounting", "dns", "cluster",
}

func (k ScopeKind) String() string { return scopeNames[k] }

// ScopeSet is a set of kinds.
type ScopeSet uint32

// Scopes returns the set of the kinds given.
func Scopes(kinds ...ScopeKind) ScopeSet {
	var s ScopeSet
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in the set.
func (s ScopeSet) Has(k ScopeKind) bool { return s&(1<<k) != 0 }

// Names returns the names of the kinds, outermost first.
func (s ScopeSet) Names() []string {
	var out []string
	for k := range numScopes {
		if s.Has(k) {
			out = append(out, k.String())
		}
	}
	return out
}

// Setting is a value with the place that set it.
type Setting struct {
	Value
	Origin Origin
}

// Scope is one container of the configuration with the values set in it. Reopened
// stanzas are one Scope. Filled by config, sealed by Build, never changed after.
type Scope struct {
	Kind   ScopeKind
	Label  string // canonical: domains and hosts in lower case; regular expressions with their slashes
	Parent *Scope
	Path   string // for Origin.Stanza, e.g. `binding_group "pool" / domain "/re/"`
	Origin Origin // where it was opened first

	values   map[*Option]*Setting
	children []*Scope // of every kind, in the order of the file
	index    map[childKey]*Scope

	id      uint32 // unique in the tree, for signatures
	regex   *pattern
	prefix  netip.Prefix // of a host label that is an address or a block
	domains matcher
	hosts   matcher
}

// NewRoot returns the empty global scope.
func NewRoot() *Scope { return &Scope{Kind: ScopeGlobal, Path: "global"} }

// Open returns the child of the kind with the label, and adds it when it is not
// there yet. A listener is always a new one; inside a listener the kind is its own and
// the child is a Listen stanza.
func (s *Scope) Open(kind ScopeKind, label Label, origin Origin) *Scope {
	listener := inListen.Has(kind) && s.Kind != kind
	if c := s.index[childKey{kind, label.Text}]; c != nil && !listener {
		return c
	}
	path := kind.String()
	if s.Kind == kind {
		path = "listen"
	}
	if label.Text != "" {
		path += ` "` + label.Text + `"`
	}
	if s.Kind != ScopeGlobal {
		path = s.Path + " / " + path
	}
	origin.Stanza = path
	c := &Scope{Kind: kind, Label: label.Text, Parent: s, Path: path, Origin: origin, regex: label.regex, prefix: label.prefix}
	s.children = append(s.children, c)
	if s.index == nil {
		s.index = map[childKey]*Scope{}
	}
	s.index[childKey{kind, label.Text}] = c
	return c
}

// Set assigns a value; a later assignment wins.
func (s *Scope) Set(o *Option, v Value, origin Origin) {
	if s.values == nil {
		s.values = map[*Option]*Setting{}
	}
	origin.Stanza = s.Path
	s.values[o] = &Setting{Value: v, Origin: origin}
}

// Get returns what the scope itself sets for o, or nil.
func (s *Scope) Get(o *Option) *Setting {
	if s == nil {
		return nil
	}
	return s.values[o]
}

// Children returns the stanzas in s, in the order of the file. Not to be changed.
func (s *Scope) Children() []*Scope { return s.children }

// Settings returns the options set in s with their values, in the order of the table.
func (s *Scope) Settings() []*Option {
	out := make([]*Option, 0, len(s.values))
	for o := range s.values { // the order is made below
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *Option) int { return a.index - b.index })
	return out
}

// InGroup reports whether s is in a binding_group, at any depth.
func (s *Scope) InGroup() bool {
	for p := s; p != nil; p = p.Parent {
		if p.Kind == ScopeGroup {
			return true
		}
	}
	return false
}

// matcher finds the stanzas of one container that match a name or an address.
type matcher struct {
	exact    map[string]*Scope
	regexes  []*Scope                // in the order of the file
	address  map[netip.Prefix]*Scope // by masked block; an address is a block of full length
	lengths4 []int                   // block lengths that occur, longest first
	lengths6 []int
}

func (m *matcher) add(c *Scope) {
	switch {
	case c.regex != nil:
		m.regexes = append(m.regexes, c)
	case c.prefix.IsValid():
		if m.address == nil {
			m.address = map[netip.Prefix]*Scope{}
		}
		m.address[c.prefix] = c
		lengths := &m.lengths6
		if c.prefix.Addr().Is4() {
			lengths = &m.lengths4
		}
		if !slices.Contains(*lengths, c.prefix.Bits()) {
			*lengths = append(*lengths, c.prefix.Bits())
			slices.SortFunc(*lengths, func(a, b int) int { return b - a })
		}
	default:
		if m.exact == nil {
			m.exact = map[string]*Scope{}
		}
		m.exact[c.Label] = c
	}
}

// name appends the stanzas that match name: the exact one, then regular expressions
// in the order of the file.
func (m *matcher) name(dst []*Scope, name string) []*Scope {
	if c := m.exact[name]; c != nil {
		dst = append(dst, c)
	}
	for _, c := range m.regexes {
		if c.regex.match(name) {
			dst = append(dst, c)
		}
	}
	return dst
}

// addr appends the stanzas whose block holds a, the longest first.
func (m *matcher) addr(dst []*Scope, a netip.Addr) []*Scope {
	a = a.Unmap().WithZone("")
	lengths := m.lengths6
	if a.Is4() {
		lengths = m.lengths4
	}
	for _, n := range lengths {
		if p, err := a.Prefix(n); err == nil {
			if c := m.address[p]; c != nil {
				dst = append(dst, c)
			}
		}
	}
	return dst
}

// seal numbers the tree and builds the matchers.
func (s *Scope) seal(next *uint32) {
	s.id = *next
	*next++
	s.domains, s.hosts = matcher{}, matcher{}
	for _, c := range s.children {
		c.seal(next)
		switch c.Kind {
		case ScopeDomain:
			s.domains.add(c)
		case ScopeHost:
			s.hosts.add(c)
		}
	}
}

type childKey struct {
	kind  ScopeKind
	label string
}

// isRegex reports whether a label has the form "/RE/".
func isRegex(label string) bool {
	return len(label) >= 2 && strings.HasPrefix(label, "/") && strings.HasSuffix(label, "/")
}
