package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Gateway is the option gateway: the host that takes all mail instead of the MX hosts.
type Gateway struct {
	Host     string     // canonical name; empty when Address is valid
	Address  netip.Addr // when an address was given
	Port     uint16     // 0: remote_smtp_port
	Protocol policy.Protocol
}

// ParseGateway reads "host", "host:port", "smtps://host[:port]", "lmtp://host[:port]"; a host may be a name, an
// IPv4 address, or an IPv6 address in brackets.
func ParseGateway(s string) (Gateway, error) {
	var g Gateway
	host := s
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		switch strings.ToLower(scheme) {
		case "smtp":
		case "smtps":
			g.Protocol, g.Port = policy.SMTPS, 465
		case "lmtp":
			g.Protocol, g.Port = policy.LMTP, 24
		default:
			return Gateway{}, fmt.Errorf("gateway %q: %w", s, errGatewayScheme)
		}
		host = rest
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		g.Address = a.Unmap()
		return g, nil
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		port, err := strconv.ParseUint(host[at+1:], 10, 16)
		if err != nil || port == 0 {
			return Gateway{}, fmt.Errorf("gateway %q: %w", s, errGatewayPort)
		}
		g.Port, host = uint16(port), host[:at]
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && a.Zone() == "" {
		g.Address = a.Unmap()
		return g, nil
	}
	name, err := mail.CanonicalDomain(host)
	if err != nil {
		return Gateway{}, fmt.Errorf("gateway %q: %w", s, err)
	}
	if _, err := netip.ParseAddr(name); err == nil { // "192.0.2.1."
		return Gateway{}, fmt.Errorf("gateway %q: %w", s, errGatewayDot)
	}
	g.Host = name
	return g, nil
}

var (
	errGatewayPort = errors.New("the port is a number from 1 to 65535")
	errGatewayDot  = errors.New("an address does not end in a dot")
)

var errGatewayScheme = errors.New("what is before :// must be smtp, smtps or lmtp")
