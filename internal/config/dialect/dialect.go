package dialect

import (
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Note says what of a configuration has no counterpart, or means something else here.
type Note struct {
	Line, Column int // in the configuration that was read; from 1
	Text         string
}

// Result is a configuration that was carried over.
type Result struct {
	Text  string // in the language of sluice.conf, in its canonical form
	Notes []Note // in the order of the configuration that was read
}

// Setting is one option that was carried over.
type Setting struct {
	Name    string // canonical, or an alias
	Value   policy.Raw
	Comment string // put behind the value; empty: none
}

// Domain is the settings that hold for a domain, or for those that a pattern /RE/ matches.
type Domain struct {
	Label    string
	Settings []Setting
}

// Writer collects what was carried over. The zero Writer is ready.
type Writer struct {
	global  []Setting
	domains []*Domain
	byLabel map[string]*Domain
	notes   []Note
}

// Note adds a note.
func (w *Writer) Note(line, column int, format string, args ...any) {
	w.notes = append(w.notes, Note{line, column, fmt.Sprintf(format, args...)})
}

// Set carries an option over: for a domain, or, with an empty label, for all. A value that
// the option does not take is an error that says what it takes.
func (w *Writer) Set(domain string, s Setting) error {
	kind := policy.ScopeGlobal
	if domain != "" {
		kind = policy.ScopeDomain
	}
	o := policy.Lookup(kind, s.Name)
	if o == nil {
		return fmt.Errorf("%s cannot be set in %s", s.Name, kind)
	}
	if _, err := o.Parse(s.Name, s.Value); err != nil {
		return err
	}
	if domain == "" {
		w.global = put(w.global, s)
		return nil
	}
	d := w.byLabel[domain]
	if d == nil {
		if w.byLabel == nil {
			w.byLabel = map[string]*Domain{}
		}
		d = &Domain{Label: domain}
		w.byLabel[domain] = d
		w.domains = append(w.domains, d)
	}
	d.Settings = put(d.Settings, s)
	return nil
}

// put adds a setting; one of the same option gives way to it.
func put(list []Setting, s Setting) []Setting {
	for i := range list {
		if list[i].Name == s.Name {
			list[i] = s
			return list
		}
	}
	return append(list, s)
}

// Result writes everything. from names the dialect and the file that was read.
func (w *Writer) Result(from string) Result {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made from %s by `sluice import`.\n", oneLine(from))
	if len(w.notes) > 0 {
		b.WriteString("# Not carried over, or not the same:\n")
	}
	for _, n := range w.notes {
		fmt.Fprintf(&b, "#   line %d: %s\n", n.Line, oneLine(n.Text))
	}
	if len(w.global) > 0 {
		b.WriteByte('\n')
	}
	settings(&b, "", w.global)
	for _, d := range w.domains {
		fmt.Fprintf(&b, "\nDomain %s {\n", quoted(d.Label))
		settings(&b, "  ", d.Settings)
		b.WriteString("}\n")
	}
	return Result{Text: b.String(), Notes: w.notes}
}

func settings(b *strings.Builder, indent string, list []Setting) {
	for _, s := range list {
		fmt.Fprintf(b, "%s%s = %s", indent, s.Name, valueText(s.Value))
		if s.Comment != "" {
			fmt.Fprintf(b, " # %s", oneLine(s.Comment))
		}
		b.WriteByte('\n')
	}
}

func valueText(v policy.Raw) string {
	if v.IsList {
		return v.String()
	}
	return policy.Quote(v.Text)
}

// quoted writes a label: a backslash stands for itself, but before a quote or another one.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' && (i+1 == len(s) || s[i+1] == '"' || s[i+1] == '\\') {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// oneLine keeps what was read from breaking out of a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
