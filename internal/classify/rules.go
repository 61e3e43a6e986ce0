package classify

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Rules judges replies. It is not changed once made and may be used by many at once.
type Rules struct {
	list   []Rule
	grams  *grams
	always ruleSet // rules that no literal announces
}

// Judgement is what the rules say about a reply.
type Judgement struct {
	Bounce   Bounce
	Category Category
	Cause    Cause
	Reach    Reach // of the effect of the cause

	BounceRule *Rule // that decided on the bounce class and the category; nil: none did
	CauseRule  *Rule // that decided on the cause and its reach; nil: none did
}

// Known reports whether the rules know both what to tell and what to do.
func (j *Judgement) Known() bool {
	return j.Cause != CauseUnknown && j.Bounce != BounceUndetermined
}

// Subject is a reply with what is known of who gave it. What is empty is not known, and
// no condition about it fails; for the stage that is StageNone.
type Subject struct {
	Reply  mail.Reply
	Host   string // MX host by name, in lower case
	Domain string // what the mail is counted under: a rollup, or the domain

	folded []byte // room for the text, kept for the next reply
}

// Compile makes Rules of one file's rules, which are asked in their order. Every rule is
// tried on its texts, alone and among the others. Findings are nil when there is no
// fault; without one the Rules are never nil.
func Compile(list []Rule) (*Rules, []Finding) {
	var findings []Finding
	names := map[string]Origin{}
	for i := range list {
		r := &list[i]
		if at, ok := names[r.Name]; ok {
			findings = append(findings, Finding{r.Origin, "rule " + strconv.Quote(r.Name) + " is there already, at " + at.String()})
		}
		names[r.Name] = r.Origin
		if err := r.prepare(); err != nil {
			findings = append(findings, Finding{r.Origin, "rule " + strconv.Quote(r.Name) + ": " + err.Error()})
		}
	}
	if len(list) > MaxRules {
		findings = append(findings, Finding{list[MaxRules].Origin, "more than " + strconv.Itoa(MaxRules) + " rules"})
	}
	if findings != nil {
		return nil, findings
	}
	rs := build(list)
	if findings = rs.check(); findings != nil {
		return nil, findings
	}
	return rs, nil
}

// Over returns the rules with others behind them: those of base, but for the ones whose
// names they have too, or that are named in off. All in all they are at most MaxRules;
// nil: they would be more.
func (rs *Rules) Over(base *Rules, off map[string]bool) *Rules {
	list := slices.Clone(rs.list)
	own := map[string]bool{}
	for i := range rs.list {
		own[rs.list[i].Name] = true
	}
	for i := range base.list {
		if name := base.list[i].Name; !own[name] && !off[name] {
			list = append(list, base.list[i])
		}
	}
	if len(list) > MaxRules {
		return nil
	}
	return build(list)
}

// build makes the index over prepared rules.
func build(list []Rule) *Rules {
	rs := &Rules{list: list}
	var literals, texts []string
	users := map[string][]uint16{}
	for i := range list {
		r := &list[i]
		for _, v := range slices.Concat(r.Match, r.NoMatch) {
			texts = append(texts, string(fold(nil, v.Text)))
		}
		needed, ok := r.literals()
		if !ok {
			rs.always[i/64] |= 1 << (i % 64)
			continue
		}
		for _, l := range needed {
			if users[l] == nil {
				literals = append(literals, l)
			}
			if !slices.Contains(users[l], uint16(i)) {
				users[l] = append(users[l], uint16(i))
			}
		}
	}
	rs.grams = newGrams(literals, users, texts)
	return rs
}

// literals are those of which a reply must hold one for the rule to hold; false: a reply
// without any may do.
func (r *Rule) literals() ([]string, bool) {
	if len(r.text) == 0 {
		return nil, false
	}
	var out []string
	for i, p := range r.text {
		n := p.telling()
		if p.re != nil {
			n = required(r.Text[i][1 : len(r.Text[i])-1])
		}
		if n == nil {
			return nil, false
		}
		out = append(out, n...)
	}
	return out, true
}

// telling is the part of a phrase whose shortest word is longest.
func (p *pattern) telling() []string {
	var best []string
	length := 0
	for _, part := range p.parts {
		shortest := maxPattern
		var words []string
		for _, w := range part {
			words = append(words, string(w))
			shortest = min(shortest, len(w))
		}
		if shortest > length {
			best, length = words, shortest
		}
	}
	return best
}

// List returns the rules in the order in which they are asked.
func (rs *Rules) List() []Rule { return rs.list }

// Judge says what a reply is about. The first rule that holds and names a bounce class
// decides on that, the first that names a cause on that. A Subject that is used again saves an
// allocation, the only one.
func (rs *Rules) Judge(s *Subject) Judgement {
	var j Judgement
	if s.Reply.Class() == 2 || s.Reply.Class() == 3 {
		j.Category = Success
		return j
	}
	s.folded = fold(s.folded[:0], s.Reply.Text)
	text := s.folded
	set := rs.always
	rs.grams.mark(text, &set)
	status, known := parseStatus(s.Reply.Enhanced)
	for w := range set {
		for left := set[w]; left != 0; left &= left - 1 {
			r := &rs.list[w*64+bits.TrailingZeros64(left)]
			if (j.BounceRule != nil || r.Bounce == 0) && (j.CauseRule != nil || r.Cause == CauseUnknown) {
				continue
			}
			if !r.holds(s, text, status, known) {
				continue
			}
			if j.BounceRule == nil && r.Bounce != 0 {
				j.BounceRule = r
			}
			if j.CauseRule == nil && r.Cause != CauseUnknown {
				j.CauseRule = r
			}
			if j.BounceRule != nil && j.CauseRule != nil {
				return j.conclude()
			}
		}
	}
	return j.conclude()
}

// conclude fills in what no rule decided. A cause that limits react to is never
// concluded: only a rule gives one.
func (j Judgement) conclude() Judgement {
	j.Bounce, j.Category = BounceUndetermined, Other
	if r := j.CauseRule; r != nil {
		j.Cause, j.Reach = r.Cause, r.Effect()
	}
	switch r := j.BounceRule; {
	case r != nil:
		j.Bounce, j.Category = r.Bounce, r.Category
		if j.CauseRule == nil {
			j.Cause, j.Reach = r.Bounce.entry().cause, ReachRecipient
		}
		if j.Category == "" {
			j.Category = r.Bounce.entry().category
		}
		if r.Category == "" && j.Category == Other {
			j.Category = categoryOf[j.Cause]
		}
	case j.Cause != CauseUnknown:
		j.Bounce, j.Category = bounceOf[j.Cause], categoryOf[j.Cause]
	}
	return j
}

// holds reports whether all conditions of the rule do. text is the folded text.
func (r *Rule) holds(s *Subject, text []byte, status statusPattern, known bool) bool {
	if len(r.codes) > 0 && !slices.ContainsFunc(r.codes, func(c codeRange) bool { return s.Reply.Code >= int(c.low) && s.Reply.Code <= int(c.high) }) {
		return false
	}
	if len(r.enhanced) > 0 && (!known || !slices.ContainsFunc(r.enhanced, func(p statusPattern) bool { return p.covers(status) })) {
		return false
	}
	if len(r.Stages) > 0 && s.Reply.Stage != mail.StageNone && !slices.Contains(r.Stages, s.Reply.Stage) {
		return false
	}
	if len(r.Receivers) > 0 && s.Host+s.Domain != "" && !slices.ContainsFunc(r.Receivers, func(p string) bool { return p == s.Domain || hostMatches(p, s.Host) }) {
		return false
	}
	return (len(r.text) == 0 || found(r.text, text)) && !found(r.unless, text)
}

func found(list []pattern, text []byte) bool {
	for i := range list {
		if list[i].holds(text) {
			return true
		}
	}
	return false
}

// hostMatches reports whether a host is the pattern, or below the suffix of *.suffix.
func hostMatches(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return pattern == host
}

func (p statusPattern) covers(s statusPattern) bool {
	for i := range p {
		if p[i] >= 0 && p[i] != s[i] {
			return false
		}
	}
	return true
}

// parseStatus reads an enhanced status code.
func parseStatus(s string) (p statusPattern, ok bool) {
	if !validStatus(s) {
		return p, false
	}
	at := 0
	for i := range len(s) {
		if s[i] == '.' {
			at++
			continue
		}
		p[at] = p[at]*10 + int16(s[i]-'0')
	}
	return p, true
}
