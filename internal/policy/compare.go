package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Difference is something that two configurations say otherwise.
type Difference struct {
	Option  string // canonical; empty: the stanza itself came or went
	Subject string // what was asked: "global", or a stanza as Origin.Stanza has it
	Old     string // as `config eval` prints it; "-" when it is not set, or the stanza is not there
	New     string
	Origin  Origin // where the new value is set; where the old one was, when the new one is a default
	Own     bool   // what the stanza itself sets is compared, not the effective value
}

// absent stands for a value that is not set, and for a stanza that is not there.
const absent = "-"

// present stands for a stanza that is there.
const present = "there"

// Compare says what differs between two configurations: the effective values for every
// name that a stanza of either speaks of, the values of stanzas that match by a regular
// expression, and the other stanzas. What a stanza has only because the one around it
// changed is said once. In the order of the files, the new one's first.
func Compare(old, new *Snapshot) []Difference {
	c := &comparison{old: old, new: new}
	c.tree(Question{}, old.Root, new.Root, nil)
	c.others(kept(old.Root), kept(new.Root))
	if a, b := rollupOrder(old), rollupOrder(new); a != b && sortedWords(a) == sortedWords(b) {
		c.out = append(c.out, Difference{Option: "order", Subject: "rollup", Old: a, New: b})
	}
	return c.out
}

type comparison struct {
	old, new *Snapshot
	out      []Difference
}

// tree compares what holds for the names of one stanza and of those in it. Either of the
// scopes may be nil. above is what differs for the stanza around it.
func (c *comparison) tree(q Question, old, new *Scope, above []Difference) {
	scope := new
	if scope == nil {
		scope = old
	}
	if scope.Kind == ScopeBinding || scope.Kind == ScopeGroup {
		if old == nil || new == nil {
			c.stanza(scope, old != nil, new != nil)
			return
		}
	}
	mine := c.values(q, scope, old, new, above)
	c.out = append(c.out, mine...)
	for _, kind := range [...]ScopeKind{ScopeGroup, ScopeBinding, ScopeDomain, ScopeHost} {
		for _, k := range union(kind, old, new) {
			next := q
			switch kind {
			case ScopeGroup:
				next.Group = k.label
			case ScopeBinding:
				next.Binding = k.label
			case ScopeDomain:
				next.Domain = k.label
			default:
				next.Host = k.label
			}
			c.tree(next, old.child(k), new.child(k), append(slices.Clip(above), mine...))
		}
	}
}

func (s *Scope) child(k childKey) *Scope {
	if s == nil {
		return nil
	}
	return s.index[k]
}

// union lists the stanzas of a kind in either scope, the new one's first.
func union(kind ScopeKind, old, new *Scope) []childKey {
	var out []childKey
	for _, s := range [...]*Scope{new, old} {
		if s == nil {
			continue
		}
		for _, x := range s.children {
			if k := (childKey{kind, x.Label}); x.Kind == kind && (s == new || new.child(k) == nil) {
				out = append(out, k)
			}
		}
	}
	return out
}

// values compares the options that can be asked for a stanza's names.
func (c *comparison) values(q Question, scope, old, new *Scope, above []Difference) []Difference {
	var out []Difference
	for _, o := range table {
		if o.Scopes&inTree == 0 || q.Host != "" && o.HostChain == nil {
			continue
		}
		d := Difference{Option: o.Name, Subject: scope.Path}
		var same bool
		if scope.regex != nil { // it has no name of its own to ask for
			same = d.own(o, old.Get(o), new.Get(o))
		} else {
			same = d.effective(c.eval(c.old, q, o), c.eval(c.new, q, o))
		}
		if same || old.Get(o) == nil && new.Get(o) == nil && known(above, &d) {
			continue
		}
		out = append(out, d)
	}
	return out
}

func (c *comparison) eval(s *Snapshot, q Question, o *Option) Answer {
	if b := s.Bindings[q.Binding]; b != nil {
		q.Group = b.Group
	}
	q.Option = o
	return s.Eval(q)
}

// known reports whether the same has been said for a stanza around it.
func known(above []Difference, d *Difference) bool {
	return slices.ContainsFunc(above, func(x Difference) bool { return x.Option == d.Option && x.Old == d.Old && x.New == d.New })
}

// own fills in what two stanzas set; true when that is the same.
func (d *Difference) own(o *Option, old, new *Setting) bool {
	d.Old, d.New, d.Own = absent, absent, true
	if old != nil {
		d.Old, d.Origin = old.shown(o), old.Origin
	}
	if new != nil {
		d.New, d.Origin = new.shown(o), new.Origin
	}
	return d.Old == d.New || old != nil && new != nil && old.same(&new.Value)
}

// effective fills in two answers; true when they are the same.
func (d *Difference) effective(old, new Answer) bool {
	d.Old, d.New, d.Origin = absent, absent, new.Origin
	if old.IsSet {
		d.Old = old.Value.shown(old.Option)
	}
	if new.IsSet {
		d.New = new.Value.shown(new.Option)
	}
	if d.Origin.IsDefault() {
		d.Origin = old.Origin
	}
	return old.IsSet == new.IsSet && (d.Old == d.New || old.Value.same(&new.Value))
}

// same reports whether two values mean the same, however they are written.
func (v *Value) same(w *Value) bool {
	return v.Num == w.Num && v.Str == w.Str && v.Rate == w.Rate && v.Addr == w.Addr && slices.Equal(v.List, w.List) &&
		slices.Equal(v.Networks, w.Networks) && slices.Equal(v.Times, w.Times)
}

// stanza says that one came or went.
func (c *comparison) stanza(s *Scope, was, is bool) {
	d := Difference{Subject: s.Path, Old: absent, New: absent, Origin: s.Origin}
	if was {
		d.Old = present
	}
	if is {
		d.New = present
	}
	c.out = append(c.out, d)
}

// kept returns the stanzas that values do not fall through, in the order of the file.
func kept(root *Scope) []*Scope {
	var out []*Scope
	for _, s := range root.children {
		switch {
		case s.Kind <= ScopeHost:
		case inListen.Has(s.Kind):
			out = append(out, s.children...)
		default:
			out = append(out, s)
		}
	}
	return out
}

// others compares them.
func (c *comparison) others(old, new []*Scope) {
	was := map[childKey]*Scope{}
	for _, s := range old {
		was[childKey{s.Kind, s.Label}] = s
	}
	for _, s := range new {
		k := childKey{s.Kind, s.Label}
		o := was[k]
		delete(was, k)
		if o == nil {
			c.stanza(s, false, true)
			continue
		}
		for _, x := range table {
			d := Difference{Option: x.Name, Subject: s.Path}
			if x.Scopes.Has(s.Kind) && !d.own(x, o.around(x), s.around(x)) {
				c.out = append(c.out, d)
			}
		}
	}
	for _, s := range old {
		if was[childKey{s.Kind, s.Label}] == s {
			c.stanza(s, true, false)
		}
	}
}

// around is what a stanza, or the one of its kind around it, sets.
func (s *Scope) around(o *Option) *Setting {
	if v := s.Get(o); v != nil || s.Parent == nil || s.Parent.Kind != s.Kind {
		return v
	}
	return s.Parent.Get(o)
}

func rollupOrder(s *Snapshot) string {
	names := make([]string, len(s.Rollups))
	for i := range s.Rollups {
		names[i] = s.Rollups[i].Name
	}
	return strings.Join(names, " ")
}

func sortedWords(s string) string {
	w := strings.Fields(s)
	slices.Sort(w)
	return strings.Join(w, " ")
}

// PathChange is a limit or a throttle of a path that two configurations set otherwise.
type PathChange struct {
	Option   string
	By       By
	Old, New string // "unlimited" when there is none
	Origin   Origin // of the new one; of the old one when it is gone
}

// ComparePaths says which limits and throttles of two paths differ. A counter is the same
// when its option and what it counts together are.
func ComparePaths(oldLimits, newLimits []Limit, oldRates, newRates []Throttle) []PathChange {
	var out []PathChange
	out = compareEach(out, oldLimits, newLimits, func(l *Limit) pathItem {
		return pathItem{l.Option, l.By, strconv.Itoa(l.Max), l.Origin}
	})
	out = compareEach(out, reserves(oldLimits), reserves(newLimits), func(l *Limit) pathItem {
		return pathItem{opt.serverReserve.Name, l.By, strconv.Itoa(l.Reserve), l.Origin}
	})
	return compareEach(out, oldRates, newRates, func(t *Throttle) pathItem {
		return pathItem{t.Option, t.By, t.Rate.String(), t.Origin}
	})
}

// reserves is the limits that may have a reserve.
func reserves(limits []Limit) (out []Limit) {
	for _, l := range limits {
		if l.Option == opt.serverMax.Name && l.By == 0 {
			out = append(out, l)
		}
	}
	return out
}

type pathItem struct {
	option string
	by     By
	text   string
	origin Origin
}

// is reports whether two are the same counter.
func (x pathItem) is(y pathItem) bool {
	return x.option == y.option && x.by == y.by && (x.by&ByStanza == 0 || x.origin.Stanza == y.origin.Stanza)
}

func compareEach[T any](out []PathChange, old, new []T, item func(*T) pathItem) []PathChange {
	find := func(list []T, x pathItem) (pathItem, bool) {
		for i := range list {
			if y := item(&list[i]); y.is(x) {
				return y, true
			}
		}
		return pathItem{text: unlimited}, false
	}
	for i := range new {
		n := item(&new[i])
		if o, _ := find(old, n); o.text != n.text {
			if n.origin.IsDefault() {
				n.origin = o.origin
			}
			out = append(out, PathChange{n.option, n.by, o.text, n.text, n.origin})
		}
	}
	for i := range old {
		o := item(&old[i])
		if _, ok := find(new, o); !ok {
			out = append(out, PathChange{o.option, o.by, o.text, unlimited, o.origin})
		}
	}
	return out
}

// IsCounted reports whether an option's effect is a counter or a throttle of paths:
// ComparePaths compares it.
func IsCounted(o *Option) bool {
	return slices.Contains([]*Option{
		opt.maxOutbound, opt.serverMax, opt.serverReserve, opt.scopeMax, opt.clusterMax, opt.clusterServer, opt.clusterScope,
		opt.connectRate, opt.messageRate, opt.throttleConns, opt.throttleMessages, opt.clusterThrottleConns, opt.clusterThrottleMessages,
	}, o)
}

// CompareQueues says which other options differ for the mail of a binding to a recipient
// domain, counted under the routing domains given.
func CompareQueues(old, new *Snapshot, binding, domain, oldRouting, newRouting string) []Difference {
	c := comparison{old: old, new: new}
	var out []Difference
	for _, o := range table {
		if o.Scopes&inTree == 0 || IsCounted(o) {
			continue
		}
		a, b := oldRouting, newRouting
		if o.Recipient {
			a, b = domain, domain
		}
		d := Difference{Option: o.Name}
		if !d.effective(c.eval(old, Question{Binding: binding, Domain: a}, o), c.eval(new, Question{Binding: binding, Domain: b}, o)) {
			out = append(out, d)
		}
	}
	return out
}
