package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Reference writes the manual's page of all options and stanzas (Markdown).
func Reference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	sections := []struct {
		title string
		in    func(o *policy.Option) bool
	}{
		{"Connection limits, throttles, life of a connection", func(o *policy.Option) bool { return falls(o) && isLimit(o) }},
		{"Delivery", func(o *policy.Option) bool { return falls(o) && !isLimit(o) && !globalOnly(o) }},
		{"The server", globalOnly},
	}
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		optionTable(&b, s.in)
	}
	b.WriteString(stanzasHead)
	for i := range policy.Stanzas {
		stanzaSection(&b, &policy.Stanzas[i])
	}
	b.WriteString("\n## How each value is found\n\nThe most specific level that sets the option wins.\n\n| chain | options |\n| --- | --- |\n")
	chains(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

const referenceHead = `# Options

<!-- Made by "sluice config reference --markdown" from the option table. Do not edit. -->

Every option of ` + "`sluice.conf`" + `, from the table in the program itself. How the language works: [configuration.md](configuration.md).

Scopes: G global, BG binding_group, B binding, D domain, H host. Names are written in any case, with ` + "`-` or `_`" + `; an alias is accepted
wherever its option is. Durations are seconds, or ` + "`90s`, `20m`, `1h30m`, `5d`" + `; sizes are octets, or ` + "`20KB`, `35MB`" + ` (K is 1024); booleans are
` + "`on`/`off`, `true`/`false`, `yes`/`no`, `enabled`/`disabled`, `1`/`0`" + `. Rates are ` + "`N` (a second), `N/T` (T seconds), `N/unit` or `N/Tunit`" + ` with the units
s, sec, m, min, h, hr, d, day, and ` + "`,burst=B`" + ` behind; ` + "`0` and `unlimited`" + ` are none. Secrets are the text itself, ` + "`file:PATH`, `env:NAME`, `credential:NAME`" + `,
or a bcrypt or argon2id hash. **By reference** marks options whose counter belongs to the stanza that
sets it: all that falls back to the stanza shares it. *Later* marks what an option does not do yet.
`

const stanzasHead = `
## Stanzas

The stanzas ` + "`Binding_Group`, `Binding`, `Domain` and `Host`" + ` take the options above whose scopes name them. The others have options of their own.
`

func falls(o *policy.Option) bool {
	return o.Scopes.Has(policy.ScopeGlobal) || o.Scopes.Has(policy.ScopeBinding)
}

func isLimit(o *policy.Option) bool {
	return policy.IsLimit(o) && falls(o)
}

func globalOnly(o *policy.Option) bool {
	return o.Scopes == policy.Scopes(policy.ScopeGlobal) && !policy.IsLimit(o)
}

func optionTable(b *strings.Builder, in func(*policy.Option) bool) {
	b.WriteString("| option (aliases) | values | default | scopes | |\n| --- | --- | --- | --- | --- |\n")
	for _, o := range policy.Options() {
		if !in(o) {
			continue
		}
		name := "`" + o.Name + "`"
		if len(o.Aliases) > 0 {
			name += " (`" + strings.Join(o.Aliases, "`, `") + "`)"
		}
		def := "unset"
		if o.Default != "" {
			def = "`" + o.Default + "`"
		}
		if o.Hosts != "" {
			def += "; host: `" + o.Hosts + "`"
		}
		doc := o.Doc
		if o.ByReference {
			doc += " **By reference.**"
		}
		if o.Later != "" {
			doc += " *Later: " + o.Later + ".*"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", name, cell(values(o)), cell(def), letters(o.Scopes), cell(doc))
	}
}

// values is Allowed, shorter where the head of the page explains the type.
func values(o *policy.Option) string {
	switch o.Type {
	case policy.TypeBool:
		return "on, off"
	case policy.TypeRate:
		return "rate"
	case policy.TypeDuration:
		return "duration" + strings.TrimPrefix(o.Allowed(), "seconds, or 90s, 20m, 1h30m, 5d")
	case policy.TypeSize:
		return "size" + strings.TrimPrefix(o.Allowed(), "octets, or 20KB, 35MB, 1GB")
	case policy.TypeSecret:
		return "secret"
	}
	return o.Allowed()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func letters(s policy.ScopeSet) string {
	var out []string
	for _, e := range []struct {
		kind   policy.ScopeKind
		letter string
	}{{policy.ScopeGlobal, "G"}, {policy.ScopeGroup, "BG"}, {policy.ScopeBinding, "B"}, {policy.ScopeDomain, "D"}, {policy.ScopeHost, "H"}} {
		if s.Has(e.kind) {
			out = append(out, e.letter)
		}
	}
	return strings.Join(out, " ")
}

func stanzaSection(b *strings.Builder, st *policy.Stanza) {
	label := ""
	if st.Labelled {
		label = ` "NAME"`
	}
	fmt.Fprintf(b, "\n### `%s%s { }`\n\n%s In: %s.\n", st.Name, label, st.Doc, strings.Join(st.In.Names(), ", "))
	if st.Later != "" {
		fmt.Fprintf(b, "*Later: %s.*\n", st.Later)
	}
	if st.Listen || st.Kind <= policy.ScopeHost {
		return
	}
	b.WriteString("\n| option | values | default | |\n| --- | --- | --- | --- |\n")
	for _, o := range policy.Options() {
		if !o.Scopes.Has(st.Kind) {
			continue
		}
		def := "unset"
		if o.Default != "" {
			def = "`" + o.Default + "`"
		}
		doc := o.Doc
		if o.Later != "" {
			doc += " *Later: " + o.Later + ".*"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", o.Name, cell(values(o)), def, cell(doc))
	}
}

// chains lists each chain once, with the options that are found by it.
func chains(b *strings.Builder) {
	var order []string
	by := map[string][]string{}
	add := func(c policy.Chain, name string) {
		s := c.String()
		if by[s] == nil {
			order = append(order, s)
		}
		by[s] = append(by[s], "`"+name+"`")
	}
	for _, o := range policy.Options() {
		if !falls(o) || len(o.Chain) == 0 {
			continue
		}
		add(o.Chain, o.Name)
		if o.HostChain != nil {
			add(o.HostChain, o.Name)
		}
	}
	for _, c := range order {
		names := strings.Join(by[c], ", ")
		if len(by[c]) > 24 {
			names = "all others"
		}
		fmt.Fprintf(b, "| %s | %s |\n", c, names)
	}
}

// ReferenceView is one option as JSON. Fields may be added, never renamed.
type ReferenceView struct {
	Name        string   `json:"name"`
	Aliases     []string `json:"aliases"`
	Type        string   `json:"type"`
	Unit        string   `json:"unit,omitempty"`
	Values      string   `json:"values"`
	Choices     []string `json:"choices,omitempty"`
	Default     *string  `json:"default"`
	HostDefault string   `json:"host_default,omitempty"`
	Scopes      []string `json:"scopes"`
	Chain       []string `json:"chain"`
	HostChain   []string `json:"host_chain"`
	ByReference bool     `json:"by_reference"`
	Doc         string   `json:"doc"`
	Later       string   `json:"later,omitempty"`
}

// ReferenceJSON returns the option table.
func ReferenceJSON() []ReferenceView {
	var out []ReferenceView
	for _, o := range policy.Options() {
		v := ReferenceView{
			Name: o.Name, Aliases: append([]string{}, o.Aliases...), Type: o.Type.String(), Unit: o.Unit, Values: o.Allowed(), Choices: o.Enum,
			HostDefault: o.Hosts, Scopes: o.Scopes.Names(), Chain: chainNames(o.Chain), HostChain: chainNames(o.HostChain),
			ByReference: o.ByReference, Doc: o.Doc, Later: o.Later,
		}
		if o.Default != "" {
			v.Default = &o.Default
		}
		out = append(out, v)
	}
	return out
}

func chainNames(c policy.Chain) []string {
	out := []string{}
	for _, l := range c {
		out = append(out, l.String())
	}
	return out
}
