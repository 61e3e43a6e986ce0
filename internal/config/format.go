package config

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Format returns the canonical text of one file: one item a line, two spaces for each
// stanza it is in, names in the spelling of the reference, labels in quotes. Comments,
// single blank lines, line breaks inside lists, the quotes of values and aliases stay.
// Includes are not followed. Text with syntax errors is not touched: the errors come
// back.
func Format(path, text string) (string, Diagnostics) {
	var diags Diagnostics
	_, toks := parse(text, func(line, col int, msg string) {
		diags = append(diags, Diagnostic{File: path, Line: line, Column: col, Text: msg})
	})
	if len(diags) > 0 {
		diags.sortBy(map[string]int{})
		return "", diags
	}
	f := &formatter{toks: toks, spelling: spellings()}
	f.items()
	f.comments(true)
	if f.out.Len() > 0 {
		f.out.WriteByte('\n')
	}
	return f.out.String(), nil
}

// spellings maps the folded form of every known name to the reference's.
func spellings() map[string]string {
	out := map[string]string{"include": "include"}
	for _, o := range policy.Options() {
		for _, n := range append([]string{o.Name}, o.Aliases...) {
			out[policy.Fold(n)] = n
		}
	}
	return out
}

// formatter prints tokens that are known to be correct.
type formatter struct {
	toks     []token
	at       int
	depth    int
	spelling map[string]string
	out      strings.Builder
	last     kind // of the token printed last
	fresh    bool // nothing stands in the stanza yet
}

func (f *formatter) peek() token { return f.toks[f.at] }

// newline begins a line, after a blank one when the source has one.
func (f *formatter) newline(t token, indent int) {
	if f.out.Len() > 0 {
		f.out.WriteByte('\n')
		if t.breaks > 1 && !f.fresh && !t.is("}") {
			f.out.WriteByte('\n')
		}
	}
	for range indent {
		f.out.WriteString("  ")
	}
}

// put prints a token's text: on a new line, or after a space.
func (f *formatter) put(t token, text string, brk bool, indent int) {
	switch {
	case brk || f.last == tokLine || f.out.Len() == 0:
		f.newline(t, indent)
	default:
		f.out.WriteByte(' ')
	}
	f.out.WriteString(text)
	f.last = t.kind
	f.fresh = false
}

// comments prints the comments that come next; between says that they stand between
// items and not inside one.
func (f *formatter) comments(between bool) {
	for {
		t := f.peek()
		if t.kind != tokLine && t.kind != tokBlock {
			return
		}
		indent := f.depth
		if !between {
			indent++
			t.breaks = min(t.breaks, 1)
		}
		text := strings.TrimRight(strings.ReplaceAll(t.src, "\r\n", "\n"), " \t\r\v\f")
		f.put(t, text, t.breaks > 0, indent)
		f.at++
	}
}

// inner prints the next token of an item, after its comments.
func (f *formatter) inner(text string) {
	f.comments(false)
	t := f.peek()
	if text == "" {
		text = t.src
	}
	t.breaks = min(t.breaks, 1)
	f.put(t, text, false, f.depth+1)
	f.at++
}

// next skips comments without printing them, to see the token behind.
func (f *formatter) next(from int) (token, int) {
	for f.toks[from].kind == tokLine || f.toks[from].kind == tokBlock {
		from++
	}
	return f.toks[from], from
}

func (f *formatter) items() {
	for {
		f.comments(true)
		t := f.peek()
		if t.kind == tokEOF || t.is("}") {
			return
		}
		f.item()
	}
}

func (f *formatter) item() {
	name := f.peek()
	after, at := f.next(f.at + 1)
	text := name.text
	if after.is("=") {
		if s := f.spelling[policy.Fold(text)]; s != "" {
			text = s
		}
		f.put(name, text, true, f.depth)
		f.at++
		f.inner("")
		f.value()
		return
	}
	behind := after
	if after.isText() {
		behind, _ = f.next(at + 1)
	}
	stanza := after.is("{") || behind.is("{")
	if st := policy.LookupStanza(text); stanza && st != nil {
		text = st.Name
	} else if !stanza {
		text = "include"
	}
	f.put(name, text, true, f.depth)
	f.at++
	if after.isText() {
		f.inner(labelText(after))
	}
	if stanza {
		f.stanza()
	}
}

func labelText(t token) string {
	if t.kind == tokString {
		return t.src
	}
	return `"` + strings.ReplaceAll(t.text, `\`, `\\`) + `"`
}

func (f *formatter) stanza() {
	f.inner("") // {
	f.depth++
	f.fresh = true
	f.items()
	empty := f.fresh
	f.fresh = false
	f.depth--
	end := f.peek()
	f.put(end, "}", !empty, f.depth)
	f.at++
}

// value prints a word, a string, a list or a group. Line breaks in lists stay.
func (f *formatter) value() {
	f.comments(false)
	open := f.peek()
	if !open.is("(") && !open.is("[") {
		f.inner("")
		return
	}
	f.inner("")
	f.depth++
	for {
		f.listComments()
		t := f.peek()
		if t.is(")") || t.is("]") {
			break
		}
		brk := t.breaks > 0
		t.breaks = min(t.breaks, 1)
		switch {
		case t.is("(") || t.is("["):
			f.value()
		case open.is("["): // NAME = VALUE
			f.put(t, t.src, brk, f.depth)
			f.at++
			f.inner("")
			f.value()
		default:
			f.put(t, t.src, brk, f.depth)
			f.at++
		}
	}
	f.depth--
	end := f.peek()
	f.put(end, end.src, end.breaks > 0, f.depth)
	f.at++
}

// listComments prints comments inside a list, at its depth.
func (f *formatter) listComments() {
	f.depth--
	f.comments(false)
	f.depth++
}
