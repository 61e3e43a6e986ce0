package classify

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Bounds of what rules may be. They keep the cost of a reply small whatever a file says.
const (
	MaxRules   = 2048
	maxPattern = 800  // octets of one pattern
	minLiteral = 4    // octets of what a phrase is looked up by
	maxParts   = 4    // of a phrase
	maxGap     = 80   // octets between two of them
	maxText    = 2048 // octets of a reply that are looked at, white space folded
)

// Origin is the place that a rule or a vector was written at. Line and Column count
// from 1.
type Origin struct {
	File   string
	Line   int
	Column int
}

func (o Origin) String() string { return o.File + ":" + strconv.Itoa(o.Line) }

// Vector is a text that a rule must match, or must not.
type Vector struct {
	Text   string // "421 4.7.0 too many connections"
	Origin Origin
}

// Rule is one rule as written. Every condition that is given must hold; of the entries
// of one condition any may. A rule decides on the bounce class, on the cause, or on both.
type Rule struct {
	Name      string
	Origin    Origin
	Receivers []string // "*.google.com", "mx.example.com", or the name of a rollup
	Codes     []string // "421", "4xx", "none": no reply
	Enhanced  []string // "4.7.28", "x.2.2", "5.7.*"
	Stages    []mail.Stage
	Text      []string // phrases "a|b ... c|d", or "/RE/"
	Unless    []string // the same; one of them found: the rule does not hold

	Bounce   Bounce   // 0: says nothing about it
	Category Category // of accounting; empty: that of the bounce class
	Cause    Cause    // CauseUnknown: says nothing about it
	Reach    Reach
	HasReach bool // else the cause's usual reach

	Match   []Vector
	NoMatch []Vector

	codes    []codeRange
	enhanced []statusPattern
	text     []pattern
	unless   []pattern
}

// codeRange is a range of reply codes; {0, 0}: none came.
type codeRange struct{ low, high int16 }

// statusPattern is an enhanced status code with wildcards: -1 stands for any number.
type statusPattern [3]int16

// pattern is a phrase, its parts in the form that replies are folded to, each a choice of
// words; or an expression.
type pattern struct {
	parts [][][]byte
	re    *regexp.Regexp
}

// Finding is a fault of a rule.
type Finding struct {
	Origin Origin
	Text   string
}

// prepare reads the conditions; the error says which one is wrong and what is allowed.
func (r *Rule) prepare() error {
	for _, c := range r.Codes {
		p, ok := parseCode(c)
		if !ok {
			return fmt.Errorf("code %q; allowed: a reply code (421), 4xx, 5xx, none", c)
		}
		r.codes = append(r.codes, p)
	}
	for _, e := range r.Enhanced {
		p, ok := parseStatusPattern(e)
		if !ok {
			return fmt.Errorf("enhanced %q; allowed: an enhanced code (4.7.28), x for its first digit, * for the others (x.2.*)", e)
		}
		r.enhanced = append(r.enhanced, p)
	}
	for _, host := range r.Receivers {
		if strings.Contains(strings.TrimPrefix(host, "*."), "*") || host != strings.ToLower(host) || host == "" {
			return fmt.Errorf("receiver %q; allowed: a host in lower case, *.SUFFIX, or the name of a rollup", host)
		}
	}
	var err error
	if r.text, err = patterns(r.Text); err != nil {
		return fmt.Errorf("text %w", err)
	}
	if r.unless, err = patterns(r.Unless); err != nil {
		return fmt.Errorf("unless %w", err)
	}
	switch {
	case r.Bounce == 0 && r.Cause == CauseUnknown:
		return fmt.Errorf("it decides nothing: give bounce, class, or both")
	case r.HasReach && r.Cause == CauseUnknown:
		return fmt.Errorf("scope belongs to class, which is not given")
	case r.Category != "" && r.Bounce == 0:
		return fmt.Errorf("category belongs to bounce, which is not given")
	case len(r.Receivers)+len(r.codes)+len(r.enhanced)+len(r.Stages)+len(r.text) == 0:
		return fmt.Errorf("it would match every reply: give code, enhanced, stage, receiver or text")
	case (r.Cause == CauseMailbox || r.Cause == CauseContent) && r.Effect() > ReachSender:
		return fmt.Errorf("scope %s with class %s: a mailbox or a message never slows a queue; allowed: recipient, sender", r.Effect(), r.Cause)
	}
	return nil
}

// Effect is how far the effect of the rule's cause goes.
func (r *Rule) Effect() Reach {
	if r.HasReach {
		return r.Reach
	}
	return r.Cause.Usual()
}

func parseCode(s string) (codeRange, bool) {
	switch {
	case s == "none":
		return codeRange{}, true
	case len(s) == 3 && s[0] >= '2' && s[0] <= '5' && s[1:] == "xx":
		low := int16(s[0]-'0') * 100
		return codeRange{low, low + 99}, true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 200 || n > 599 {
		return codeRange{}, false
	}
	return codeRange{int16(n), int16(n)}, true
}

func parseStatusPattern(s string) (p statusPattern, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return p, false
	}
	for i, part := range parts {
		switch {
		case i == 0 && part == "x", i > 0 && part == "*":
			p[i] = -1
		case digits(part):
			n, _ := strconv.Atoi(part)
			p[i] = int16(n)
		default:
			return p, false
		}
	}
	return p, p[0] == -1 || p[0] == 2 || p[0] == 4 || p[0] == 5
}

// patterns reads phrases and expressions.
func patterns(texts []string) ([]pattern, error) {
	var out []pattern
	for _, t := range texts {
		p, err := parsePattern(t)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePattern(s string) (pattern, error) {
	if len(s) > maxPattern {
		return pattern{}, fmt.Errorf("%q...: longer than %d octets", s[:40], maxPattern)
	}
	if len(s) >= 2 && s[0] == '/' && s[len(s)-1] == '/' {
		re, err := regexp.Compile("(?i)" + s[1:len(s)-1])
		if err != nil {
			return pattern{}, fmt.Errorf("%q: %w", s, err)
		}
		if re.Match([]byte("  ")) {
			return pattern{}, fmt.Errorf("%q: it matches the empty text", s)
		}
		return pattern{re: re}, nil
	}
	return parsePhrase(s)
}

// parsePhrase reads "a|b ... c|d": one of a, b, and after it, in the same sentence and
// not far, one of c, d. At least one of its parts has only words long enough to be looked
// for.
func parsePhrase(s string) (pattern, error) {
	var p pattern
	telling := false
	for i, part := range strings.Split(s, " ... ") {
		var words [][]byte
		shortest := maxPattern
		for _, w := range strings.Split(part, "|") {
			w = foldPhrase(w)
			if w == "" || w == " " {
				return p, fmt.Errorf("%q: a part of it is empty", s)
			}
			words = append(words, []byte(w))
			shortest = min(shortest, len(w))
		}
		telling = telling || shortest >= minLiteral
		if i > 0 && len(p.parts) >= maxParts {
			return p, fmt.Errorf("%q: more than %d parts", s, maxParts)
		}
		p.parts = append(p.parts, words)
	}
	if !telling {
		return p, fmt.Errorf("%q: a phrase needs a part of at least %d characters", s, minLiteral)
	}
	return p, nil
}

// foldPhrase is fold for a part of a phrase; a blank at either end stays, and stands for
// the beginning or the end of a word at a blank.
func foldPhrase(s string) string {
	out := string(fold(make([]byte, 0, len(s)+3), s))
	out = strings.TrimSuffix(strings.TrimPrefix(out, " "), " ")
	if out == "" {
		return ""
	}
	if s[0] == ' ' {
		out = " " + out
	}
	if s[len(s)-1] == ' ' {
		out += " "
	}
	return out
}

// holds reports whether a folded text holds the pattern.
func (p *pattern) holds(text []byte) bool {
	if p.re != nil {
		return p.re.Match(text)
	}
	return follows(p.parts, text)
}

// follows reports whether the parts occur one after the other. The first part may be
// anywhere; each further one begins within maxGap octets, before the sentence ends. All
// places of a part are tried: maxParts bounds how often.
func follows(parts [][][]byte, text []byte) bool {
	for _, w := range parts[0] {
		for at := 0; ; {
			i := bytes.Index(text[at:], w)
			if i < 0 {
				break
			}
			end := at + i + len(w)
			if len(parts) == 1 || follows(parts[1:], sentence(text[end:], parts[1])) {
				return true
			}
			at += i + 1
		}
	}
	return false
}

// sentence is how much of a text behind a part the next one is looked for in.
func sentence(text []byte, next [][]byte) []byte {
	longest := 0
	for _, w := range next {
		longest = max(longest, len(w))
	}
	text = text[:min(len(text), maxGap+longest)]
	for i, c := range text {
		if c == ';' || c == '.' && i+1 < len(text) && text[i+1] == ' ' {
			return text[:i+1]
		}
	}
	return text
}

// fold appends s in the form that patterns are compared with: ASCII in lower case, a run
// of white space and line ends as one blank, a blank at both ends; at most maxText octets
// of it.
func fold(b []byte, s string) []byte {
	if cap(b) == 0 {
		b = make([]byte, 0, min(len(s)+2, maxText))
	}
	b = append(b, ' ')
	space := true
	for i := 0; i < len(s) && len(b) < maxText-1; i++ {
		c := s[i]
		if c <= ' ' {
			if !space {
				b = append(b, ' ')
			}
			space = true
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
		space = false
	}
	if !space {
		b = append(b, ' ')
	}
	return b
}
