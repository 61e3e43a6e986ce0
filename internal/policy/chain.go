package policy

import "strings"

// Level is one rung of the ladder on which a value is looked for.
type Level uint8

const (
	GroupBindingDomain Level = iota // domain in a binding that is in a group
	BindingDomain                   // domain in a binding that is in none
	GroupDomain
	GroupBindingHost
	GroupHost
	BindingHost
	OneBinding
	OneGroup
	AnyDomain // domain in global
	AnyHost   // host in global
	Global
	numLevels
)

var levelNames = [numLevels]string{
	"binding_group::binding::domain", "binding::domain", "binding_group::domain",
	"binding_group::binding::host", "binding_group::host", "binding::host",
	"binding", "binding_group", "domain", "host", "global",
}

func (l Level) String() string { return levelNames[l] }

// Chain is the order in which levels are asked, most specific first; the built-in
// default comes after the last.
type Chain []Level

// String joins the levels with " > ".
func (c Chain) String() string {
	names := make([]string, len(c), len(c)+1)
	for i, l := range c {
		names[i] = l.String()
	}
	return strings.Join(append(names, "default"), " > ")
}

var (
	// domainChain is the general one: a domain in a group beats the binding's own value,
	// and both beat a domain in global.
	domainChain = Chain{GroupBindingDomain, BindingDomain, GroupDomain, OneBinding, OneGroup, AnyDomain, Global}
	hostChain   = Chain{GroupBindingHost, GroupHost, BindingHost, AnyHost}
	ownChain    = Chain{OneBinding}

	// clusterChain is that of cluster_max_outbound_connections, which groups cannot set.
	clusterChain     = Chain{BindingDomain, OneBinding, AnyDomain, Global}
	clusterHostChain = Chain{BindingHost, AnyHost, BindingDomain, OneBinding, AnyDomain, Global}
)

// kindOf says which kind of scope sets a value at the level.
func (l Level) kindOf() ScopeKind {
	switch l {
	case GroupBindingDomain, BindingDomain, GroupDomain, AnyDomain:
		return ScopeDomain
	case GroupBindingHost, GroupHost, BindingHost, AnyHost:
		return ScopeHost
	case OneBinding:
		return ScopeBinding
	case OneGroup:
		return ScopeGroup
	}
	return ScopeGlobal
}

// within returns the chain without the levels whose scopes are not in the set.
func (c Chain) within(s ScopeSet) Chain {
	var out Chain
	for _, l := range c {
		if s.Has(l.kindOf()) {
			out = append(out, l)
		}
	}
	return out
}

// path is the stanzas that match a question, by level, most specific first.
type path [numLevels][]*Scope

// find returns the first setting of o along the chain and its level, or nil.
func (p *path) find(o *Option, c Chain) (*Setting, Level) {
	for _, l := range c {
		for _, s := range p[l] {
			if v := s.Get(o); v != nil {
				return v, l
			}
		}
	}
	return nil, 0
}

// at returns the first setting of o at one level, or nil.
func (p *path) at(o *Option, l Level) *Setting {
	for _, s := range p[l] {
		if v := s.Get(o); v != nil {
			return v
		}
	}
	return nil
}

// Suggest returns the name nearest to s, or "" when none is near.
func Suggest(s string, names []string) string {
	s = Fold(s)
	best, bestAt := "", len(s)/3+2
	if len(s) < 3 {
		bestAt = 2
	}
	if len(s) > 64 {
		return ""
	}
	for _, n := range names {
		if len(n)-len(s) >= bestAt || len(s)-len(n) >= bestAt {
			continue
		}
		if d := distance(s, Fold(n)); d < bestAt {
			best, bestAt = n, d
		}
	}
	return best
}

func suggest(s string, names []string) string {
	if n := Suggest(s, names); n != "" {
		return " (did you mean " + n + "?)"
	}
	return ""
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
