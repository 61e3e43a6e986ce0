package policy

import (
	"fmt"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Question asks for the effective value of an option. Empty names are not part of it.
type Question struct {
	Group   string
	Binding string
	Domain  string // canonical
	Host    string // canonical name, or an address
	Option  *Option
}

// Answer is the effective value of an option, where it comes from, and what was asked.
type Answer struct {
	Option *Option
	Value  Value
	IsSet  bool   // false: neither set nor has the option a default
	Level  string // the level of the chain that set it; "default"; empty when not set
	Origin Origin // zero: the built-in default
	Asked  []Asked
}

// Asked is one rung that was asked, and how it answered.
type Asked struct {
	Level  string
	Stanza string // of the stanzas that match, the one asked; empty when none matches
	Origin Origin
	Set    bool
}

// String is the line that `config eval` prints.
func (a Answer) String() string {
	if !a.IsSet {
		return a.Option.Title() + " is not set"
	}
	return a.Option.Title() + " = " + a.Value.Text
}

// anyName is a question for "host" without a name, about a name that no stanza speaks of
// but by a regular expression.
func anyName(args []string) []string {
	st := LookupStanza(args[0])
	if st == nil || st.Listen || st.Kind != ScopeHost {
		return args
	}
	return []string{args[0], "name.invalid", args[1]}
}

// ParseQuestion reads [SCOPE NAME]... OPTION; host alone before the option stands for any
// host. A binding implies its group; a binding
// or group that does not exist is an error.
func (s *Snapshot) ParseQuestion(args []string) (Question, error) {
	var q Question
	if len(args) == 0 {
		return q, fmt.Errorf("no option given; usage: [binding_group NAME] [binding NAME] [domain NAME] [host NAME] OPTION")
	}
	if len(args) == 2 && LookupTree(args[1]) != nil {
		args = anyName(args)
	}
	for len(args) > 1 {
		if err := s.scopeOfQuestion(&q, args[0], args[1]); err != nil {
			return q, err
		}
		args = args[2:]
	}
	if len(args) == 0 {
		return q, fmt.Errorf("no option given after the scopes")
	}
	q.Option = LookupTree(args[0])
	if q.Option == nil {
		if len(Elsewhere(args[0])) > 0 {
			return q, fmt.Errorf("%q belongs to a stanza of its own and does not fall through scopes; see config show", args[0])
		}
		return q, fmt.Errorf("unknown option %q%s", args[0], suggest(args[0], treeNames()))
	}
	if q.Host != "" && q.Option.HostChain == nil {
		return q, fmt.Errorf("%s is not asked for a host; it is valid in %s", q.Option.Name, strings.Join((q.Option.Scopes&inTree).Names(), ", "))
	}
	if q.Binding == "" {
		return q, nil
	}
	n := s.Bindings[q.Binding]
	if q.Group != "" && n.Group != q.Group {
		return q, fmt.Errorf("binding %q is in %s, not in binding_group %q", q.Binding, inWords(n.Group), q.Group)
	}
	q.Group = n.Group
	return q, nil
}

func treeNames() []string {
	var out []string
	for _, o := range table {
		if o.Scopes&inTree != 0 {
			out = append(append(out, o.Name), o.Aliases...)
		}
	}
	return out
}

func (s *Snapshot) scopeOfQuestion(q *Question, scope, name string) error {
	st := LookupStanza(scope)
	if st == nil || st.Kind > ScopeHost || st.Listen {
		return fmt.Errorf("unknown scope %q%s; a question names binding_group, binding, domain or host", scope,
			suggest(scope, []string{"binding_group", "binding", "domain", "host"}))
	}
	label := Label{Text: name}
	var err error
	at := map[ScopeKind]*string{ScopeGroup: &q.Group, ScopeBinding: &q.Binding, ScopeDomain: &q.Domain, ScopeHost: &q.Host}[st.Kind]
	if *at != "" {
		return fmt.Errorf("scope %s is named twice", st.Kind)
	}
	switch st.Kind {
	case ScopeGroup:
		if s.Groups[name] == nil {
			return fmt.Errorf("unknown binding_group %q%s", name, suggest(name, s.scopeNames(ScopeGroup)))
		}
	case ScopeBinding:
		if s.Bindings[name] == nil {
			return fmt.Errorf("unknown binding %q%s", name, suggest(name, s.scopeNames(ScopeBinding)))
		}
	default:
		if isRegex(name) {
			return fmt.Errorf("%q: ask for a name, not for a regular expression", name)
		}
		if label, err = ParseLabel(st.Kind, name); err != nil {
			return fmt.Errorf("%s %q: %w", st.Kind, name, err)
		}
	}
	*at = label.Text
	return nil
}

func (s *Snapshot) scopeNames(kind ScopeKind) []string {
	b := builder{root: s.Root}
	return b.names(kind == ScopeBinding, kind == ScopeGroup)
}

// Eval answers a question.
func (s *Snapshot) Eval(q Question) Answer {
	o := q.Option
	chain, def := o.Chain, o.def
	if q.Host != "" {
		chain, def = o.HostChain, o.hosts
	}
	p := s.questionPath(q)
	a := Answer{Option: o}
	v, at := p.find(o, chain)
	for _, l := range chain {
		if !q.asks(l, s) {
			continue
		}
		a.Asked = append(a.Asked, askedAt(&p, o, l)...)
		if v != nil && l == at {
			break
		}
	}
	switch {
	case v != nil:
		a.Value, a.Origin, a.IsSet, a.Level = v.Value, v.Origin, true, at.String()
	case def.Text != "":
		a.Value, a.IsSet, a.Level = def, true, "default"
	default:
		a.fromServer(s)
	}
	return a
}

// fromServer fills in the defaults that are the server's own names.
func (a *Answer) fromServer(s *Snapshot) {
	switch a.Option.Name {
	case "hostname", "ehlo_hostname":
		a.Value = Value{Text: s.Hostname, Str: s.Hostname}
	case "postmaster":
		a.Value = Value{Text: s.Postmaster, Str: s.Postmaster}
	default:
		return
	}
	a.IsSet, a.Level = true, "default"
}

func askedAt(p *path, o *Option, l Level) []Asked {
	if len(p[l]) == 0 {
		return []Asked{{Level: l.String()}}
	}
	var out []Asked
	for _, c := range p[l] {
		set := c.Get(o)
		e := Asked{Level: l.String(), Stanza: c.Path, Origin: c.Origin, Set: set != nil}
		if set != nil {
			e.Origin = set.Origin
		}
		out = append(out, e)
		if e.Set {
			break
		}
	}
	return out
}

// asks reports whether the question names what the level speaks of.
func (q Question) asks(l Level, s *Snapshot) bool {
	grouped := q.Group != ""
	switch l {
	case GroupBindingDomain:
		return grouped && q.Binding != "" && q.Domain != ""
	case BindingDomain:
		return !grouped && q.Binding != "" && q.Domain != ""
	case GroupDomain:
		return grouped && q.Domain != ""
	case GroupBindingHost:
		return grouped && q.Binding != "" && q.Host != ""
	case GroupHost:
		return grouped && q.Host != ""
	case BindingHost:
		return !grouped && q.Binding != "" && q.Host != ""
	case OneBinding:
		return q.Binding != ""
	case OneGroup:
		return grouped
	case AnyDomain:
		return q.Domain != ""
	case AnyHost:
		return q.Host != ""
	}
	return true
}

// questionPath collects the stanzas that a question falls under.
func (s *Snapshot) questionPath(q Question) path {
	var p path
	p[Global] = []*Scope{s.Root}
	fill := func(c *Scope, self, domain, host Level) {
		if c == nil {
			return
		}
		if self != Global {
			p[self] = []*Scope{c}
		}
		if q.Domain != "" {
			p[domain] = c.domains.name(nil, q.Domain)
		}
		if q.Host == "" {
			return
		}
		if block, ok := blockLabel(q.Host); ok {
			p[host] = c.hosts.addr(nil, block.Addr())
		} else {
			p[host] = c.hosts.name(nil, q.Host)
		}
	}
	fill(s.Root, Global, AnyDomain, AnyHost)
	if q.Group != "" {
		fill(s.groups[q.Group], OneGroup, GroupDomain, GroupHost)
		fill(s.scopes[q.Binding], OneBinding, GroupBindingDomain, GroupBindingHost)
	} else {
		fill(s.scopes[q.Binding], OneBinding, BindingDomain, BindingHost)
	}
	return p
}
