package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// maxTexts bounds how many different texts are kept apart; further ones are counted
// together.
const maxTexts = 100_000

// Rules counts what the reply rules say about the deferrals and bounces of accounting
// records, of sluice or of another server.
type Rules struct {
	Replies int          `json:"replies"` // deferrals and bounces that are a receiver's words
	Unknown int          `json:"unknown"` // of those, whose class no rule knows
	Rules   []RuleCount  `json:"rules"`   // most frequent first
	Texts   []*TextCount `json:"unknown_texts"`

	rules map[RuleCount]int
	texts map[string]*TextCount
}

// RuleCount is how often a rule decided, and on what.
type RuleCount struct {
	Count    int    `json:"count"`
	Rule     string `json:"rule"` // empty: none
	Origin   string `json:"origin"`
	Class    string `json:"class"`
	Scope    string `json:"scope"`
	Bounce   string `json:"bounce"`
	Category string `json:"category"`
}

// TextCount is a text that no rule knows. What differs from reply to reply in it, numbers,
// ids and addresses, is replaced.
type TextCount struct {
	Count   int    `json:"count"`
	Text    string `json:"text"`
	Host    string `json:"host"`    // of the first one
	Example string `json:"example"` // the first one, whole
}

// NewRules returns counts of nothing.
func NewRules() *Rules {
	return &Rules{rules: map[RuleCount]int{}, texts: map[string]*TextCount{}}
}

// Add counts a record; others than deferrals and bounces are passed over, and so is what
// sluice says itself.
func (t *Rules) Add(r *account.Record, rules *classify.Rules) {
	if r.Kind != sched.RecordDeferred && r.Kind != sched.RecordBounced {
		return
	}
	s := Subject(r)
	if s.Reply.Class() < 4 {
		return
	}
	t.Replies++
	j := rules.Judge(&s)
	c := Judged(&j)
	t.rules[c]++
	if j.Cause != classify.CauseUnknown {
		return
	}
	t.Unknown++
	text := s.Reply
	text.Text = Pattern(text.Text)
	key := text.String()
	e := t.texts[key]
	if e == nil {
		if len(t.texts) >= maxTexts {
			return
		}
		e = &TextCount{Text: key, Host: s.Host, Example: s.Reply.String()}
		t.texts[key] = e
	}
	e.Count++
}

// Subject is what a record says was answered, and by whom.
func Subject(r *account.Record) classify.Subject {
	s := classify.Subject{Reply: classify.ParseReply(r.Diag), Host: strings.ToLower(r.Host), Domain: r.Domain}
	if s.Reply.Enhanced == "" && r.Status != classify.Expired {
		s.Reply.Enhanced = r.Status
	}
	for stage := mail.StageResolve; stage <= mail.StageQuit; stage++ {
		if r.Stage == stage.String() {
			s.Reply.Stage = stage
		}
	}
	return s
}

// Judged is a judgement in words, counted as none.
func Judged(j *classify.Judgement) RuleCount {
	c := RuleCount{Class: j.Cause.String(), Bounce: j.Bounce.String(), Category: string(j.Category)}
	if j.Cause != classify.CauseUnknown {
		c.Scope = j.Reach.String()
	}
	if r := cmp.Or(j.CauseRule, j.BounceRule); r != nil {
		c.Rule, c.Origin = r.Name, r.Origin.String()
	}
	return c
}

// Finish puts the counts in order.
func (t *Rules) Finish() {
	t.Rules, t.Texts = []RuleCount{}, []*TextCount{}
	for c, n := range t.rules { // sorted below: the order does not matter
		c.Count = n
		t.Rules = append(t.Rules, c)
	}
	slices.SortFunc(t.Rules, func(a, b RuleCount) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Class+a.Bounce, b.Class+b.Bounce))
	})
	for _, e := range t.texts { // sorted below: the order does not matter
		t.Texts = append(t.Texts, e)
	}
	slices.SortFunc(t.Texts, func(a, b *TextCount) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Text, b.Text)) })
}

// Pattern is the beginning of a text with what differs from reply to reply replaced: #
// for words with digits, <address> for addresses.
func Pattern(text string) string {
	const most = 100
	var b strings.Builder
	for _, w := range strings.Fields(text) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		switch {
		case strings.Contains(w, "@"):
			w = "<address>"
		case strings.ContainsAny(w, "0123456789"):
			w = "#"
		}
		b.WriteString(w)
		if b.Len() >= most {
			break
		}
	}
	s := b.String()
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
