package config

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Rules reads the reply rules: those of the file, when there is one, asked before those
// that are built in. The Rules are nil when there are errors.
func (l *Loader) Rules(path string) (*classify.Rules, Diagnostics) {
	if path == "" {
		return BuiltinRules(), nil
	}
	data, err := l.begin(path).readFile(path)
	switch {
	case err != nil:
		return nil, Diagnostics{{File: path, Text: reason(err).Error()}}
	case len(data) > MaxFileSize:
		return nil, Diagnostics{{File: path, Text: fmt.Sprintf("larger than %d octets", MaxFileSize)}}
	}
	return ParseRules(path, string(data))
}

// BuiltinRules are the rules that come with the program.
var BuiltinRules = sync.OnceValue(func() *classify.Rules {
	list, _, diags := readRules(classify.BuiltinName, classify.Builtin)
	rules, findings := classify.Compile(list)
	if diags = append(diags, ruleFindings(findings)...); diags != nil {
		panic("the built-in reply rules do not pass their own tests: " + diags[0].String())
	}
	return rules
})

// ParseRules reads the rules of a text, which are asked before those that are built in.
func ParseRules(path, text string) (*classify.Rules, Diagnostics) {
	list, off, diags := readRules(path, text)
	if diags.HasErrors() {
		return nil, diags
	}
	builtin := BuiltinRules()
	gone := map[string]bool{}
	for _, t := range off {
		gone[t.name] = true
		if !slices.ContainsFunc(builtin.List(), func(r classify.Rule) bool { return r.Name == t.name }) {
			diags = append(diags, Diagnostic{File: path, Line: t.at.Line, Column: t.at.Column, Text: fmt.Sprintf(
				"rule %q: enabled = off is for a built-in rule, and none is called so; `sluice rules list` shows them", t.name)})
		}
	}
	rules, findings := classify.Compile(list)
	if diags = append(diags, ruleFindings(findings)...); diags != nil {
		diags.sortBy(map[string]int{})
		return nil, diags
	}
	if rules = rules.Over(builtin, gone); rules == nil {
		return nil, Diagnostics{{File: path, Text: fmt.Sprintf("more than %d rules with those that are built in", classify.MaxRules)}}
	}
	return rules, nil
}

func ruleFindings(findings []classify.Finding) Diagnostics {
	var out Diagnostics
	for _, f := range findings {
		out = append(out, Diagnostic{File: f.Origin.File, Line: f.Origin.Line, Column: f.Origin.Column, Text: f.Text})
	}
	return out
}

// readRules reads the Rule stanzas of a text. off are the rules that are switched off,
// with the places that say so.
func readRules(path, text string) (rules []classify.Rule, off []switchedOff, diags Diagnostics) {
	r := &ruleReader{file: path}
	items, _ := parse(text, func(line, col int, msg string) { r.add(line, col, msg) })
	for _, it := range items {
		r.stanza(it)
	}
	r.diags.sortBy(map[string]int{})
	return r.rules, r.off, r.diags
}

// switchedOff is a rule that is off, and the place that says so.
type switchedOff struct {
	name string
	at   classify.Origin
}

type ruleReader struct {
	file  string
	rules []classify.Rule
	off   []switchedOff
	diags Diagnostics
}

func (r *ruleReader) add(line, col int, text string) {
	if len(r.diags) < maxFindings {
		r.diags = append(r.diags, Diagnostic{File: r.file, Line: line, Column: col, Text: text})
	}
}

func (r *ruleReader) errorAt(t token, format string, args ...any) {
	r.add(t.line, t.col, fmt.Sprintf(format, args...))
}

func (r *ruleReader) origin(t token) classify.Origin {
	return classify.Origin{File: r.file, Line: t.line, Column: t.col}
}

// stanza reads Rule "NAME" { ... }.
func (r *ruleReader) stanza(it *item) {
	switch {
	case it.kind != itemStanza || policy.Fold(it.name.text) != "rule":
		r.errorAt(it.name, `a file of reply rules holds stanzas Rule "NAME" { ... }, found %s`, it.name.text)
		return
	case it.label == nil || it.label.text == "":
		r.errorAt(it.name, `a rule needs a name: Rule "NAME" { ... }`)
		return
	}
	rule := classify.Rule{Name: it.label.text, Origin: r.origin(it.name)}
	set, before := map[string]bool{}, len(r.off)
	for _, o := range it.items {
		name := policy.Fold(o.name.text)
		switch {
		case o.kind != itemOption:
			r.errorAt(o.name, "a rule holds NAME = VALUE only, found %s", o.name.text)
		case set[name]:
			r.errorAt(o.name, "%s is given twice", name)
		default:
			set[name] = true
			r.option(&rule, name, o)
		}
	}
	if len(r.off) > before {
		if len(it.items) > 1 {
			r.errorAt(it.name, "rule %q: a rule that is off holds nothing else", rule.Name)
		}
		return
	}
	r.rules = append(r.rules, rule)
}

// ruleOptions are the names in a rule, in the order of the manual.
var ruleOptions = []string{
	"receiver", "code", "enhanced", "stage", "text", "unless", "bounce", "category", "class", "scope", "match", "nomatch", "enabled",
}

func (r *ruleReader) option(rule *classify.Rule, name string, o *item) {
	list, ok := r.list(o.value)
	if !ok {
		return
	}
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = t.text
	}
	switch name {
	case "receiver":
		rule.Receivers = texts
	case "code":
		rule.Codes = texts
	case "enhanced":
		rule.Enhanced = texts
	case "text":
		rule.Text = texts
	case "unless":
		rule.Unless = texts
	case "stage":
		for _, t := range list {
			r.stage(rule, t)
		}
	case "match":
		rule.Match = r.vectors(list)
	case "nomatch":
		rule.NoMatch = r.vectors(list)
	case "bounce", "category", "class", "scope", "enabled":
		if len(list) != 1 {
			r.errorAt(o.value.tok, "%s takes one value", name)
			return
		}
		r.single(rule, name, list[0])
	default:
		r.errorAt(o.name, "unknown option %q in a rule; allowed: %s%s", o.name.text, strings.Join(ruleOptions, ", "), didYouMean(o.name.text, ruleOptions))
	}
}

// single reads an option that has one value.
func (r *ruleReader) single(rule *classify.Rule, name string, t token) {
	ok := true
	var allowed []string
	switch name {
	case "bounce":
		if rule.Bounce, ok = classify.ParseBounce(t.text); !ok {
			for _, b := range classify.Bounces() {
				allowed = append(allowed, b.String())
			}
		}
	case "class":
		if rule.Cause, ok = classify.ParseCause(t.text); !ok {
			allowed = classify.CauseNames()
		}
	case "scope":
		rule.HasReach = true
		if rule.Reach, ok = classify.ParseReach(t.text); !ok {
			allowed = classify.ReachNames()
		}
	case "category":
		rule.Category = classify.Category(t.text)
		if ok = t.text != "" && len(t.text) <= 40 && isIdent(t.text); !ok {
			allowed = []string{"a word of letters, digits and -, at most 40 characters"}
		}
	case "enabled":
		switch t.text {
		case "on", "true", "yes", "enabled", "1":
		case "off", "false", "no", "disabled", "0":
			r.off = append(r.off, switchedOff{rule.Name, r.origin(t)})
		default:
			ok, allowed = false, []string{"on", "off"}
		}
	}
	if !ok {
		r.errorAt(t, "%s = %s is not known; allowed: %s%s", name, t.describe(), strings.Join(allowed, ", "), didYouMean(t.text, allowed))
	}
}

func (r *ruleReader) stage(rule *classify.Rule, t token) {
	var names []string
	for s := mail.StageResolve; s <= mail.StageQuit; s++ {
		if s.String() == t.text {
			rule.Stages = append(rule.Stages, s)
			return
		}
		names = append(names, s.String())
	}
	r.errorAt(t, "stage = %s is not known; allowed: %s%s", t.describe(), strings.Join(names, ", "), didYouMean(t.text, names))
}

func (r *ruleReader) vectors(list []token) []classify.Vector {
	out := make([]classify.Vector, len(list))
	for i, t := range list {
		out[i] = classify.Vector{Text: t.text, Origin: r.origin(t)}
	}
	return out
}

// list returns the texts of a value, of a single one as well.
func (r *ruleReader) list(v *value) ([]token, bool) {
	if v.dict {
		r.errorAt(v.tok, "a rule takes no [ ... ] group")
		return nil, false
	}
	if v.list == nil {
		return []token{v.tok}, !v.tok.bad
	}
	var out []token
	for _, e := range v.list {
		if e.list != nil || e.dict {
			r.errorAt(e.tok, "a rule takes no list in a list")
			return nil, false
		}
		if e.tok.bad {
			return nil, false
		}
		out = append(out, e.tok)
	}
	if out == nil {
		r.errorAt(v.tok, "the list is empty")
	}
	return out, out != nil
}
