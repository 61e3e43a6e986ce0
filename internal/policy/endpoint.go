package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// ParseEndpoint reads ADDRESS or ADDRESS:PORT (IPv6 in brackets when a port follows)
// and returns ADDRESS:PORT with the default port filled in.
func ParseEndpoint(s string, port uint16) (netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap, nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not ADDRESS or ADDRESS:PORT", s)
	}
	return netip.AddrPortFrom(a, port), nil
}

// SplitGateway takes a gateway apart: the name (lower case, no port), the port (0:
// remote_smtp_port; 465 under smtps://, 24 under lmtp://) and what is spoken.
func SplitGateway(s string) (name string, port uint16, spoken Protocol, err error) {
	spoken, rest := cutScheme(strings.ToLower(s))
	port = spoken.port()
	host := rest
	switch {
	case strings.HasPrefix(rest, "["):
		end := strings.Index(rest, "]")
		if end < 0 {
			return "", 0, SMTP, fmt.Errorf("%q: the ] is missing", s)
		}
		host, rest = rest[:end+1], rest[end+1:]
	case strings.Count(rest, ":") == 1:
		i := strings.Index(rest, ":")
		host, rest = rest[:i], rest[i:]
	default:
		rest = ""
	}
	if rest != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(rest, ":"), 10, 16)
		if err != nil || n == 0 || !strings.HasPrefix(rest, ":") {
			return "", 0, SMTP, fmt.Errorf("%q: the port must be from 1 to 65535", s)
		}
		port = uint16(n)
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.String(), port, spoken, nil
	}
	name, err = mail.CanonicalDomain(host)
	if err != nil {
		return "", 0, SMTP, fmt.Errorf("%q is not a gateway", s)
	}
	return name, port, spoken, nil
}

func checkGateway(s string) error {
	_, _, _, err := SplitGateway(s)
	return err
}
