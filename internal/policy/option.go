package policy

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Option is everything the program knows of one option. Parsing, checking,
// evaluation, the reference, completion and the importers are derived from it.
type Option struct {
	Name    string   // canonical: lower case, words joined by _
	Aliases []string // as users of other servers write them
	Type    Type
	Unit    string // what a number counts, for the reference
	Min     int64  // lowest value: of integers, sizes in octets, durations in ns
	Max     int64  // highest value; 0: none
	Minus   string // what -1 means, when it is allowed below Min; "" when it is not
	Enum    []string
	Default string // as `config eval` prints it; "" when there is none
	Hosts   string // the default in host scope, where it differs

	Scopes      ScopeSet
	NotInGroup  bool   // not valid in a binding_group, nor in anything inside one
	NotInDomain bool   // of its host scope: only names, no address labels
	Chain       Chain  // how a value is found
	HostChain   Chain  // how it is found for a host; nil: host is not asked
	ByReference bool   // the counter or bucket belongs to the stanza that sets it
	Recipient   bool   // under a rollup asked for the recipient's domain
	Doc         string // one line
	Later       string // what it does not do yet; "" when it has its whole effect

	index      int
	def, hosts Value
}

// Title is the name with a capital at the beginning of each word: Max_Mx_Hosts.
func (o *Option) Title() string {
	b := []byte(o.Name)
	for i := range b {
		if (i == 0 || b[i-1] == '_') && b[i] >= 'a' && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

// HasDefault reports whether there is a built-in value.
func (o *Option) HasDefault() bool { return o.Default != "" }

// DefaultValue is the built-in value; its Text is empty when there is none.
func (o *Option) DefaultValue() Value { return o.def }

// Fold is the form in which names of options and stanzas are compared: lower case,
// - and _ the same.
func Fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// wrapped are the aliases that make a single value a list of one.
var wrapped = map[string]bool{"retry_after": true}

// Parse checks a value as written under a name (canonical or an alias). The error
// says in words what is wrong and what is allowed.
func (o *Option) Parse(name string, raw Raw) (Value, error) {
	if wrapped[Fold(name)] && !raw.IsList {
		raw = Raw{List: []string{raw.Text}, IsList: true}
	}
	v, err := o.parse(raw)
	if err != nil {
		return Value{}, fmt.Errorf("%w; allowed: %s", err, o.Allowed())
	}
	if v.Text == "" {
		v.Text = raw.String()
	}
	v.IsList = raw.IsList
	return v, nil
}

// String is the value as `config eval` prints it.
func (r Raw) String() string {
	if !r.IsList {
		return r.Text
	}
	var b strings.Builder
	b.WriteString("(")
	for _, e := range r.List {
		b.WriteString(" " + Quote(e))
	}
	b.WriteString(" )")
	return b.String()
}

// Quote writes a text as a word when it is one, in quotes otherwise.
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, needsQuote) < 0 && !strings.Contains(s, "/*") {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func needsQuote(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`#"'={}[]()`, r) }

func (t Type) isList() bool {
	return t == TypeList || t == TypeNetworks || t == TypeBindings || t == TypeEndpoints || t == TypeRoutes
}

func (o *Option) parse(raw Raw) (Value, error) {
	if o.Type == TypeRetry {
		return o.parseRetry(raw)
	}
	if o.Type.isList() {
		if !raw.IsList {
			raw = Raw{Text: raw.Text, List: []string{raw.Text}}
		}
		return o.parseList(raw.List)
	}
	if raw.IsList {
		return Value{}, fmt.Errorf("%s takes one value, not a list", o.Name)
	}
	return o.parseOne(raw.Text)
}

func (o *Option) parseOne(s string) (Value, error) {
	switch o.Type {
	case TypeInt:
		return o.parseInt(s)
	case TypeBool:
		on, ok := parseBool(s)
		if !ok {
			return Value{}, fmt.Errorf("%q is not a boolean", s)
		}
		if on {
			return Value{Num: 1}, nil
		}
		return Value{}, nil
	case TypeDuration:
		d, err := ParseDuration(s)
		if err != nil {
			return Value{}, fmt.Errorf("%q is %w", s, err)
		}
		return o.inRange(s, int64(d))
	case TypeSize:
		n, err := ParseSize(s)
		if err != nil {
			return Value{}, fmt.Errorf("%q is %w", s, err)
		}
		return o.inRange(s, n)
	case TypeRate:
		r, err := ParseRate(s)
		if err != nil {
			return Value{}, fmt.Errorf("%q: %w", s, err)
		}
		return Value{Rate: r, Text: r.String()}, nil
	case TypeEnum:
		i := slices.IndexFunc(o.Enum, func(e string) bool { return strings.EqualFold(e, s) })
		if i < 0 {
			return Value{}, fmt.Errorf("%q is not a choice%s", s, suggest(s, o.Enum))
		}
		return Value{Num: int64(i), Str: o.Enum[i]}, nil
	case TypeRetries:
		if strings.EqualFold(s, "auto") {
			return Value{Num: -1}, nil
		}
		return o.parseInt(s)
	}
	return o.parseText(s)
}

func (o *Option) parseText(s string) (Value, error) {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return Value{}, fmt.Errorf("%q holds a control character", s)
	}
	if s == "" {
		return Value{}, fmt.Errorf("the text is empty")
	}
	switch o.Type {
	case TypeAddress:
		if strings.EqualFold(s, "any") || s == "*" {
			return Value{}, nil
		}
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return Value{}, fmt.Errorf("%q is not an IP address", s)
		}
		return Value{Addr: a.Unmap()}, nil
	case TypeName:
		name, err := mail.CanonicalDomain(s)
		if err != nil {
			return Value{}, fmt.Errorf("%q is not a host name", s)
		}
		return Value{Str: name}, nil
	case TypeGateway:
		if err := checkGateway(s); err != nil {
			return Value{}, err
		}
	case TypeProxy:
		if _, err := parseProxy(s); err != nil {
			return Value{}, err
		}
	case TypeMailbox:
		local, domain, ok := cutLast(s, "@")
		if !ok || local == "" || strings.ContainsAny(s, " <>") {
			return Value{}, fmt.Errorf("%q is not an e-mail address", s)
		}
		if _, err := mail.CanonicalDomain(domain); err != nil {
			return Value{}, fmt.Errorf("%q is not an e-mail address", s)
		}
	}
	return Value{Str: s}, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (o *Option) parseInt(s string) (Value, error) {
	if o.Minus != "" && s == "-1" {
		return Value{Num: -1}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return Value{}, fmt.Errorf("%q is %w", s, errNumber)
	}
	return o.inRange(s, n)
}

func (o *Option) inRange(s string, n int64) (Value, error) {
	if n < o.Min {
		return Value{}, fmt.Errorf("%s is too small", s)
	}
	if n > o.highest() {
		return Value{}, fmt.Errorf("%s is %w", s, errLarge)
	}
	return Value{Num: n}, nil
}

// maxCount bounds every integer, so that sums of them stay exact.
const maxCount = 1_000_000_000

func (o *Option) highest() int64 {
	switch {
	case o.Max != 0:
		return o.Max
	case o.Type == TypeDuration || o.Type == TypeRetry:
		return int64(3650 * 24 * time.Hour)
	case o.Type == TypeSize:
		return math.MaxInt64 / 4
	}
	return maxCount
}

func (o *Option) parseRetry(raw Raw) (Value, error) {
	list := raw.List
	if !raw.IsList {
		list = []string{raw.Text}
	}
	if len(list) == 0 {
		return Value{}, fmt.Errorf("the list is empty")
	}
	v := Value{Num: 0}
	for _, e := range list {
		d, err := ParseDuration(e)
		if err != nil {
			return Value{}, fmt.Errorf("%q is %w", e, err)
		}
		if _, err := o.inRange(e, int64(d)); err != nil {
			return Value{}, err
		}
		v.Times = append(v.Times, d)
	}
	if raw.IsList {
		v.Num = 1 // followed, not doubled
	}
	return v, nil
}

func (o *Option) parseList(list []string) (Value, error) {
	v := Value{List: list}
	for _, e := range list {
		if e == "" {
			return Value{}, fmt.Errorf("the list holds an empty text")
		}
		if strings.HasSuffix(e, ",") {
			return Value{}, fmt.Errorf("%q ends with a comma: the entries of a list are separated by white space", e)
		}
		switch o.Type {
		case TypeNetworks:
			p, ok := blockLabel(e)
			if !ok {
				return Value{}, fmt.Errorf("%q is not an address or a block", e)
			}
			v.Networks = append(v.Networks, p)
		case TypeRoutes:
			if _, err := ParseRoute(e); err != nil {
				return Value{}, err
			}
		case TypeEndpoints:
			if _, err := ParseEndpoint(e, 53); err != nil {
				return Value{}, err
			}
		case TypeList:
			if len(o.Enum) > 0 && !slices.Contains(o.Enum, strings.ToLower(e)) {
				return Value{}, fmt.Errorf("%q is not a choice%s", e, suggest(e, o.Enum))
			}
		}
	}
	return v, nil
}
