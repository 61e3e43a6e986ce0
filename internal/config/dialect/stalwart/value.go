package stalwart

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// choice is a value and the domain that it holds for; an empty domain: all.
type choice struct {
	domain string
	value  value
}

// choices takes a value apart that depends on conditions:
//
//	[ { if = "rcpt_domain = 'one.example'", then = "5m" }, { else = "3m" } ]
//
// unknown are the conditions that nothing here can express. A value without conditions is
// one choice.
func choices(v value) (out []choice, unknown []string) {
	if v.kind != list || len(v.list) == 0 || v.list[0].kind != table {
		return []choice{{value: v}}, nil
	}
	for _, branch := range v.list {
		cond, then, ok := branch.branch()
		if !ok {
			unknown = append(unknown, "what is neither if nor else")
			continue
		}
		domain, known := "", cond == ""
		if !known {
			domain, known = domainOf(cond)
		}
		if !known {
			unknown = append(unknown, "if "+cond)
			continue
		}
		// The first condition that holds wins there: a later one for the same domain never does.
		if !has(out, domain) {
			out = append(out, choice{domain, then})
		}
	}
	return out, unknown
}

func has(list []choice, domain string) bool {
	for _, c := range list {
		if c.domain == domain {
			return true
		}
	}
	return false
}

// branch reads { if = CONDITION, then = VALUE } or { else = VALUE }. Older versions wrote
// { if = "rcpt-domain", eq = "one.example", then = VALUE }.
func (v value) branch() (cond string, then value, ok bool) {
	subject, operator := "", ""
	for _, f := range v.table {
		switch f.key {
		case "if":
			subject = f.value.text
		case "then":
			then, ok = f.value, true
		case "else":
			return "", f.value, true
		default:
			operator += " " + f.key + " '" + f.value.text + "'"
		}
	}
	return strings.TrimSpace(subject + operator), then, ok && subject != ""
}

var (
	equals   = regexp.MustCompile(`^rcpt[_-]domain\s*(?:==?|eq)\s*'([^']*)'$`)
	endsWith = regexp.MustCompile(`^(?:ends_with\(\s*rcpt_domain\s*,\s*'([^']*)'\s*\)|rcpt-domain ends-with '([^']*)')$`)
)

// domainOf turns a condition into the label of a Domain stanza.
func domainOf(cond string) (label string, ok bool) {
	cond = strings.TrimSpace(cond)
	if m := equals.FindStringSubmatch(cond); m != nil {
		name, err := mail.CanonicalDomain(m[1])
		return name, err == nil
	}
	if m := endsWith.FindStringSubmatch(cond); m != nil {
		suffix := strings.ToLower(m[1] + m[2])
		return `/` + regexp.QuoteMeta(suffix) + `$/`, suffix != "" && !strings.Contains(suffix, "/")
	}
	return "", false
}

// literal is the text of a constant: where expressions are expected texts stand in quotes
// of their own.
func literal(v value) (string, bool) {
	if v.kind != scalar {
		return "", false
	}
	s := strings.TrimSpace(v.text)
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		s = s[1 : len(s)-1]
	}
	return s, s != "" && !strings.ContainsAny(s, "'()")
}

// duration turns a duration into ours: a bare number is milliseconds there.
func duration(s string) (string, bool) {
	if ms, err := strconv.ParseUint(s, 10, 63); err == nil {
		if ms%1000 == 0 {
			return strconv.FormatUint(ms/1000, 10) + "s", true
		}
		return s + "ms", true
	}
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i <= 0 {
		return "", false
	}
	unit := strings.ToLower(strings.TrimSpace(s[i:]))
	switch unit {
	case "d", "h", "m", "s", "ms":
		return s[:i] + unit, true
	}
	return "", false
}

// boolean reads true and false.
func boolean(v value) (on, ok bool) { return v.text == "true", v.text == "true" || v.text == "false" }
