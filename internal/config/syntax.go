package config

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/policy"
)

type itemKind uint8

const (
	itemOption itemKind = iota
	itemStanza
	itemInclude
)

// item is one statement of a file.
type item struct {
	kind  itemKind
	name  token
	label *token // of a stanza; the path of an include
	value *value
	items []*item
}

// value is a value as written.
type value struct {
	tok  token // the word or string; ( or [ of the others
	list []*value
	dict bool // [ ... ]
}

// maxDepth bounds the nesting of stanzas and lists.
const maxDepth = 32

// parser makes items of tokens. A mistake is reported; then the parser goes on at what
// looks like the next item, so that one mistake hides no other.
type parser struct {
	toks   []token
	at     int
	closes map[int]int // stanzas that end before a token although their } is missing
	report func(line, col int, text string)
}

// parse returns the items of a text. Tokens come back for the formatter.
func parse(src string, report func(line, col int, text string)) ([]*item, []token) {
	all := lex(src, report)
	toks := make([]token, 0, len(all))
	for _, t := range all {
		if t.kind == tokLine || t.kind == tokBlock {
			continue
		}
		toks = append(toks, t)
	}
	p := &parser{toks: toks, report: report, closes: missingBraces(toks)}
	items := p.items(nil, 0)
	return items, all
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) ahead(n int) token {
	if p.at+n >= len(p.toks) {
		return p.toks[len(p.toks)-1]
	}
	return p.toks[p.at+n]
}

func (p *parser) advance() token {
	t := p.toks[p.at]
	if t.kind != tokEOF {
		p.at++
	}
	return t
}

func (p *parser) errorf(t token, format string, args ...any) {
	p.report(t.line, t.col, fmt.Sprintf(format, args...))
}

// items reads up to the } of the stanza that open begins (nil: up to the end).
func (p *parser) items(open *token, depth int) []*item {
	var out []*item
	for {
		t := p.peek()
		if open != nil && p.closes[p.at] > 0 {
			p.closes[p.at]--
			p.errorf(*open, "the } of this stanza is missing (looked for it up to line %d)", t.line)
			return out
		}
		switch {
		case t.kind == tokEOF:
			if open != nil {
				p.errorf(*open, "the } of this stanza is missing")
			}
			return out
		case t.is("}"):
			p.advance()
			if open != nil {
				return out
			}
			p.errorf(t, `unexpected "}": no stanza is open here`)
		case t.kind == tokWord:
			if it := p.item(depth); it != nil {
				out = append(out, it)
			}
		default:
			p.errorf(t, "expected the name of an option or stanza, found %s", t.describe())
			p.advanceInto(depth)
		}
	}
}

func (p *parser) item(depth int) *item {
	name := p.peek()
	if !isIdent(name.text) {
		p.errorf(name, "%s is not a name: names hold letters, digits, _ and -", name.describe())
		p.advanceInto(depth)
		return nil
	}
	p.advance()
	next := p.peek()
	switch {
	case next.is("="):
		return p.option(name, depth)
	case next.is("{"):
		return p.stanza(name, nil, depth)
	case next.isText() && (p.ahead(1).is("{") || (policy.LookupStanza(name.text) != nil && next.breaks == 0)):
		label := p.advance()
		return p.stanza(name, &label, depth)
	case next.isText() && policy.Fold(name.text) == "include":
		path := p.advance()
		return &item{kind: itemInclude, name: name, label: &path}
	case policy.LookupStanza(name.text) != nil:
		return p.stanza(name, nil, depth)
	}
	before := token{}
	if p.at >= 2 {
		before = p.toks[p.at-2]
	}
	if name.breaks == 0 && before.isText() {
		p.errorf(name, `unexpected %s after %s: a text with spaces is quoted, a list is written ( ... ), an option is NAME = VALUE`, name.describe(), before.describe())
	} else {
		p.errorf(name, `expected "=" or "{" after %s, found %s`, name.describe(), next.describe())
	}
	p.resync(depth)
	return nil
}

func isIdent(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

func (p *parser) option(name token, depth int) *item {
	eq := p.advance()
	t := p.peek()
	// `a =` at the end of a line, and the next item on the next one
	if t.kind == tokEOF || t.is("}") || (t.breaks > 0 && p.beginsItem()) {
		p.errorf(eq, "the value of %s is missing", name.text)
		return nil
	}
	v := p.value(depth)
	if v == nil {
		p.resync(depth)
		return nil
	}
	if next := p.peek(); next.is("=") {
		p.errorf(next, `"=" in the value of %s: a value with = is quoted`, name.text)
		p.advance()
		if p.peek().isText() && p.peek().breaks == 0 {
			p.advance()
		}
		return nil
	}
	return &item{kind: itemOption, name: name, value: v}
}

// value reads a word, a string, a list or a group; nil after an error.
func (p *parser) value(depth int) *value {
	t := p.peek()
	if depth > maxDepth {
		p.errorf(t, "nested more than %d deep", maxDepth)
		return nil
	}
	switch {
	case t.isText():
		return &value{tok: p.advance()}
	case t.is("("):
		return p.list(depth)
	case t.is("["):
		return p.dict(depth)
	}
	p.errorf(t, "expected a value, found %s", t.describe())
	return nil
}

func (p *parser) list(depth int) *value {
	v := &value{tok: p.advance(), list: []*value{}}
	for !p.peek().is(")") {
		if t := p.peek(); t.kind == tokEOF || t.is("}") || t.is("{") || t.is("=") || t.is("]") {
			p.errorf(v.tok, `the ")" of this list is missing (found %s in line %d)`, t.describe(), t.line)
			return nil
		}
		if t := p.peek(); t.breaks > 0 && p.beginsItem() {
			p.errorf(v.tok, `the ")" of this list is missing (looked for it up to line %d)`, t.line)
			return nil
		}
		e := p.value(depth + 1)
		if e == nil {
			return nil
		}
		v.list = append(v.list, e)
	}
	p.advance()
	return v
}

func (p *parser) dict(depth int) *value {
	v := &value{tok: p.advance(), dict: true}
	for !p.peek().is("]") {
		name := p.peek()
		if name.kind != tokWord || !isIdent(name.text) || !p.ahead(1).is("=") {
			p.errorf(v.tok, `this group is not NAME = VALUE up to its "]" (found %s in line %d)`, name.describe(), name.line)
			return nil
		}
		p.advance()
		p.advance()
		e := p.value(depth + 1)
		if e == nil {
			return nil
		}
		v.list = append(v.list, e)
	}
	p.advance()
	return v
}

func (p *parser) stanza(name token, label *token, depth int) *item {
	it := &item{kind: itemStanza, name: name, label: label}
	if t := p.peek(); t.is("{") {
		p.advance()
	} else {
		p.errorf(t, `expected "{" after %s, found %s`, header(name, label), t.describe())
		// Go on as if it were there: its } most likely is.
	}
	if depth >= maxDepth {
		p.errorf(name, "stanzas are nested more than %d deep", maxDepth)
		p.skipStanza()
		return nil
	}
	it.items = p.items(&name, depth+1)
	return it
}

func header(name token, label *token) string {
	if label == nil {
		return name.text
	}
	return name.text + " " + label.src
}

// skipStanza goes behind the } of a stanza that is open, without recursion.
func (p *parser) skipStanza() {
	for open := 1; open > 0; {
		t := p.advance()
		switch {
		case t.kind == tokEOF:
			return
		case t.is("{"):
			open++
		case t.is("}"):
			open--
		}
	}
}

// advanceInto goes on behind a token that cannot begin an item.
func (p *parser) advanceInto(depth int) {
	if !p.peek().is("{") {
		p.advance()
	}
	p.resync(depth)
}

// resync goes on to what looks like the next item: a } or the first name of a line.
// A stanza on the way is read for its own mistakes and dropped.
func (p *parser) resync(depth int) {
	for {
		t := p.peek()
		switch {
		case t.kind == tokEOF || t.is("}") || p.closes[p.at] > 0:
			return
		case t.is("{"):
			open := p.advance()
			if depth >= maxDepth {
				p.skipStanza()
			} else {
				p.items(&open, depth+1)
			}
			return
		case t.breaks > 0 && p.beginsItem():
			return
		}
		p.advance()
	}
}

// beginsItem reports whether NAME =, NAME { or NAME LABEL { come next.
func (p *parser) beginsItem() bool {
	if t := p.peek(); t.kind != tokWord || !isIdent(t.text) {
		return false
	}
	next := p.ahead(1)
	return next.is("=") || next.is("{") || (next.isText() && next.breaks == 0 && p.ahead(2).is("{"))
}
