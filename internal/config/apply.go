package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// origin is where a token stands.
func origin(file string, t token) policy.Origin {
	return policy.Origin{File: file, Line: t.line, Column: t.col}
}

// stanza opens a stanza in a scope and reads its items into it. What is in a stanza
// that cannot stand here is still checked.
func (r *run) stanza(file string, it *item, into *policy.Scope) {
	st := policy.LookupStanza(it.name.text)
	if st == nil {
		if st = r.unknownStanza(file, it, into); st != nil {
			r.aside(file, it, st, into)
		}
		return
	}
	if !st.In.Has(into.Kind) || (st.Listen && into.Parent != nil && into.Parent.Kind == into.Kind) {
		r.errorAt(file, it.name, "%s is not valid in %s; it is valid in %s", st.Name, where(into), strings.Join(st.In.Names(), ", "))
		r.aside(file, it, st, into)
		return
	}
	label, ok := r.label(file, it, st, into)
	if !ok {
		r.aside(file, it, st, into)
		return
	}
	r.items(file, it.items, into.Open(kindIn(st, into), label, origin(file, it.name)))
}

// kindIn is the kind of the scope that a stanza opens.
func kindIn(st *policy.Stanza, into *policy.Scope) policy.ScopeKind {
	if st.Listen {
		return into.Kind
	}
	return st.Kind
}

// aside checks the items of a stanza that is not part of the configuration.
func (r *run) aside(file string, it *item, st *policy.Stanza, into *policy.Scope) {
	if st.Listen && !st.In.Has(into.Kind) {
		return
	}
	label := policy.Label{Text: it.name.text}
	if it.label != nil {
		label.Text = it.label.text
	}
	r.items(file, it.items, policy.NewRoot().Open(kindIn(st, into), label, origin(file, it.name)))
}

// where names a scope in a sentence.
func where(s *policy.Scope) string {
	if s.Kind == policy.ScopeGlobal {
		return "global"
	}
	return s.Path
}

// unknownStanza reports an unknown name and returns the stanza that it most likely
// means, or nil.
func (r *run) unknownStanza(file string, it *item, into *policy.Scope) *policy.Stanza {
	if r.full() {
		return nil
	}
	if o := policy.Lookup(into.Kind, it.name.text); o != nil {
		r.errorAt(file, it.name, "%s is an option, not a stanza: %s = VALUE", o.Name, o.Name)
		return nil
	}
	var names []string
	for _, st := range policy.Stanzas {
		if st.In.Has(into.Kind) {
			names = append(names, st.Name)
		}
	}
	allowed := "no stanza is allowed here"
	if len(names) > 0 {
		allowed = "allowed here: " + strings.Join(names, ", ")
	}
	r.errorAt(file, it.name, "unknown stanza %q in %s; %s%s", it.name.text, where(into), allowed, didYouMean(it.name.text, allStanzas()))
	return policy.LookupStanza(policy.Suggest(it.name.text, allStanzas()))
}

func allStanzas() []string {
	var out []string
	for _, st := range policy.Stanzas {
		out = append(out, st.Name)
	}
	return out
}

func didYouMean(name string, names []string) string {
	if n := policy.Suggest(name, names); n != "" {
		return " (did you mean " + n + "?)"
	}
	return ""
}

func (r *run) label(file string, it *item, st *policy.Stanza, into *policy.Scope) (policy.Label, bool) {
	if !st.Labelled {
		if it.label != nil {
			r.errorAt(file, *it.label, "%s takes no label, found %s: write %s { ... }", st.Name, it.label.describe(), st.Name)
			return policy.Label{}, false
		}
		return policy.Label{}, true
	}
	if it.label == nil {
		r.errorAt(file, it.name, "%s needs a label: %s \"NAME\" { ... }", st.Name, st.Name)
		return policy.Label{}, false
	}
	if st.Listen {
		address, err := r.listenAddress(it.label.text, into.Kind)
		if err != nil {
			r.errorAt(file, *it.label, "%s: %v", st.Name, err)
			return policy.Label{}, false
		}
		return policy.Label{Text: address}, true
	}
	label, err := policy.ParseLabel(st.Kind, it.label.text)
	if err != nil && !it.label.bad {
		r.errorAt(file, *it.label, "%s %s: %v", st.Name, it.label.describe(), err)
	}
	return label, err == nil
}

// listenAddress checks HOST:PORT or unix:PATH; a relative path is made one below the
// configuration's directory.
func (r *run) listenAddress(s string, kind policy.ScopeKind) (string, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return "", fmt.Errorf("%q: the path is missing; allowed: HOST:PORT or unix:PATH", s)
		}
		if kind == policy.ScopeESMTP {
			return "", fmt.Errorf("%q: mail by SMTP is taken at HOST:PORT only", s)
		}
		return "unix:" + r.path(path), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not an address; allowed: HOST:PORT ([HOST]:PORT for IPv6) or unix:PATH", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q: the port must be from 0 to 65535", s)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	if host == "*" {
		host = ""
	}
	if strings.ContainsAny(host, " /") {
		return "", fmt.Errorf("%q: %q is not a host", s, host)
	}
	return net.JoinHostPort(host, port), nil
}

// path makes a path absolute or relative to the working directory, from one relative
// to the main file.
func (r *run) path(p string) string {
	if filepath.IsAbs(p) || r.main == "" {
		return p
	}
	return filepath.Join(filepath.Dir(r.main), p)
}

// option checks one assignment and sets it.
func (r *run) option(file string, it *item, into *policy.Scope) {
	o := policy.Lookup(into.Kind, it.name.text)
	if o == nil {
		r.unknownOption(file, it, into)
		return
	}
	raw, ok := r.raw(file, it.value, o)
	if !ok {
		return
	}
	v, err := o.Parse(it.name.text, raw)
	if err != nil {
		r.errorAt(file, it.value.tok, "%s: %v", o.Name, err)
		return
	}
	at := origin(file, it.name)
	switch o.Type {
	case policy.TypePath:
		v.Str = r.path(v.Str)
	case policy.TypeSecret:
		if v.Str, err = r.secret(v.Str); err != nil {
			r.add(Diagnostic{File: file, Line: it.value.tok.line, Column: it.value.tok.col, Text: fmt.Sprintf("%s: %v", o.Name, err), Warning: r.forgive(err)})
		} else if err := checkHash(v.Str); err != nil {
			r.errorAt(file, it.value.tok, "%s: %v", o.Name, err)
		}
	}
	into.Set(o, v, at)
}

// raw flattens a value as written.
func (r *run) raw(file string, v *value, o *policy.Option) (policy.Raw, bool) {
	switch {
	case v.dict:
		r.errorAt(file, v.tok, "%s takes no [ ... ] group; allowed: %s", o.Name, o.Allowed())
		return policy.Raw{}, false
	case v.list == nil:
		return policy.Raw{Text: v.tok.text}, !v.tok.bad
	}
	raw := policy.Raw{IsList: true, List: make([]string, 0, len(v.list))}
	for _, e := range v.list {
		if e.list != nil || e.dict {
			r.errorAt(file, e.tok, "%s takes no list in a list; allowed: %s", o.Name, o.Allowed())
			return policy.Raw{}, false
		}
		if e.tok.bad {
			return policy.Raw{}, false
		}
		raw.List = append(raw.List, e.tok.text)
	}
	return raw, true
}

func (r *run) unknownOption(file string, it *item, into *policy.Scope) {
	name := it.name.text
	if r.full() {
		return
	}
	if st := policy.LookupStanza(name); st != nil && st.In.Has(into.Kind) {
		r.errorAt(file, it.name, "%s is a stanza, not an option: %s { ... }", st.Name, st.Name)
		return
	}
	if o := policy.LookupTree(name); o != nil && o.NotInGroup && into.Kind == policy.ScopeGroup {
		r.errorAt(file, it.name, "%s", o.GroupRule())
		return
	}
	if other := policy.Elsewhere(name); len(other) > 0 {
		var scopes policy.ScopeSet
		for _, o := range other {
			scopes |= o.Scopes
		}
		r.errorAt(file, it.name, "option %q is not valid in %s; it is valid in %s", name, where(into), strings.Join(scopes.Names(), ", "))
		return
	}
	near := didYouMean(name, policy.NamesIn(into.Kind))
	if near == "" {
		near = didYouMean(name, allOptions())
	}
	r.errorAt(file, it.name, "unknown option %q in %s; `sluice config reference` lists what is allowed%s", name, where(into), near)
}

func allOptions() []string {
	var out []string
	for _, o := range policy.Options() {
		out = append(append(out, o.Name), o.Aliases...)
	}
	return out
}
