package account

import (
	"net/netip"
	"unicode/utf8"
)

// AppendJSON appends a record as one JSON object on one line, its line end included.
// Fields that do not apply are left out. The names are relied on by others: fields may be
// added, never renamed.
func AppendJSON(b []byte, r *Record) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, r.Kind.String()...)
	b = append(b, '"')
	b = jsonTime(b, "time", r.Logged)
	b = append(b, `,"message":"`...)
	b = append(r.Message.AppendTo(b), '"')
	b = append(jsonString(append(b, `,"sender":"`...), r.Sender), '"')
	b = append(jsonString(append(b, `,"recipient":"`...), r.Recipient), '"')
	b = jsonText(b, "orcpt", r.ORcpt)
	b = jsonTime(b, "queued", r.Queued)
	b = jsonText(b, "tenant", r.Tenant)
	b = jsonText(b, "job", r.Job)
	b = jsonText(b, "envid", r.EnvID)
	b = jsonText(b, "binding", r.Binding)
	b = jsonText(b, "group", r.Group)
	b = jsonText(b, "domain", r.Domain)
	b = jsonNumber(b, "attempts", int64(r.Attempts))
	b = jsonText(b, "action", r.Action)
	b = jsonText(b, "status", r.Status)
	b = jsonText(b, "diag", r.Diag)
	b = jsonText(b, "category", r.Category)
	b = jsonNumber(b, "bounce_class", int64(r.Bounce))
	b = jsonText(b, "class", r.Cause)
	b = jsonText(b, "scope", r.Reach)
	b = jsonText(b, "rule", r.Rule)
	b = jsonText(b, "stage", r.Stage)
	b = jsonText(b, "host", r.Host)
	b = jsonIP(b, "remote", r.Remote)
	b = jsonNumber(b, "remote_port", int64(r.RemotePort))
	b = jsonIP(b, "local", r.Local)
	b = jsonText(b, "tls", r.TLS)
	b = jsonTime(b, "started", r.Started)
	b = jsonTime(b, "ended", r.Ended)
	if len(r.Extensions) > 0 {
		b = append(b, `,"extensions":[`...)
		for i, e := range r.Extensions {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(jsonString(append(b, '"'), e), '"')
		}
		b = append(b, ']')
	}
	b = jsonText(b, "protocol", r.Protocol)
	b = jsonIP(b, "client", r.Client)
	b = jsonText(b, "helo", r.Helo)
	b = jsonText(b, "login", r.Login)
	b = jsonText(b, "listener", r.Listener)
	b = jsonNumber(b, "size", r.Size)
	if p := &r.Report; *p != (Reported{}) {
		b = jsonText(b, "form", p.Form)
		if p.Verified {
			b = append(jsonName(b, "verified"), "true"...)
		}
		b = jsonText(b, "feedback", p.Feedback)
		b = jsonText(b, "user_agent", p.UserAgent)
		b = jsonText(b, "source_ip", p.SourceIP)
		b = jsonText(b, "message_id", p.MessageID)
		b = jsonText(b, "from", p.From)
	}
	return append(b, '}', '\n')
}

func jsonName(b []byte, name string) []byte {
	return append(append(append(b, ',', '"'), name...), '"', ':')
}

func jsonText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return append(jsonString(append(jsonName(b, name), '"'), s), '"')
}

func jsonNumber(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return appendInt(jsonName(b, name), n)
}

func jsonTime(b []byte, name string, ns int64) []byte {
	if ns == 0 {
		return b
	}
	b = append(jsonName(b, name), '"')
	b = append(appendDateTime(b, ns, 'T'), '.')
	ms := ((ns/1e6)%1000 + 1000) % 1000 // of a time before 1970 too
	return append(appendDigits(b, int(ms), 3), "Z\""...)
}

func jsonIP(b []byte, name string, ip netip.Addr) []byte {
	if !ip.IsValid() {
		return b
	}
	return append(appendIP(append(jsonName(b, name), '"'), ip), '"')
}

// jsonString appends the inside of a JSON string (RFC 8259 §7). What is not UTF-8 becomes
// U+FFFD; controls of terminals and line separators are escaped.
func jsonString(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < 0x80 {
			b = append(b, s[start:i]...)
			b = jsonEscape(b, rune(c))
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && n == 1) || breaksLines(r) {
			b = append(b, s[start:i]...)
			b = jsonEscape(b, r)
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}

func jsonEscape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
