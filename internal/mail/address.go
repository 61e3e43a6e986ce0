package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// Address is a mailbox. The zero Address is the null reverse-path <>.
type Address struct {
	Local  string // as the client wrote it, quoting included (RFC 5321 §4.1.2)
	Domain string // as the client wrote it; a Domain made by CanonicalDomain is used to route
}

// IsNull reports whether a is the null reverse-path <>.
func (a Address) IsNull() bool { return a == Address{} }

// String returns local@domain, the local part alone when there is no domain
// (postmaster), or nothing for the null reverse-path.
func (a Address) String() string {
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// IsASCII reports whether the address can be sent without SMTPUTF8 (RFC 6531).
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

var errDomain = errors.New("not a domain name")

// CanonicalDomain returns the form in which domains and hosts are compared,
// looked up and counted: A-labels (RFC 5891) in lower case without a trailing
// dot; an address literal stays in its brackets, in lower case. Names are at
// most 253 octets, labels 63 (RFC 1035 §2.3.4); an underscore is let pass
// because hosts in the field have them.
func CanonicalDomain(s string) (string, error) {
	in := s
	if strings.HasPrefix(s, "[") {
		return canonicalLiteral(in)
	}
	s = strings.TrimSuffix(s, ".")
	if !isASCII(s) {
		var err error
		if s, err = idna.Lookup.ToASCII(s); err != nil {
			return "", fmt.Errorf("domain %q: %w", in, err)
		}
	}
	s = strings.ToLower(s)
	if s == "" || len(s) > 253 {
		return "", fmt.Errorf("domain %q: %w", in, errDomain)
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return "", fmt.Errorf("domain %q: %w", in, errDomain)
		}
	}
	return s, nil
}

func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Literal returns the address in an address literal, [192.0.2.1] or
// [IPv6:2001:db8::1] (RFC 5321 §4.1.3), and whether domain is one.
func Literal(domain string) (netip.Addr, bool) {
	inner, ok := strings.CutPrefix(domain, "[")
	if !ok {
		return netip.Addr{}, false
	}
	if inner, ok = strings.CutSuffix(inner, "]"); !ok {
		return netip.Addr{}, false
	}
	v6 := len(inner) > 5 && strings.EqualFold(inner[:5], "ipv6:")
	if v6 {
		inner = inner[5:]
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || a.Zone() != "" || a.Is6() != v6 {
		return netip.Addr{}, false
	}
	return a, true
}

func canonicalLiteral(s string) (string, error) {
	a, ok := Literal(s)
	if !ok {
		return "", fmt.Errorf("domain %q: not an address literal", s)
	}
	if a.Is6() {
		return "[ipv6:" + a.String() + "]", nil
	}
	return "[" + a.String() + "]", nil
}
