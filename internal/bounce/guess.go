package bounce

import (
	"bytes"
	"strings"
)

// guess reads the reports of servers that follow no standard: Exim's field, qmail's
// paragraphs, and what most others have in common: somewhere an address, and near it the
// words of a server.
func (in *Incoming) guess(h header, parts []entity) {
	if automatic(h) {
		in.Kind, in.Form = KindReply, "text"
		return
	}
	text := plainText(parts)
	if failed := h.get("x-failed-recipients"); failed != "" {
		in.Form = "x-failed-recipients"
		for a := range strings.SplitSeq(failed, ",") {
			if a = strings.TrimSpace(a); a != "" && len(in.Recipients) < maxReported {
				in.Recipients = append(in.Recipients, said(field(a), text))
			}
		}
		in.settle()
		return
	}
	if !fromServer(h) {
		return
	}
	if rest, ok := cutQmail(text); ok {
		in.Form = "qmail"
		in.qmail(rest)
	} else {
		in.Form = "text"
		in.lines(text)
	}
	in.settle()
}

// settle says what the recipients found amount to.
func (in *Incoming) settle() {
	in.Kind = KindUnknown
	for i := range in.Recipients {
		r := &in.Recipients[i]
		if r.Action == "" {
			r.Action = actionOf(r.Status)
		}
		if r.Action == "failed" {
			in.Kind = KindBounce
		} else if in.Kind == KindUnknown {
			in.Kind = KindStatus
		}
	}
	if in.Kind == KindUnknown {
		in.Form = ""
	}
}

// automatic reports whether a message is an answer that no server gave: out of office, a
// challenge, a receipt (RFC 3834).
func automatic(h header) bool {
	if v := strings.ToLower(h.get("auto-submitted")); strings.HasPrefix(v, "auto-replied") && !fromServer(h) {
		return true
	}
	for _, name := range [...]string{"x-autoreply", "x-autorespond", "x-auto-response-suppress-reply", "x-vacation"} {
		if h.get(name) != "" && !fromServer(h) {
			return true
		}
	}
	subject := strings.ToLower(h.get("subject"))
	for _, p := range [...]string{"out of office", "automatic reply", "autoreply", "auto-reply", "auto:", "abwesenheit", "automatische antwort", "réponse automatique", "respuesta automática"} {
		if strings.HasPrefix(subject, p) {
			return true
		}
	}
	return false
}

// fromServer reports whether a message says that a mail server wrote it.
func fromServer(h header) bool {
	from := strings.ToLower(h.get("from"))
	for _, w := range [...]string{"mailer-daemon", "postmaster", "mail delivery", "maildelivery"} {
		if strings.Contains(from, w) {
			return true
		}
	}
	if strings.Trim(h.get("return-path"), " ") == "<>" {
		return true
	}
	subject := strings.ToLower(h.get("subject"))
	for _, w := range [...]string{
		"undeliver", "delivery status", "delivery fail", "failure notice", "returned mail", "delivery notification",
		"mail delivery failed", "non-delivery", "nondeliverable", "unzustellbar", "delivery has failed",
	} {
		if strings.Contains(subject, w) {
			return true
		}
	}
	return false
}

// plainText is the first readable part.
func plainText(parts []entity) []byte {
	for i := range parts {
		if parts[i].kind == "text/plain" {
			return parts[i].text()
		}
	}
	for i := range parts {
		if strings.HasPrefix(parts[i].kind, "text/") {
			return parts[i].text()
		}
	}
	return nil
}

// cutQmail finds the beginning of qmail's paragraphs (QSBMF).
func cutQmail(text []byte) ([]byte, bool) {
	i := bytes.Index(text, []byte("Hi. This is the "))
	if i < 0 {
		return nil, false
	}
	return text[i:], true
}

// qmail reads paragraphs that begin with <address>: in a line of its own, up to the line
// that begins the message.
func (in *Incoming) qmail(text []byte) {
	var open *Reported
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		if bytes.HasPrefix(line, []byte("---")) {
			return
		}
		if a, ok := bracketed(line); ok && bytes.HasSuffix(bytes.TrimSpace(line), []byte(":")) {
			if len(in.Recipients) == maxReported {
				return
			}
			in.Recipients = append(in.Recipients, Reported{Final: a})
			open = &in.Recipients[len(in.Recipients)-1]
			continue
		}
		if len(bytes.TrimSpace(line)) == 0 {
			open = nil
		}
		if open != nil {
			open.hear(line)
		}
	}
}

// lines looks for addresses, and for the words of a server beside and behind each.
func (in *Incoming) lines(text []byte) {
	const reach = 8 // lines behind an address
	var open *Reported
	left := 0
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		if hasPrefixFold(line, "received:") || hasPrefixFold(line, "return-path:") || hasPrefixFold(line, "message-id:") {
			return // the message itself begins
		}
		a, ok := bracketed(line)
		if !ok {
			a, ok = bare(line)
		}
		switch {
		case ok && !in.has(a) && len(in.Recipients) < maxReported:
			in.Recipients = append(in.Recipients, Reported{Final: a})
			open, left = &in.Recipients[len(in.Recipients)-1], reach
			_, line, _ = bytes.Cut(line, []byte(a))
			open.hear(line)
		case open != nil && left > 0:
			left--
			open.hear(line)
		}
	}
	// An address of which nothing is said is as likely a greeting as a failure.
	kept := in.Recipients[:0]
	for _, r := range in.Recipients {
		if r.Diag != "" {
			kept = append(kept, r)
		}
	}
	in.Recipients = kept
}

func (in *Incoming) has(a string) bool {
	for i := range in.Recipients {
		if strings.EqualFold(in.Recipients[i].Final, a) {
			return true
		}
	}
	return false
}

// hear takes a line as what is said of the recipient, when it sounds like a server: it has
// a status or a reply code, or one of the words that servers refuse with.
func (r *Reported) hear(line []byte) {
	s := strings.Trim(strings.TrimSpace(string(line[:min(len(line), maxField)])), ":<> ")
	if s == "" || r.Status != "" {
		return
	}
	status := statusCode(s)
	if status == "" {
		status = byReplyCode(s)
	}
	if status == "" && !refuses(s) {
		return
	}
	if status == "" && r.Diag != "" {
		return
	}
	r.Status, r.Diag = status, s
}

// byReplyCode turns a reply code of SMTP in a text into the status of its class.
func byReplyCode(s string) string {
	for i := 0; i+3 <= len(s); i++ {
		if (s[i] != '4' && s[i] != '5') || !isDigit(s[i+1]) || !isDigit(s[i+2]) || s[i+1] > '7' {
			continue
		}
		before := i == 0 || strings.IndexByte(" (#:;[", s[i-1]) >= 0
		after := i+3 == len(s) || strings.IndexByte(" -:;)]", s[i+3]) >= 0
		if before && after {
			return s[i:i+1] + ".0.0"
		}
	}
	return ""
}

var refusals = [...]string{
	"unknown user", "user unknown", "no such user", "does not exist", "doesn't exist", "not found", "no mailbox", "invalid recipient", "unknown recipient",
	"mailbox unavailable", "mailbox full", "mailbox is full", "quota", "disabled", "rejected", "undeliverable", "could not be delivered", "unrouteable",
	"host not found", "host or domain name not found", "retry timeout exceeded", "spam", "blocked", "denied", "too large", "timed out", "refused",
}

func refuses(s string) bool {
	s = strings.ToLower(s)
	for _, w := range refusals {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// said is what a text says of an address.
func said(a string, text []byte) Reported {
	r := Reported{Final: a}
	i := bytes.Index(text, []byte(a))
	if i < 0 {
		return r
	}
	text = text[i+len(a):]
	for range 8 {
		var line []byte
		if line, text = cutLine(text); len(text) == 0 && len(line) == 0 {
			break
		}
		r.hear(line)
	}
	return r
}

// bracketed is the first <address> of a line.
func bracketed(line []byte) (string, bool) {
	_, rest, ok := bytes.Cut(line[:min(len(line), maxField)], []byte("<"))
	if !ok {
		return "", false
	}
	a, _, ok := bytes.Cut(rest, []byte(">"))
	return string(a), ok && isAddress(string(a))
}

// bare is an address that a line begins with, or is.
func bare(line []byte) (string, bool) {
	s := strings.TrimSpace(string(line[:min(len(line), maxField)]))
	a, _, _ := strings.Cut(s, " ")
	a = strings.TrimRight(a, ":;,.")
	return a, isAddress(a)
}

// isAddress reports whether s looks like a mailbox: it decides no more than what is shown.
func isAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && len(s) <= maxPath && strings.IndexByte(s[at:], '.') > 1 && !strings.ContainsAny(s, " \t<>,;\"()[]:\\/") && isASCII(s) && printable(s)
}
