package smtp

import (
	"strconv"
	"strings"
	"time"
)

const (
	maxExtensions    = 100 // lines of an EHLO reply that are kept
	maxExtensionLine = 256 // octets kept of each
)

// Extensions is what a receiver offered in its reply to EHLO (RFC 5321 §4.1.1.1). The
// zero value is that of a receiver that knows HELO alone.
type Extensions struct {
	Lines []string // as offered, "SIZE 10485760"; at most 100 of at most 256 octets

	Pipelining bool          // RFC 2920
	EightBit   bool          // 8BITMIME, RFC 6152
	SMTPUTF8   bool          // RFC 6531
	Chunking   bool          // RFC 3030
	StartTLS   bool          // RFC 3207
	DSN        bool          // RFC 3461
	Enhanced   bool          // ENHANCEDSTATUSCODES, RFC 2034
	SizeKnown  bool          // SIZE was offered, RFC 1870
	Size       int64         // largest message in octets; 0: the receiver names no limit
	Auth       string        // mechanisms, RFC 4954
	Limits     Limits        // RFC 9422
	RequireTLS bool          // RFC 8689
	DeliverBy  bool          // RFC 2852
	MinBy      time.Duration // the least time that it promises delivery in; 0: none is named
}

// parseExtensions reads the text of an EHLO reply: the first line is a greeting, each
// further line a keyword with its parameters.
func parseExtensions(text string) Extensions {
	var x Extensions
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if len(x.Lines) == maxExtensions {
			break
		}
		if len(line) > maxExtensionLine {
			line = line[:maxExtensionLine]
		}
		x.Lines = append(x.Lines, line)
		keyword, param, _ := strings.Cut(line, " ")
		x.set(strings.ToUpper(keyword), strings.TrimSpace(param))
	}
	return x
}

func (x *Extensions) set(keyword, param string) {
	switch keyword {
	case "PIPELINING":
		x.Pipelining = true
	case "8BITMIME":
		x.EightBit = true
	case "SMTPUTF8":
		x.SMTPUTF8 = true
	case "CHUNKING":
		x.Chunking = true
	case "STARTTLS":
		x.StartTLS = true
	case "DSN":
		x.DSN = true
	case "ENHANCEDSTATUSCODES":
		x.Enhanced = true
	case "SIZE":
		x.SizeKnown = true
		// A number that cannot be read is no limit: the receiver itself refuses what is too large.
		if n, err := strconv.ParseInt(param, 10, 64); err == nil && n > 0 {
			x.Size = n
		}
	case "AUTH":
		x.Auth = param
	case "LIMITS":
		x.Limits = parseLimits(param)
	case "REQUIRETLS":
		x.RequireTLS = true
	case "DELIVERBY":
		x.DeliverBy = true
		if n, err := strconv.ParseInt(param, 10, 32); err == nil && n > 0 {
			x.MinBy = time.Duration(n) * time.Second
		}
	}
}

// Limits is what a receiver says that it takes at most (RFC 9422 §4); 0: it does not say.
type Limits struct {
	Mail       int // MAILMAX: transactions of one session
	Rcpt       int // RCPTMAX: RCPT commands of one transaction
	RcptDomain int // RCPTDOMAINMAX: domains of recipients in one session
}

// parseLimits reads the parameters of LIMITS. Those that are unknown or no number from 1
// to 999999 say nothing (§3).
func parseLimits(param string) (l Limits) {
	for field := range strings.FieldsSeq(param) {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 0 || len(value) > 6 {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			l.Mail = int(n)
		case "RCPTMAX":
			l.Rcpt = int(n)
		case "RCPTDOMAINMAX":
			l.RcptDomain = int(n)
		}
	}
	return l
}
