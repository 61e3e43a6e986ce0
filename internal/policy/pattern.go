package policy

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// pattern is a regular expression with the literals that every match ends with, where
// it has such: most expressions over domains do, and other names fail there at once.
type pattern struct {
	re       *regexp.Regexp
	suffixes []string // every match ends with one of them; nil: not known
}

// maxSuffixes bounds the literals of one pattern.
const maxSuffixes = 16

func newPattern(text string) (*pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re: re, suffixes: literalSuffixes(text)}, nil
}

func (p *pattern) match(name string) bool {
	if p.suffixes == nil {
		return p.re.MatchString(name)
	}
	for _, s := range p.suffixes {
		if strings.HasSuffix(name, s) {
			return p.re.MatchString(name)
		}
	}
	return false
}

// literalSuffixes returns the literals before a final $, or nil.
func literalSuffixes(text string) []string {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat || tree.Sub[len(tree.Sub)-1].Op != syntax.OpEndText {
		return nil
	}
	out := []string{""}
	for i := len(tree.Sub) - 2; i >= 0; i-- {
		heads, ok := literals(tree.Sub[i])
		if !ok || len(heads)*len(out) > maxSuffixes {
			break
		}
		out = product(heads, out)
	}
	if len(out) == 1 && out[0] == "" {
		return nil
	}
	return out
}

// literals returns all texts that an expression matches, when they are few and known.
func literals(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCapture:
		return literals(re.Sub[0])
	case syntax.OpAlternate:
		var out []string
		for _, s := range re.Sub {
			l, ok := literals(s)
			if out = append(out, l...); !ok || len(out) > maxSuffixes {
				return nil, false
			}
		}
		return out, true
	case syntax.OpConcat:
		out := []string{""}
		for _, s := range re.Sub {
			l, ok := literals(s)
			if !ok || len(out)*len(l) > maxSuffixes {
				return nil, false
			}
			out = product(out, l)
		}
		return out, true
	}
	return nil, false
}

// product joins every head with every tail.
func product(heads, tails []string) []string {
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out
}
