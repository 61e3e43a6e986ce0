package tlspolicy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Mode is what a policy asks for (RFC 8461 §5).
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce" // no delivery to a host that does not satisfy the policy
	ModeTesting Mode = "testing" // delivery as without a policy; failures are reported
	ModeNone    Mode = "none"    // as if there were no policy
)

// Bounds of a policy.
const (
	maxPolicy   = 64 << 10                 // octets of its text (RFC 8461 §3.3)
	maxMX       = 256                      // patterns
	longestLife = 31_557_600 * time.Second // max_age (RFC 8461 §3.2)
)

// Policy is an MTA-STS policy (RFC 8461 §3.2).
type Policy struct {
	Mode   Mode
	MX     []string // canonical; "*.example.com" stands for one label more
	MaxAge time.Duration
}

// ParsePolicy reads the text of a policy. Lines end in CRLF or LF; unknown keys are
// passed over; of a key that may be there once, the first counts.
func ParsePolicy(text string) (Policy, error) {
	var p Policy
	if len(text) > maxPolicy {
		return p, fmt.Errorf("longer than %d octets", maxPolicy)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return Policy{}, fmt.Errorf("line %q has no colon", brief(line))
		}
		key, value = strings.TrimRight(key, " \t"), strings.TrimLeft(value, " \t")
		if key != "mx" && seen[key] {
			continue
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return Policy{}, err
		}
	}
	switch {
	case !seen["version"]:
		return Policy{}, errors.New("no version")
	case !seen["mode"]:
		return Policy{}, errors.New("no mode")
	case !seen["max_age"]:
		return Policy{}, errors.New("no max_age")
	case p.Mode != ModeNone && len(p.MX) == 0:
		return Policy{}, fmt.Errorf("mode %s without mx", p.Mode)
	}
	return p, nil
}

func (p *Policy) set(key, value string) error {
	switch key {
	case "version":
		if value != "STSv1" {
			return fmt.Errorf("version %q, not STSv1", brief(value))
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != ModeEnforce && p.Mode != ModeTesting && p.Mode != ModeNone {
			return fmt.Errorf("unknown mode %q", brief(value))
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || len(value) > 10 {
			return fmt.Errorf("max_age %q is no number of seconds", brief(value))
		}
		p.MaxAge = time.Duration(min(n, uint64(longestLife/time.Second))) * time.Second
	case "mx":
		pattern, err := parsePattern(value)
		if err != nil {
			return err
		}
		if len(p.MX) >= maxMX {
			return fmt.Errorf("more than %d mx patterns", maxMX)
		}
		p.MX = append(p.MX, pattern)
	}
	return nil
}

func parsePattern(s string) (string, error) {
	name, wild := strings.CutPrefix(s, "*.")
	canonical, err := mail.CanonicalDomain(name)
	if err != nil || strings.HasPrefix(canonical, "[") {
		return "", fmt.Errorf("mx %q is no host name", brief(s))
	}
	if wild {
		canonical = "*." + canonical
	}
	return canonical, nil
}

// text is the policy as it could have been published, without what was passed over.
func (p *Policy) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\nmode: %s\n", p.Mode)
	for _, m := range p.MX {
		fmt.Fprintf(&b, "mx: %s\n", m)
	}
	fmt.Fprintf(&b, "max_age: %d\n", p.MaxAge/time.Second)
	return b.String()
}

// Matches reports whether mail may go to a host by its canonical name: "*." stands for one
// label at the left (RFC 8461 §4.1).
func (p *Policy) Matches(host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		if wild, ok := strings.CutPrefix(pattern, "*."); ok {
			return parent != "" && parent == wild
		}
		return host == pattern
	})
}

// maxID is the longest id of a policy record (RFC 8461 §3.1).
const maxID = 32

// parseRecord finds the id in the TXT records of _mta-sts.DOMAIN (RFC 8461 §3.1). ok is
// false when they announce no policy.
func parseRecord(texts []string) (id string, ok bool) {
	found := 0
	for _, t := range texts {
		fields, is := recordFields(t, "STSv1")
		if !is {
			continue
		}
		found++
		id = fields["id"]
	}
	if found != 1 || id == "" || len(id) > maxID || strings.IndexFunc(id, notAlphanumeric) >= 0 {
		return "", false
	}
	return id, true
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// recordFields splits "v=VERSION; key=value; ..." as RFC 8461 §3.1 and RFC 8460 §3 have it.
// Of a key that is there twice, the first counts.
func recordFields(text, version string) (fields map[string]string, ok bool) {
	first, rest, _ := strings.Cut(text, ";")
	if strings.TrimRight(first, " \t") != "v="+version {
		return nil, false
	}
	fields = map[string]string{}
	for part := range strings.SplitSeq(rest, ";") {
		key, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
		if key = strings.TrimRight(key, " \t"); ok && fields[key] == "" {
			fields[key] = strings.TrimLeft(value, " \t")
		}
	}
	return fields, true
}

// brief cuts remote text that is put into a message of ours.
func brief(s string) string { return s[:min(len(s), 80)] }
