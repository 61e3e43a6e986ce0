package policy

import (
	"slices"
	"strings"
	"time"
)

const (
	inG  = ScopeSet(1 << ScopeGlobal)
	inBG = ScopeSet(1 << ScopeGroup)
	inB  = ScopeSet(1 << ScopeBinding)
	inD  = ScopeSet(1 << ScopeDomain)
	inH  = ScopeSet(1 << ScopeHost)

	inDelivery = inG | inBG | inB | inD
	inTree     = inDelivery | inH
	inListen   = ScopeSet(1<<ScopeESMTP | 1<<ScopeHTTP | 1<<ScopeControl)
)

var (
	table  []*Option
	byName map[nameKey]*Option
)

type nameKey struct {
	kind ScopeKind
	name string
}

func init() {
	buildTable()
	bindOptions()
}

// buildTable joins the parts of the table, fills in what follows from other fields,
// and indexes it. A wrong entry is a mistake of the program and panics at start.
func buildTable() {
	byName = map[nameKey]*Option{}
	for _, part := range [][]Option{limitOptions, deliveryOptions, reportOptions, globalOptions, stanzaOptions} {
		for i := range part {
			o := &part[i]
			o.index = len(table)
			table = append(table, o)
			finish(o)
			for k := range numScopes {
				if !o.Scopes.Has(k) {
					continue
				}
				for _, n := range append([]string{o.Name}, o.Aliases...) {
					key := nameKey{k, Fold(n)}
					if byName[key] != nil {
						panic("option table: " + n + " is there twice in " + k.String())
					}
					byName[key] = o
				}
			}
		}
	}
}

func finish(o *Option) {
	if o.Chain == nil {
		o.Chain = defaultChain(o.Scopes)
	}
	if o.HostChain == nil && o.Scopes.Has(ScopeHost) {
		o.HostChain = hostChain
	}
	o.def, o.hosts = o.mustParse(o.Default), o.mustParse(o.Default)
	if o.Hosts != "" {
		o.hosts = o.mustParse(o.Hosts)
	}
}

func defaultChain(s ScopeSet) Chain {
	if s&inTree == inB {
		return ownChain
	}
	return domainChain.within(s)
}

// mustParse reads a default: a text, or words in ( ).
func (o *Option) mustParse(text string) Value {
	if text == "" {
		return Value{}
	}
	raw := Raw{Text: text}
	if inner, ok := strings.CutPrefix(text, "("); ok {
		raw = Raw{IsList: true, List: strings.Fields(strings.TrimSuffix(inner, ")"))}
	}
	v, err := o.Parse(o.Name, raw)
	if err != nil {
		panic("option table: default of " + o.Name + ": " + err.Error())
	}
	return v
}

// Options returns the whole table, in the order of the reference. Not to be changed.
func Options() []*Option { return table }

// Lookup finds the option that name (canonical or an alias) means in a scope of the
// kind, or nil.
func Lookup(kind ScopeKind, name string) *Option { return byName[nameKey{kind, Fold(name)}] }

// LookupTree finds an option of the five scopes that values fall through, or nil.
func LookupTree(name string) *Option {
	for k := ScopeGlobal; k <= ScopeHost; k++ {
		if o := Lookup(k, name); o != nil {
			return o
		}
	}
	return nil
}

// Elsewhere returns the options that name means in other scopes.
func Elsewhere(name string) []*Option {
	var out []*Option
	for k := range numScopes {
		if o := Lookup(k, name); o != nil && !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out
}

// NamesIn returns the canonical names and aliases valid in a scope of the kind.
func NamesIn(kind ScopeKind) []string {
	var out []string
	for _, o := range table {
		if o.Scopes.Has(kind) {
			out = append(append(out, o.Name), o.Aliases...)
		}
	}
	return out
}

// must finds an option that the program itself asks for.
func must(kind ScopeKind, name string) *Option {
	o := Lookup(kind, name)
	if o == nil {
		panic("option table: no " + name + " in " + kind.String())
	}
	return o
}

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	day    = 24 * hour
)

// IsLimit reports whether o belongs to the limits, throttles and the life of a
// connection.
func IsLimit(o *Option) bool {
	return o.index < len(limitOptions)
}
