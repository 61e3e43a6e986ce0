package mail

import (
	"strconv"
	"strings"
)

// DecodeXText undoes the encoding of ENVID and ORCPT values (RFC 3461 §4): +HH stands for
// an octet. What is no such escape stays as it is.
func DecodeXText(s string) string {
	if !strings.Contains(s, "+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
