package classify

import (
	"regexp/syntax"
	"strings"
)

// grams finds in one pass which of many literals occur in a text. Every literal is
// looked up by four of its octets, the four that are rarest in the texts known; a bit for
// each hash of four octets makes the common case, none, two instructions for an octet.
type grams struct {
	bits    [1 << 16 / 64]uint64
	buckets map[uint32][]gram
}

// gram is a literal behind four of its octets.
type gram struct {
	literal string
	at      int      // where the four octets are in it
	rules   []uint16 // whose literal it is
}

const gramSize = 4

func gramOf[T string | []byte](s T, at int) uint32 {
	return uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24
}

func gramHash(g uint32) uint32 { return g * 0x9e3779b1 >> 16 }

// newGrams builds the index of literals; rules are those that need each. texts are
// samples by which rare octets are chosen.
func newGrams(literals []string, rules map[string][]uint16, texts []string) *grams {
	seen := map[uint32]int{}
	for _, t := range texts {
		for i := 0; i+gramSize <= len(t); i++ {
			seen[gramOf(t, i)]++
		}
	}
	g := &grams{buckets: map[uint32][]gram{}}
	for _, l := range literals {
		best := 0
		for i := 1; i+gramSize <= len(l); i++ {
			if seen[gramOf(l, i)] < seen[gramOf(l, best)] {
				best = i
			}
		}
		v := gramOf(l, best)
		h := gramHash(v)
		g.bits[h/64] |= 1 << (h % 64)
		g.buckets[v] = append(g.buckets[v], gram{literal: l, at: best, rules: rules[l]})
	}
	return g
}

// mark sets the bits of the rules one of whose literals is in the text.
func (g *grams) mark(text []byte, set *ruleSet) {
	for i := 0; i+gramSize <= len(text); i++ {
		v := gramOf(text, i)
		h := gramHash(v)
		if g.bits[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, e := range g.buckets[v] {
			start := i - e.at
			if start < 0 || start+len(e.literal) > len(text) || string(text[start:start+len(e.literal)]) != e.literal {
				continue
			}
			for _, r := range e.rules {
				set[r/64] |= 1 << (r % 64)
			}
		}
	}
}

// ruleSet is a set of rules by their index.
type ruleSet [MaxRules / 64]uint64

// required returns literals of which every match of the expression holds at least one,
// in lower case; nil: none can be named.
func required(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl|syntax.FoldCase)
	if err != nil {
		return nil
	}
	var out []string
	for _, l := range needs(re.Simplify()) {
		if strings.IndexFunc(l, func(r rune) bool { return r >= 0x80 }) >= 0 {
			return nil // case folding beyond ASCII: let the expression decide
		}
		out = append(out, strings.ToLower(l))
	}
	return out
}

// needs is required for a part of an expression: nil, or literals of minLiteral octets
// or more.
func needs(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if s := string(re.Rune); len(s) >= minLiteral {
			return []string{s}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return needs(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needs(re.Sub[0])
		}
	case syntax.OpConcat:
		return bestOf(re.Sub)
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			n := needs(sub)
			if n == nil {
				return nil
			}
			all = append(all, n...)
		}
		return all
	}
	return nil
}

// bestOf is the most telling need among the parts of a sequence: the one whose shortest
// literal is longest.
func bestOf(parts []*syntax.Regexp) []string {
	var best []string
	length := 0
	for _, p := range parts {
		n := needs(p)
		if n == nil {
			continue
		}
		shortest := len(n[0])
		for _, l := range n {
			shortest = min(shortest, len(l))
		}
		if shortest > length {
			best, length = n, shortest
		}
	}
	return best
}
