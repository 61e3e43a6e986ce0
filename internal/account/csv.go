package account

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/sched"
)

// header is the first line of every CSV file: PowerMTA 5's default columns in its order.
const header = "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat," +
	"srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,envId,queue,vmtaPool\n"

// letters are the values of the column type.
var letters = [...]string{
	sched.RecordReceived: "r", sched.RecordDelivered: "d", sched.RecordDeferred: "t", sched.RecordBounced: "b",
	sched.RecordRemoteBounce: "rb", sched.RecordRemoteStatus: "rs", sched.RecordFeedback: "f",
}

// AppendCSV appends the row of a record, its line end included.
func AppendCSV(b []byte, r *Record) []byte {
	b = append(append(b, letters[r.Kind]...), ',')
	b = appendTime(b, r.Logged)
	b = append(b, ',')
	b = appendTime(b, r.Queued)
	for _, s := range [...]string{r.Sender, r.Recipient, r.ORcpt, r.Action} {
		b = appendField(append(b, ','), s)
	}
	b = append(b, ',')
	if text := classify.StatusText(r.Status); text != "" && isPlain(r.Status) {
		b = append(appendField(b, r.Status), " ("...)
		b = append(append(b, text...), ')')
	} else {
		b = appendField(b, r.Status)
	}
	b = appendField(append(b, ','), r.Diag)
	b = appendNameAndIP(append(b, ','), r.Host, r.Remote)
	b = appendField(append(b, ','), r.Category)
	b = appendField(append(b, ','), sourceType(r.Protocol))
	b = appendNameAndIP(append(b, ','), r.Helo, r.Client)
	b = append(b, ',')
	if r.Remote.IsValid() {
		b = append(b, "smtp"...)
	}
	b = appendIP(append(b, ','), r.Local)
	b = appendIP(append(b, ','), r.Remote)
	b = appendList(append(b, ','), r.Extensions)
	b = append(b, ',')
	if r.Kind != sched.RecordReceived && r.Remote.IsValid() || r.Kind == sched.RecordReceived && r.Size > 0 {
		b = strconv.AppendInt(b, r.Size, 10)
	}
	for _, s := range [...]string{r.Binding, r.Job, r.EnvID} {
		b = appendField(append(b, ','), s)
	}
	b = append(b, ',')
	if r.Domain != "" {
		b = appendField(b, r.Domain+"/"+r.Binding)
	}
	b = appendField(append(b, ','), r.Group)
	return append(b, '\n')
}

// sourceType is the value of srcType for a protocol.
func sourceType(protocol string) string {
	if protocol == "http" {
		return "api"
	}
	return protocol
}

// appendField appends a field (RFC 4180 §2), quoted when it must be. Octets that could
// end a line, or that are no text, are written as \n, \r, \t, \xHH; a backslash as \\.
func appendField(b []byte, s string) []byte {
	if isPlain(s) {
		return append(b, s...)
	}
	quoted := false
	for i := range len(s) {
		if s[i] == '"' || s[i] == ',' {
			quoted = true
			break
		}
	}
	if quoted {
		b = append(b, '"')
	}
	b = appendEscaped(b, s)
	if quoted {
		b = append(b, '"')
	}
	return b
}

// isPlain reports whether s is printable ASCII without what needs quotes or escapes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == ',' || c == '\\' {
			return false
		}
	}
	return true
}

func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x80 {
			r, n := utf8.DecodeRuneInString(s[i:])
			if (r == utf8.RuneError && n == 1) || breaksLines(r) {
				for range n {
					b = appendHex(b, s[i])
					i++
				}
				continue
			}
			b = append(b, s[i:i+n]...)
			i += n
			continue
		}
		i++
		switch {
		case c == '"':
			b = append(b, '"', '"')
		case c == '\\':
			b = append(b, '\\', '\\')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == 0x7f:
			b = appendHex(b, c)
		default:
			b = append(b, c)
		}
	}
	return b
}

// breaksLines reports whether some readers take r for the end of a line, or a terminal
// for a command: the C1 controls and the Unicode separators.
func breaksLines(r rune) bool { return r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 }

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, c byte) []byte {
	return append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
}

// appendNameAndIP appends "host (192.0.2.1)", or what of it there is.
func appendNameAndIP(b []byte, name string, ip netip.Addr) []byte {
	if !ip.IsValid() {
		return appendField(b, name)
	}
	if name != "" {
		if !isPlain(name) { // a HELO of a client's: the whole field must be quoted as one
			return appendField(b, name+" ("+ip.String()+")")
		}
		b = append(append(b, name...), ' ')
	}
	b = append(b, '(')
	return append(appendIP(b, ip), ')')
}

func appendIP(b []byte, ip netip.Addr) []byte {
	if !ip.IsValid() {
		return b
	}
	return ip.Unmap().WithZone("").AppendTo(b)
}

// appendList appends words with commas between them, as one field.
func appendList(b []byte, words []string) []byte {
	if len(words) == 0 {
		return b
	}
	if len(words) == 1 {
		return appendField(b, words[0])
	}
	b = append(b, '"')
	for i, w := range words {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEscaped(b, w)
	}
	return append(b, '"')
}

// appendTime appends "2006-01-02 15:04:05+0000", nothing for 0.
func appendTime(b []byte, ns int64) []byte {
	if ns == 0 {
		return b
	}
	return append(appendDateTime(b, ns, ' '), "+0000"...)
}

// appendDateTime appends "2006-01-02 15:04:05" in UTC, with sep in the middle.
func appendDateTime(b []byte, ns int64, sep byte) []byte {
	t := time.Unix(0, ns).UTC()
	y, mo, d := t.Date()
	h, mi, s := t.Clock()
	b = appendDigits(b, y, 4)
	b = appendDigits(append(b, '-'), int(mo), 2)
	b = appendDigits(append(b, '-'), d, 2)
	b = appendDigits(append(b, sep), h, 2)
	b = appendDigits(append(b, ':'), mi, 2)
	return appendDigits(append(b, ':'), s, 2)
}

// appendDigits appends the last n decimal digits of v, v >= 0.
func appendDigits(b []byte, v, n int) []byte {
	for range n {
		b = append(b, '0')
	}
	for i := len(b) - 1; n > 0; i, n, v = i-1, n-1, v/10 {
		b[i] = byte('0' + v%10)
	}
	return b
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
