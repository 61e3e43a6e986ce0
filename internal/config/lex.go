package config

import (
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	tokEOF kind = iota
	tokWord
	tokString
	tokPunct   // one of { } = ( ) [ ]
	tokLine    // a comment to the end of the line
	tokBlock   // a comment /* ... */
	tokInvalid // reported by the lexer
)

// token is one piece of a file.
type token struct {
	kind   kind
	src    string // as written
	text   string // of a string: without quotes and escapes; else src
	line   int
	col    int  // in characters
	breaks int  // line ends between the token before and this one
	bad    bool // reported by the lexer: its text means nothing
}

func (t token) is(p string) bool { return t.kind == tokPunct && t.src == p }

// isText reports whether t can be a label or a simple value.
func (t token) isText() bool { return t.kind == tokWord || t.kind == tokString }

func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end of the file"
	case tokString:
		return t.src
	}
	return `"` + t.src + `"`
}

// lexer cuts a text into tokens. It never fails: what is no token is reported and left
// out.
type lexer struct {
	src    string
	at     int
	line   int
	bol    int // offset of the beginning of the line
	breaks int
	report func(line, col int, text string)
}

// lex returns the tokens of src, comments included, with tokEOF as the last.
func lex(src string, report func(line, col int, text string)) []token {
	l := &lexer{src: strings.TrimPrefix(src, "\ufeff"), line: 1, report: report}
	var out []token
	for {
		t := l.next()
		if t.kind != tokInvalid {
			out = append(out, t)
			l.breaks = 0
		}
		if t.kind == tokEOF {
			return out
		}
	}
}

func (l *lexer) newline() {
	l.line++
	l.breaks++
	l.bol = l.at
}

func (l *lexer) space() {
	for l.at < len(l.src) {
		switch l.src[l.at] {
		case '\n':
			l.at++
			l.newline()
		case ' ', '\t', '\r', '\v', '\f':
			l.at++
		default:
			return
		}
	}
}

func (l *lexer) next() token {
	l.space()
	t := token{line: l.line, col: utf8.RuneCountInString(l.src[l.bol:l.at]) + 1, breaks: l.breaks}
	start := l.at
	if start >= len(l.src) {
		return t
	}
	switch c := l.src[start]; {
	case strings.IndexByte("{}=()[]", c) >= 0:
		l.at++
		t.kind = tokPunct
	case c == '#':
		l.at = l.lineEnd()
		t.kind = tokLine
	case strings.HasPrefix(l.src[start:], "/*"):
		t.kind = tokBlock
		l.block(t)
	case c == '"':
		t.kind = tokString
		t.text, t.bad = l.quoted(t)
		t.src = l.src[start:l.at]
		return t
	case !wordByte(c):
		l.bad(t)
		t.kind = tokInvalid
	default:
		t.kind = tokWord
		t.bad = l.word(t)
	}
	t.src = strings.TrimRight(l.src[start:l.at], "\r")
	t.text = t.src
	return t
}

// lineEnd returns the offset of the end of the line.
func (l *lexer) lineEnd() int {
	if i := strings.IndexByte(l.src[l.at:], '\n'); i >= 0 {
		return l.at + i
	}
	return len(l.src)
}

// block skips a comment; its line ends are not breaks before the next token.
func (l *lexer) block(t token) {
	end := strings.Index(l.src[l.at+2:], "*/")
	if end < 0 {
		l.report(t.line, t.col, "the comment is not closed: */ is missing")
		end = len(l.src) - l.at - 2
	} else {
		end += 2
	}
	stop := l.at + 2 + end
	for i := l.at; i < stop; i++ {
		if l.src[i] == '\n' {
			l.line++
			l.bol = i + 1
		}
	}
	l.at = stop
}

// quoted reads a string: \" is a quote, \\ a backslash, every other backslash stands
// for itself. A string ends on its line.
func (l *lexer) quoted(t token) (text string, bad bool) {
	var b strings.Builder
	for i := l.at + 1; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == '"':
			l.at = i + 1
			return b.String(), l.checkText(t, b.String())
		case c == '\n':
			return l.unclosed(t), true
		case c == '\\' && i+1 < len(l.src) && (l.src[i+1] == '"' || l.src[i+1] == '\\'):
			i++
			b.WriteByte(l.src[i])
		default:
			b.WriteByte(c)
		}
	}
	return l.unclosed(t), true
}

// unclosed ends a string without a closing quote at its line, before a brace that
// most likely opens the stanza.
func (l *lexer) unclosed(t token) string {
	l.report(t.line, t.col, `the closing " is missing on this line`)
	start := l.at + 1
	text := strings.TrimRight(l.src[start:l.lineEnd()], " \t\r")
	if cut, ok := strings.CutSuffix(text, "{"); ok {
		text = strings.TrimRight(cut, " \t")
	}
	l.at = start + len(text)
	return text
}

// checkText reports text that cannot be meant, and whether it did.
func (l *lexer) checkText(t token, s string) bool {
	switch {
	case !utf8.ValidString(s):
		l.report(t.line, t.col, "the text is not UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		l.report(t.line, t.col, "the text holds a NUL")
	default:
		return false
	}
	return true
}

func wordByte(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte("#\"'={}()[]", c) < 0 }

func (l *lexer) word(t token) (bad bool) {
	start := l.at
	for l.at < len(l.src) && wordByte(l.src[l.at]) && !strings.HasPrefix(l.src[l.at:], "/*") {
		l.at++
	}
	return l.checkText(t, l.src[start:l.at])
}

// bad reports a run of characters that cannot be part of a word.
func (l *lexer) bad(t token) {
	c := l.src[l.at]
	for l.at < len(l.src) && l.src[l.at] == c {
		l.at++
	}
	if c == '\'' {
		l.report(t.line, t.col, `unexpected ' : a text is quoted with "`)
		return
	}
	l.report(t.line, t.col, "unexpected control character")
}
