package inject

import (
	"net/netip"
	"time"
)

// receivedField returns the trace field of the message (RFC 5321 §4.4):
//
//	Received: from HELO ([192.0.2.1])
//		by mta1.example.com (sluice) with ESMTPSA id 01J...
//		for <b@two.test>; Sat, 21 Nov 2026 19:02:59 +0000
//
// FOR is there with a single recipient only, so that no one learns of the others.
func (m *Message) receivedField() []byte {
	env := m.env
	b := make([]byte, 0, 256)
	b = append(b, "Received: from "...)
	if env.Source.Helo == "" {
		b = append(b, "unknown"...)
	} else {
		b = appendToken(b, env.Source.Helo, env.SMTPUTF8)
	}
	if a := env.Source.Client.Addr(); a.IsValid() {
		b = append(b, " ("...)
		b = appendLiteral(b, a)
		b = append(b, ')')
	}
	b = append(b, "\r\n\tby "...)
	b = appendToken(b, m.settings.Hostname, false)
	b = append(b, " (sluice) with "...)
	b = append(b, m.origin.Protocol...)
	b = append(b, " id "...)
	b = env.ID.AppendTo(b)
	if len(env.Recipients) == 1 && (env.SMTPUTF8 || env.Recipients[0].Address.IsASCII()) {
		b = append(b, "\r\n\tfor <"...)
		b = append(b, env.Recipients[0].Address.String()...)
		b = append(b, '>')
	}
	b = append(b, "; "...)
	b = time.Unix(0, env.Received).UTC().AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 +0000")
	return append(b, "\r\n"...)
}

// appendToken writes a name that a client gave; what could change the shape of the
// field becomes ?.
func appendToken(dst []byte, s string, utf8 bool) []byte {
	for i := range len(s) {
		b := s[i]
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9',
			b == '.', b == '-', b == '_', b == ':', b == '[', b == ']', utf8 && b >= 0x80:
			dst = append(dst, b)
		default:
			dst = append(dst, '?')
		}
	}
	return dst
}

// appendLiteral writes an address literal (RFC 5321 §4.1.3).
func appendLiteral(dst []byte, a netip.Addr) []byte {
	dst = append(dst, '[')
	if a.Is6() {
		dst = append(dst, "IPv6:"...)
	}
	return append(a.AppendTo(dst), ']')
}
