package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Route is a host that mail is sent to instead of the domain's MX hosts.
type Route struct {
	Host       string     // canonical name; of an address, the address as text
	Address    netip.Addr // when an address was given; names are looked up
	Port       uint16     // 0: remote_smtp_port
	Preference int        // lower is better; 0 unless given
	Protocol   Protocol
}

// ParseRoute reads an entry of routes: HOST or HOST:PORT, with a preference before it if
// some are better than others: "10 relay.example.com:2525".
func ParseRoute(s string) (Route, error) {
	words := strings.Fields(s)
	var r Route
	switch len(words) {
	case 1:
	case 2:
		n, err := strconv.ParseUint(words[0], 10, 16)
		if err != nil {
			return r, fmt.Errorf("route %q: the preference before the host must be from 0 to 65535", s)
		}
		r.Preference = int(n)
		words = words[1:]
	default:
		return r, fmt.Errorf("route %q is not HOST, HOST:PORT or PREFERENCE HOST:PORT", s)
	}
	name, port, spoken, err := SplitGateway(words[0])
	if err != nil {
		return r, fmt.Errorf("route %q: the host is not a name or an address", s)
	}
	r.Host, r.Port, r.Protocol = name, port, spoken
	if a, err := netip.ParseAddr(name); err == nil {
		r.Address = a.Unmap()
	}
	return r, nil
}

// parseRoutes reads the entries of a list that has been checked, the best first.
func parseRoutes(list []string) []Route {
	if len(list) == 0 {
		return nil
	}
	out := make([]Route, 0, len(list))
	for _, e := range list {
		if r, err := ParseRoute(e); err == nil {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Route) int { return a.Preference - b.Preference })
	return out
}
