package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Label is the checked name of a stanza.
type Label struct {
	Text   string // canonical
	regex  *pattern
	prefix netip.Prefix
}

// maxRegex bounds a regular expression in octets.
const maxRegex = 4096

// ParseLabel checks the label of a stanza of the kind and gives its canonical form.
// The error says what is allowed.
func ParseLabel(kind ScopeKind, text string) (Label, error) {
	if text == "" {
		return Label{}, errors.New("the label is empty")
	}
	switch kind {
	case ScopeGroup, ScopeBinding:
		if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }); i >= 0 {
			return Label{}, errors.New("a name holds no spaces, colons or control characters")
		}
		return Label{Text: text}, nil
	case ScopeDomain:
		return nameLabel(text)
	case ScopeRollup:
		name, err := mail.CanonicalDomain(text)
		if err != nil || name == "off" || name == "auto" {
			return Label{}, errors.New("the name of a rollup is written as a domain's, gmail.rollup for one; off and auto mean something else")
		}
		return Label{Text: name}, nil
	case ScopeHost:
		if p, ok := blockLabel(text); ok {
			canonical := p.String()
			if p.IsSingleIP() {
				canonical = p.Addr().String()
			}
			return Label{Text: canonical, prefix: p}, nil
		}
		return nameLabel(text)
	}
	if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return Label{}, errors.New("a label holds no control characters")
	}
	return Label{Text: text}, nil
}

func nameLabel(text string) (Label, error) {
	if isRegex(text) {
		inner := text[1 : len(text)-1]
		if inner == "" {
			return Label{}, errors.New("the regular expression is empty")
		}
		if len(inner) > maxRegex {
			return Label{}, fmt.Errorf("the regular expression is longer than %d characters", maxRegex)
		}
		re, err := newPattern(inner)
		if err != nil {
			return Label{}, fmt.Errorf("not a regular expression (RE2 syntax): %w", err)
		}
		return Label{Text: text, regex: re}, nil
	}
	if strings.HasPrefix(text, "/") {
		return Label{}, errors.New(`a regular expression is written "/RE/": the closing / is missing`)
	}
	if strings.Contains(text, "*") {
		return Label{}, errors.New(`* is not a wildcard here; write a regular expression: "/\.example\.com$/"`)
	}
	name, err := mail.CanonicalDomain(text)
	if err != nil {
		return Label{}, fmt.Errorf("not a domain name (nor a regular expression %q)", "/RE/")
	}
	return Label{Text: name}, nil
}

// blockLabel understands 192.0.2.1, 2001:db8::1, [2001:db8::1] and blocks; an address
// is a block of full length.
func blockLabel(text string) (netip.Prefix, bool) {
	t := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	if p, err := netip.ParsePrefix(t); err == nil {
		if p.Addr().Is4In6() {
			return netip.Prefix{}, false
		}
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(t)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}
