package config

import (
	"net"
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// checkExposure finds listeners that give the world what it must not have: the control,
// which asks for no login, and relaying for everyone.
func (r *run) checkExposure(s *policy.Snapshot) {
	for i := range s.Listeners {
		l := &s.Listeners[i]
		switch l.Kind {
		case policy.ListenControl:
			if !private(l.Address) {
				r.addAt(l.Origin, false, "the control asks for no login, and "+l.Address+" can be reached by others: listen on unix:PATH or on a loopback address")
			}
		case policy.ListenESMTP:
			for _, n := range l.RelayNetworks {
				if n.Bits() == 0 {
					r.addAt(l.Origin, true, "relay_networks has "+n.String()+": everyone who reaches "+l.Address+" may send through it (an open relay)")
				}
			}
		}
	}
}

func (r *run) addAt(o policy.Origin, warning bool, text string) {
	r.add(Diagnostic{File: o.File, Line: o.Line, Column: o.Column, Warning: warning, Text: text})
}

// private reports whether only this machine reaches an address.
func private(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || strings.EqualFold(host, "localhost")
}
