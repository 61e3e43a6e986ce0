package smtp

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Bounds of RFC 5321 §4.5.3.1 and RFC 3461 §4.
const (
	maxPath   = 256 // octets of a path with its brackets
	maxDomain = 255
	maxEnvID  = 100
	maxORcpt  = 500
)

var (
	faultMailSyntax = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "syntax: MAIL FROM:<address> [parameters]"}
	faultRcptSyntax = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "syntax: RCPT TO:<address> [parameters]"}
	faultSender     = mail.Reply{Code: 553, Enhanced: "5.1.7", Text: "sender address is malformed"}
	faultRecipient  = mail.Reply{Code: 553, Enhanced: "5.1.3", Text: "recipient address is malformed"}
	faultParam      = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "parameter is malformed"}
	faultRepeated   = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "parameter given twice"}
	faultUnknown    = mail.Reply{Code: 555, Enhanced: "5.5.4", Text: "parameter not recognised"}
	faultBinary     = mail.Reply{Code: 555, Enhanced: "5.6.3", Text: "BINARYMIME is not supported"}
)

// parseMail parses what follows "MAIL ". A nil reply means success.
func parseMail(args []byte) (mail.Address, MailParams, *mail.Reply) {
	var p MailParams
	rest, ok := cutPrefixFold(args, "FROM:")
	if !ok {
		return mail.Address{}, p, &faultMailSyntax
	}
	from, rest, ok := cutPath(rest)
	if !ok {
		return mail.Address{}, p, &faultSender
	}
	if !from.IsNull() && from.Domain == "" { // only RCPT knows a name without a domain
		return mail.Address{}, p, &faultSender
	}
	fault := eachParam(rest, func(key string, value []byte, has bool) *mail.Reply {
		return p.set(key, value, has)
	})
	return from, p, fault
}

func (p *MailParams) set(key string, value []byte, has bool) *mail.Reply {
	ok := has
	switch key {
	case "SIZE":
		p.Size, ok = parseSize(value)
	case "BODY":
		switch {
		case bytes.EqualFold(value, []byte("8BITMIME")):
			p.EightBit = true
		case bytes.EqualFold(value, []byte("BINARYMIME")):
			return &faultBinary
		default:
			ok = bytes.EqualFold(value, []byte("7BIT"))
		}
	case "SMTPUTF8":
		p.SMTPUTF8, ok = true, !has
	case "RET":
		switch {
		case bytes.EqualFold(value, []byte("FULL")):
			p.Ret = mail.RetFull
		case bytes.EqualFold(value, []byte("HDRS")):
			p.Ret = mail.RetHeaders
		default:
			ok = false
		}
	case "ENVID":
		ok = len(value) > 0 && len(value) <= maxEnvID && validXtext(value)
		if ok {
			p.EnvID = decodeXtext(value)
		}
	case "AUTH": // RFC 4954 §5: to be ignored from a client that is not trusted
		ok = len(value) > 0 && len(value) <= maxORcpt && validXtext(value)
		p.Auth = string(value)
	case "REQUIRETLS":
		p.RequireTLS, ok = true, !has
	case "BY":
		p.By, ok = parseBy(value)
	case "HOLDFOR", "HOLDUNTIL":
		return p.setRelease(key, value)
	default:
		return &faultUnknown
	}
	if !ok {
		return &faultParam
	}
	return nil
}

// parseSize reads the value of SIZE: up to 20 digits (RFC 1870 §3).
func parseSize(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 20 {
		return 0, false
	}
	for _, b := range v {
		if b < '0' || b > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil { // too large to count is too large in any case
		return 1<<63 - 1, true
	}
	return n, true
}

// parseRcpt parses what follows "RCPT ". A nil reply means success.
func parseRcpt(args []byte, smtputf8 bool) (mail.Address, RcptParams, *mail.Reply) {
	var p RcptParams
	rest, ok := cutPrefixFold(args, "TO:")
	if !ok {
		return mail.Address{}, p, &faultRcptSyntax
	}
	to, rest, ok := cutPath(rest)
	if !ok || to.IsNull() {
		return mail.Address{}, p, &faultRecipient
	}
	if to.Domain == "" && !strings.EqualFold(to.Local, "postmaster") { // RFC 5321 §4.5.1
		return mail.Address{}, p, &faultRecipient
	}
	fault := eachParam(rest, func(key string, value []byte, has bool) *mail.Reply {
		switch key {
		case "NOTIFY":
			p.Notify, ok = parseNotify(value)
		case "ORCPT":
			ok = validORcpt(value, smtputf8)
			p.ORcpt = string(value)
		default:
			return &faultUnknown
		}
		if !ok || !has {
			return &faultParam
		}
		return nil
	})
	return to, p, fault
}

// parseNotify reads NEVER, or a list of SUCCESS, FAILURE and DELAY (RFC 3461 §4.1).
func parseNotify(v []byte) (mail.Notify, bool) {
	var n mail.Notify
	for word := range bytes.SplitSeq(v, []byte(",")) {
		var bit mail.Notify
		switch strings.ToUpper(string(word)) {
		case "NEVER":
			return mail.NotifyNever, len(v) == len("NEVER")
		case "SUCCESS":
			bit = mail.NotifySuccess
		case "FAILURE":
			bit = mail.NotifyFailure
		case "DELAY":
			bit = mail.NotifyDelay
		}
		if bit == 0 || n&bit != 0 {
			return 0, false
		}
		n |= bit
	}
	return n, n != 0
}

// validORcpt checks type;xtext (RFC 3461 §4.2); for the type utf-8 what RFC 6533 §3
// lets stand unencoded is let pass under SMTPUTF8.
func validORcpt(v []byte, smtputf8 bool) bool {
	kind, text, ok := bytes.Cut(v, []byte(";"))
	if !ok || len(kind) == 0 || len(text) == 0 || len(v) > maxORcpt || !isAtomText(kind) {
		return false
	}
	if bytes.EqualFold(kind, []byte("utf-8")) {
		return validUTF8Xtext(text, smtputf8)
	}
	return validXtext(text)
}

// validXtext checks xtext (RFC 3461 §4): printable ASCII but + and =, and +XX with upper
// case hexadecimal digits. What it encodes must be printable too: an encoded NUL or line
// end has no business in a report.
func validXtext(v []byte) bool {
	for i := 0; i < len(v); i++ {
		b := v[i]
		if b == '+' {
			if i+2 >= len(v) {
				return false
			}
			hi, lo := hexDigit(v[i+1]), hexDigit(v[i+2])
			if hi < 0 || lo < 0 || hi<<4|lo < ' ' || hi<<4|lo > '~' {
				return false
			}
			i += 2
			continue
		}
		if b <= ' ' || b > '~' || b == '=' {
			return false
		}
	}
	return true
}

// decodeXtext decodes what validXtext has checked.
func decodeXtext(v []byte) string {
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] != '+' {
			out = append(out, v[i])
			continue
		}
		out = append(out, byte(hexDigit(v[i+1])<<4|hexDigit(v[i+2])))
		i += 2
	}
	return string(out)
}

// validUTF8Xtext checks the address of ORCPT=utf-8;... (RFC 6533 §3).
func validUTF8Xtext(v []byte, smtputf8 bool) bool {
	if !utf8.Valid(v) {
		return false
	}
	for _, b := range v {
		if b <= ' ' || b == 0x7f || b >= 0x80 && !smtputf8 {
			return false
		}
	}
	return true
}

func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// eachParam calls set for each KEY or KEY=VALUE of esmtp-params (RFC 5321 §4.1.2), the
// key in upper case, until one fails. No key may come twice.
func eachParam(rest []byte, set func(key string, value []byte, has bool) *mail.Reply) *mail.Reply {
	var seen [12]string
	n := 0
	for {
		rest = bytes.TrimLeft(rest, " ")
		if len(rest) == 0 {
			return nil
		}
		word := rest
		if i := bytes.IndexByte(rest, ' '); i >= 0 {
			word, rest = rest[:i], rest[i:]
		} else {
			rest = nil
		}
		k, value, has := bytes.Cut(word, []byte("="))
		if len(k) == 0 || !isAtomText(k) || has && len(value) == 0 {
			return &faultParam
		}
		key := strings.ToUpper(string(k))
		for _, s := range seen[:n] {
			if s == key {
				return &faultRepeated
			}
		}
		if n == len(seen) {
			return &faultUnknown // there are not as many
		}
		seen[n] = key
		n++
		if fault := set(key, value, has); fault != nil {
			return fault
		}
	}
}

func cutPrefixFold(s []byte, prefix string) ([]byte, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(string(s[:len(prefix)]), prefix) {
		return nil, false
	}
	return bytes.TrimLeft(s[len(prefix):], " "), true // a space here is wrong and common
}

// cutPath reads <path>, and what follows it. The null path gives the zero Address; a
// source route is dropped (RFC 5321 §4.1.1.3); the domain may be missing. What follows is
// empty or begins with a space.
func cutPath(s []byte) (mail.Address, []byte, bool) {
	if len(s) == 0 || s[0] != '<' {
		return mail.Address{}, nil, false
	}
	end := pathEnd(s)
	if end < 0 || end+1 > maxPath {
		return mail.Address{}, nil, false
	}
	path, rest := s[1:end], s[end+1:]
	if len(rest) > 0 && rest[0] != ' ' {
		return mail.Address{}, nil, false
	}
	if len(path) == 0 {
		return mail.Address{}, rest, true
	}
	path, ok := dropRoute(path)
	if !ok {
		return mail.Address{}, nil, false
	}
	a, err := ParseAddress(string(path))
	return a, rest, err == nil
}

// pathEnd finds the > that ends the path: one inside a quoted local part does not.
func pathEnd(s []byte) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case '>':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// dropRoute removes "@a,@b:" from the front.
func dropRoute(path []byte) ([]byte, bool) {
	if path[0] != '@' {
		return path, true
	}
	route, mailbox, ok := bytes.Cut(path, []byte(":"))
	if !ok || len(mailbox) == 0 {
		return nil, false
	}
	for hop := range bytes.SplitSeq(route, []byte(",")) {
		if len(hop) < 2 || hop[0] != '@' || !validDomain(string(hop[1:])) {
			return nil, false
		}
	}
	return mailbox, true
}
