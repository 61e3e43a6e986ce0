package smtp

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/mail"
)

// AddressError is an address that is not a Mailbox of RFC 5321 §4.1.2.
type AddressError struct {
	Address string
	Reason  string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("address %q: %s", e.Address, e.Reason)
}

// ParseAddress reads a mailbox, local@domain, or a local part alone (postmaster),
// without brackets: dot-string or quoted-string before the @; a domain or an address
// literal after it (RFC 5321 §4.1.2, with UTF-8 as in RFC 6531 §3.3). At most 254 octets;
// the 64 octets of a local part are not enforced, as senders that encode the
// recipient in the return path use more. The error is an *AddressError.
func ParseAddress(s string) (mail.Address, error) {
	bad := func(reason string) (mail.Address, error) {
		return mail.Address{}, &AddressError{Address: s, Reason: reason}
	}
	if s == "" {
		return bad("is empty")
	}
	if len(s) > maxPath-2 {
		return bad("is longer than 254 octets")
	}
	if !utf8.ValidString(s) {
		return bad("is not UTF-8")
	}
	n, ok := localEnd(s)
	if !ok {
		return bad("has a malformed local part")
	}
	a := mail.Address{Local: s[:n]}
	if n == len(s) {
		return a, nil
	}
	if a.Domain = s[n+1:]; !validDomain(a.Domain) {
		return bad("has a malformed domain")
	}
	return a, nil
}

// localEnd returns where the local part ends: at the @, or at the end of s.
func localEnd(s string) (int, bool) {
	if s[0] == '"' {
		return quotedEnd(s)
	}
	atom := 0 // octets of the current atom
	for i := range len(s) {
		b := s[i]
		switch {
		case isAtext(b):
			atom++
		case b == '.' && atom > 0:
			atom = 0
		case b == '@':
			return i, atom > 0
		default:
			return 0, false
		}
	}
	return len(s), atom > 0
}

// quotedEnd is localEnd for a quoted-string; the empty one is let pass.
func quotedEnd(s string) (int, bool) {
	for i := 1; i < len(s); i++ {
		b := s[i]
		switch {
		case b == '"':
			i++
			return i, i == len(s) || s[i] == '@'
		case b == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return 0, false
			}
		case b < ' ' || b == 0x7f:
			return 0, false
		}
	}
	return 0, false
}

// isAtext is atext of RFC 5322 §3.2.3, with all of UTF-8 beyond ASCII (RFC 6531).
func isAtext(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0
}

func isAtomText(s []byte) bool {
	for _, b := range s {
		if 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' {
			continue
		}
		return false
	}
	return true
}

func validDomain(s string) bool {
	if len(s) > maxDomain || strings.HasSuffix(s, ".") {
		return false
	}
	_, err := mail.CanonicalDomain(s)
	return err == nil
}

// validHelo lets pass any printable name without spaces: clients give all sorts of
// names, and nothing depends on them.
func validHelo(s string) bool {
	if s == "" || len(s) > maxDomain || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b == 0x7f {
			return false
		}
	}
	return true
}
