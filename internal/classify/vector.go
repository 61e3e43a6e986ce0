package classify

import (
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// ParseReply reads a reply as logs and reports show it, on one line or several:
// "smtp;421 4.7.0 text", "550-5.1.1 text". Without a code the whole is text of ours. Of the
// codes at the beginnings of further lines only those that repeat the first are taken out.
func ParseReply(s string) mail.Reply {
	s = strings.TrimSpace(s)
	if kind, rest, ok := strings.Cut(s, ";"); ok && len(kind) < 20 && !strings.ContainsAny(kind, " .:") {
		if s = strings.TrimSpace(rest); !strings.EqualFold(kind, "smtp") {
			return mail.Reply{Text: s} // not a receiver's words
		}
	}
	var r mail.Reply
	head := s
	if len(s) >= 3 && s[0] >= '2' && s[0] <= '5' && digits(s[:3]) && (len(s) == 3 || s[3] == ' ' || s[3] == '-') {
		r.Code, _ = strconv.Atoi(s[:3])
		s = strings.TrimLeft(s[3:], " -")
	}
	word, rest, _ := strings.Cut(s, " ")
	if status := strings.Trim(word, "#:,()[]"); validStatus(status) && (r.Code == 0 || int(status[0]-'0') == r.Code/100) {
		r.Enhanced, s = status, rest
	}
	if r.Code != 0 {
		again := strings.TrimSpace(r.Enhanced + " ")
		s = strings.ReplaceAll(s, head[:3]+"-"+again, "")
		if again != "" { // a code alone may be anything
			s = strings.ReplaceAll(s, head[:3]+" "+again, "")
		}
	}
	r.Text = s
	return r
}

// anybody is the host of vectors of rules that name no receiver.
const anybody = "mx.receiver.invalid"

// subject is the subject of a vector of a rule: said by its receiver, at its stage.
func (r *Rule) subject(v *Vector) Subject {
	s := Subject{Reply: ParseReply(v.Text), Host: anybody}
	if len(r.Stages) > 0 {
		s.Reply.Stage = r.Stages[0]
	}
	if len(r.Receivers) > 0 {
		s.Host = strings.Replace(r.Receivers[0], "*", "mx", 1)
	}
	return s
}

// check tries every rule on its vectors.
func (rs *Rules) check() []Finding {
	var out []Finding
	for i := range rs.list {
		r := &rs.list[i]
		if len(r.Match) == 0 {
			out = append(out, Finding{r.Origin, "rule " + strconv.Quote(r.Name) + ` has no test: match = ( "A TEXT THAT IT IS FOR" )`})
		}
		for k := range r.Match {
			if text := rs.checkMatch(r, &r.Match[k]); text != "" {
				out = append(out, Finding{r.Match[k].Origin, "rule " + strconv.Quote(r.Name) + ": " + text})
			}
		}
		for k := range r.NoMatch {
			if s := r.subject(&r.NoMatch[k]); r.alone(&s) {
				out = append(out, Finding{r.NoMatch[k].Origin, "rule " + strconv.Quote(r.Name) + ": it matches this text, which it must not"})
			}
		}
	}
	return out
}

// checkMatch returns what is wrong with a vector that the rule must match.
func (rs *Rules) checkMatch(r *Rule, v *Vector) string {
	s := r.subject(v)
	if !r.alone(&s) {
		return "it does not match this text, which it must"
	}
	j := rs.Judge(&s)
	for _, by := range []*Rule{j.BounceRule, j.CauseRule} {
		if by != nil && by.Name == r.Name {
			return ""
		}
	}
	first := j.CauseRule
	if first == nil || r.Cause == CauseUnknown {
		first = j.BounceRule
	}
	if first == nil {
		return "this text is no refusal and no deferral"
	}
	return "this text is decided by rule " + strconv.Quote(first.Name) + ", line " + strconv.Itoa(first.Origin.Line) + ", which is asked first"
}

// alone reports whether the rule holds, whatever other rules say.
func (r *Rule) alone(s *Subject) bool {
	status, known := parseStatus(s.Reply.Enhanced)
	return r.holds(s, fold(nil, s.Reply.Text), status, known)
}
