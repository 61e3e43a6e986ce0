package sign

import (
	"bytes"
	"strings"
)

// field is one header field as it stands in the message.
type field struct {
	name string // lower case
	raw  []byte // name, colon and value with all its lines, the last CRLF included
}

// parseHeader cuts a header block into fields. The empty line at its end and lines that
// are no fields are left out: nobody signs them.
func parseHeader(block []byte) []field {
	var out []field
	for len(block) > 0 {
		end := fieldEnd(block)
		raw := block[:end]
		block = block[end:]
		name, _, ok := bytes.Cut(raw, []byte(":"))
		if name = bytes.TrimRight(name, " \t"); !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
			continue
		}
		out = append(out, field{strings.ToLower(string(name)), raw})
	}
	return out
}

// fieldEnd is behind the first line end that no white space follows (RFC 5322 §2.2.3).
func fieldEnd(b []byte) int {
	for pos := 0; ; {
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			return len(b)
		}
		if pos += i + 1; pos == len(b) || b[pos] != ' ' && b[pos] != '\t' {
			return pos
		}
	}
}

// appendRelaxed appends a field in the relaxed form (RFC 6376 §3.4.2), its line end
// included.
func appendRelaxed(dst []byte, f field) []byte {
	dst = append(append(dst, f.name...), ':')
	_, value, _ := bytes.Cut(f.raw, []byte(":"))
	blank, any := false, false
	for _, c := range value {
		switch c {
		case ' ', '\t':
			blank = true
		case '\r', '\n':
		default:
			if blank && any {
				dst = append(dst, ' ')
			}
			blank, any = false, true
			dst = append(dst, c)
		}
	}
	return append(dst, '\r', '\n')
}

// signed are the fields that are signed when they are there. Those with always are signed
// once more than they are there even when they are not: adding one would change what a
// reader is shown.
var signed = []struct {
	name   string
	always bool
}{
	{"from", true},
	{"sender", false},
	{"reply-to", true},
	{"to", true},
	{"cc", true},
	{"subject", true},
	{"date", false},
	{"message-id", false},
	{"in-reply-to", false},
	{"references", false},
	{"mime-version", true},
	{"content-type", true},
	{"content-transfer-encoding", true},
	{"content-id", false},
	{"content-description", false},
	{"list-id", false},
	{"list-help", false},
	{"list-subscribe", false},
	{"list-unsubscribe", false},
	{"list-unsubscribe-post", false},
	{"list-owner", false},
	{"list-post", false},
	{"list-archive", false},
	{"feedback-id", false},
	{"auto-submitted", false},
}

// choose returns the names for h= and the fields to be hashed, in the order in which a
// verifier takes them: of several fields with a name from the last one up (RFC 6376
// §5.4.2).
func choose(fields []field) (names []string, out []field) {
	byName := map[string][]field{}
	for _, f := range fields {
		byName[f.name] = append(byName[f.name], f)
	}
	for _, s := range signed {
		all := byName[s.name]
		if len(all) == 0 && !s.always {
			continue
		}
		for i := len(all) - 1; i >= 0; i-- {
			names, out = append(names, s.name), append(out, all[i])
		}
		names = append(names, s.name)
	}
	return names, out
}
