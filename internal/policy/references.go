package policy

import (
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// references checks that every binding and group that is named exists.
func (b *builder) references() {
	b.eachScope(b.root, func(c *Scope) {
		for _, o := range c.Settings() {
			v := c.Get(o)
			switch {
			case o.Name == "mx_rollup":
				b.rollup(v)
			case o.Type == TypeBinding && o.Name == "binding":
				if b.s.Bindings[v.Str] == nil {
					b.errorf(v.Origin, "no binding %q%s", v.Str, b.near(v.Str, true, false))
				}
			case o.Type == TypeBinding && o.Name == "binding_group":
				if b.s.Groups[v.Str] == nil {
					b.errorf(v.Origin, "no binding_group %q%s", v.Str, b.near(v.Str, false, true))
				}
			case o.Type == TypeBinding || o.Type == TypeBindings:
				for _, n := range append(v.List, v.Str) {
					if n != "" && b.s.Bindings[n] == nil && b.s.Groups[n] == nil {
						b.errorf(v.Origin, "no binding or binding_group %q%s", n, b.near(n, true, true))
					}
				}
			}
		}
	})
}

// rollup checks what mx_rollup names: off, auto, a Rollup, or what can be a domain.
func (b *builder) rollup(v *Setting) {
	if strings.EqualFold(v.Str, "off") || strings.EqualFold(v.Str, "auto") {
		return
	}
	name, err := mail.CanonicalDomain(v.Str)
	if err == nil && b.root.index[childKey{ScopeRollup, name}] != nil {
		return
	}
	var names []string
	for _, c := range b.root.children {
		if c.Kind == ScopeRollup {
			names = append(names, c.Label)
		}
	}
	near := suggest(v.Str, names)
	switch domain := err == nil && strings.Contains(name, ".") && !strings.HasSuffix(name, ".rollup"); {
	case domain && near != "":
		b.warnf(v.Origin, "mx_rollup = %s: taken as a domain, because there is no Rollup of that name%s", v.Str, near)
		return
	case domain:
		return
	}
	b.errorf(v.Origin, "mx_rollup = %s: no Rollup of that name, and not a domain; allowed: off, auto, the name of a Rollup, a domain%s", v.Str, near)
}

// near suggests a declared name; when much is wrong already it does not.
func (b *builder) near(name string, bindings, groups bool) string {
	if len(b.findings) > 100 {
		return ""
	}
	return suggest(name, b.names(bindings, groups))
}

func (b *builder) eachScope(c *Scope, f func(*Scope)) {
	f(c)
	for _, child := range c.children {
		b.eachScope(child, f)
	}
}

// names lists declared bindings, groups, or both, in the order of the file.
func (b *builder) names(bindings, groups bool) []string {
	var out []string
	b.eachScope(b.root, func(c *Scope) {
		if (bindings && c.Kind == ScopeBinding) || (groups && c.Kind == ScopeGroup) {
			out = append(out, c.Label)
		}
	})
	if bindings {
		out = append(out, "default")
	}
	return out
}

// sourceOf returns the addresses of a binding that are set.
func sourceOf(n *Binding) []netip.Addr {
	var out []netip.Addr
	for _, a := range [...]netip.Addr{n.Bind4, n.Bind6} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}
