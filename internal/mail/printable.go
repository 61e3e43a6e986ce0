package mail

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Printable escapes what a remote could have put into a text: control characters and
// bytes that are not UTF-8, so that a terminal never obeys them.
func Printable(s string) string {
	clean := utf8.ValidString(s)
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] != 0x7f
	}
	if clean && !strings.ContainsFunc(s, unsafe) {
		return s
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}

// unsafe are the control characters above ASCII, and those that turn the direction of
// the text around or are not seen at all.
func unsafe(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
		r >= 0x2060 && r <= 0x2069 || r == 0xfeff || r == 0x2028 || r == 0x2029
}
