package policy

import (
	"fmt"
	"strings"
)

// AnswerView is an Answer as JSON. Fields may be added, never renamed.
type AnswerView struct {
	Option string      `json:"option"`
	Name   string      `json:"name"`
	Value  *string     `json:"value"` // null: not set
	Level  string      `json:"level,omitempty"`
	Stanza string      `json:"stanza,omitempty"`
	File   string      `json:"file,omitempty"`
	Line   int         `json:"line,omitempty"`
	Column int         `json:"column,omitempty"`
	Asked  []AskedView `json:"asked"`
}

// AskedView is one rung of the chain that was asked.
type AskedView struct {
	Level  string `json:"level"`
	Stanza string `json:"stanza,omitempty"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Set    bool   `json:"set"`
}

// View returns the answer as JSON shows it.
func (a Answer) View() AnswerView {
	v := AnswerView{
		Option: a.Option.Name, Name: a.Option.Title(), Level: a.Level,
		Stanza: a.Origin.Stanza, File: a.Origin.File, Line: a.Origin.Line, Column: a.Origin.Column, Asked: []AskedView{},
	}
	if a.IsSet {
		v.Value = &a.Value.Text
	}
	for _, e := range a.Asked {
		v.Asked = append(v.Asked, AskedView{Level: e.Level, Stanza: e.Stanza, File: e.Origin.File, Line: e.Origin.Line, Set: e.Set})
	}
	return v
}

// Why says where the value comes from and what was asked, in lines.
func (a Answer) Why() string {
	var b strings.Builder
	switch {
	case !a.IsSet:
		b.WriteString("  no stanza sets it and it has no default\n")
	case a.Level == "default":
		b.WriteString("  from the built-in default\n")
	default:
		fmt.Fprintf(&b, "  from %s (%s:%d)\n", a.Origin.Stanza, a.Origin, a.Origin.Column)
	}
	if len(a.Asked) == 0 {
		return b.String()
	}
	b.WriteString("  asked, most specific first:\n")
	width := 0
	for _, e := range a.Asked {
		width = max(width, len(e.Level))
	}
	for _, e := range a.Asked {
		fmt.Fprintf(&b, "    %-*s  ", width, e.Level)
		switch {
		case e.Stanza == "":
			b.WriteString("no stanza matches\n")
		case e.Set:
			fmt.Fprintf(&b, "%s (%s): set\n", e.Stanza, e.Origin)
		case e.Level == "global":
			b.WriteString("not set\n")
		default:
			fmt.Fprintf(&b, "%s (%s): not set\n", e.Stanza, e.Origin)
		}
	}
	return b.String()
}
