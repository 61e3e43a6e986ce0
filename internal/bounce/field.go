package bounce

import (
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// appendField appends a field, folded at spaces (RFC 5322 §2.2.3); a word too long for a
// line is cut. What is not printable ASCII is escaped, line ends become folds.
func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ':')
	column := len(name) + 1
	for line := range strings.SplitSeq(strings.ReplaceAll(value, "\r", "\n"), "\n") {
		for word := range strings.FieldsSeq(clean(line)) {
			for len(word) > 0 {
				part := word[:min(len(word), 900)] // with the fold well below 998 (RFC 5322 §2.1.1)
				word = word[len(part):]
				if column+1+len(part) > lineLength && column > 1 {
					b = append(b, "\r\n"...)
					column = 0
				}
				b = append(append(b, ' '), part...)
				column += 1 + len(part)
			}
		}
		column = lineLength // a line of the value begins a line
	}
	return append(b, "\r\n"...)
}

// clean escapes what is not printable ASCII as \xHH, a tab as a space.
func clean(s string) string {
	if printable(s) && isASCII(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\t':
			b = append(b, ' ')
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// printable reports whether s has no control character.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// typedAddress is "rfc822; a@b", or for addresses that are not ASCII "utf-8; ..." in the
// form that is (RFC 6533 §3).
func typedAddress(a mail.Address) string {
	if a.IsASCII() {
		return "rfc822; " + a.String()
	}
	var b strings.Builder
	b.WriteString("utf-8; ")
	for _, r := range a.String() {
		if r > ' ' && r < 0x7f && r != '\\' && r != '+' && r != '=' {
			b.WriteRune(r)
		} else {
			b.WriteString(`\x{` + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + "}")
		}
	}
	return b.String()
}

// originalRecipient takes an ORCPT apart and undoes its xtext (RFC 3461 §4, §4.2).
func originalRecipient(orcpt string) (kind, addr string, ok bool) {
	kind, addr, ok = strings.Cut(orcpt, ";")
	if !ok || kind == "" || addr == "" || strings.ContainsFunc(kind, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", "", false
	}
	return kind, mail.DecodeXText(addr), true
}
