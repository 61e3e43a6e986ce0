package policy

import "strings"

// ShownScope is one stanza of the effective configuration: aliases resolved, includes
// read in, reopened stanzas merged. Fields may be added, never renamed.
type ShownScope struct {
	Stanza  string        `json:"stanza"` // e.g. "binding_group"; "global"
	Label   string        `json:"label,omitempty"`
	File    string        `json:"file,omitempty"`
	Line    int           `json:"line,omitempty"`
	Options []ShownOption `json:"options"`
	Stanzas []ShownScope  `json:"stanzas"`
}

// ShownOption is one value. Secrets in clear are not shown.
type ShownOption struct {
	Name  string `json:"name"`
	Value string `json:"value"` // as it stands in a configuration
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"` // 0: the built-in default
}

// Show returns the effective configuration. With defaults, options of global and of
// stanzas that values do not fall through appear with their built-in value too.
func (s *Snapshot) Show(defaults bool) ShownScope { return s.Root.show(defaults) }

func (s *Scope) show(defaults bool) ShownScope {
	out := ShownScope{
		Stanza: s.Kind.String(), Label: s.Label, File: s.Origin.File, Line: s.Origin.Line,
		Options: []ShownOption{}, Stanzas: []ShownScope{},
	}
	if s.Parent != nil && s.Parent.Kind == s.Kind {
		out.Stanza = "listen"
	}
	for _, o := range table {
		v := s.Get(o)
		switch {
		case v != nil:
			out.Options = append(out.Options, ShownOption{Name: o.Name, Value: v.shown(o), File: v.Origin.File, Line: v.Origin.Line})
		case defaults && o.HasDefault() && o.Scopes.Has(s.Kind) && (s.Kind == ScopeGlobal || s.Kind > ScopeHost):
			out.Options = append(out.Options, ShownOption{Name: o.Name, Value: o.def.shown(o)})
		}
	}
	for _, c := range s.children {
		out.Stanzas = append(out.Stanzas, c.show(defaults))
	}
	return out
}

// shown is the value as it would stand in a configuration.
func (v Value) shown(o *Option) string {
	switch {
	case o.Type == TypeSecret && !IsReference(v.Text):
		return `"***"`
	case v.IsList:
		return v.Text
	}
	return Quote(v.Text)
}

// String writes the configuration in its own language, each value with its place.
func (s ShownScope) String() string {
	var b strings.Builder
	s.write(&b, "")
	return b.String()
}

func (s ShownScope) write(b *strings.Builder, indent string) {
	width := 0
	for _, o := range s.Options {
		width = max(width, len(o.Name)+len(o.Value))
	}
	for _, o := range s.Options {
		place := "default"
		if o.Line > 0 {
			place = o.File + ":" + itoa(o.Line)
		}
		pad := strings.Repeat(" ", min(max(width-len(o.Name)-len(o.Value), 0), 40))
		b.WriteString(indent + o.Name + " = " + o.Value + pad + "  # " + place + "\n")
	}
	for i, c := range s.Stanzas {
		if i > 0 || len(s.Options) > 0 {
			b.WriteString("\n")
		}
		name := c.Stanza
		if st := LookupStanza(c.Stanza); st != nil {
			name = st.Name
		}
		b.WriteString(indent + name)
		if c.Label != "" {
			b.WriteString(" " + quoteLabel(c.Label))
		}
		if len(c.Options) == 0 && len(c.Stanzas) == 0 {
			b.WriteString(" { }\n")
			continue
		}
		b.WriteString(" {\n")
		c.write(b, indent+"  ")
		b.WriteString(indent + "}\n")
	}
}

// quoteLabel writes a label in quotes; a backslash that stands for itself stays single,
// so that regular expressions read as they were written.
func quoteLabel(s string) string {
	if strings.HasSuffix(s, `\`) || strings.Contains(s, `\\`) || strings.Contains(s, `"`) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return `"` + s + `"`
}
