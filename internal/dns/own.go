package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// ownKeep is how long the machine's addresses are taken as known.
const ownKeep = 30 * time.Second

// Listeners returns a function that reports whether connecting to an address and port
// would reach one of the listeners given as host:port. A listener on an unspecified
// address (0.0.0.0, ::, or no host) is reached by every address of the machine. Entries
// that are not addresses (unix sockets) are skipped.
func Listeners(listen []string) func(netip.AddrPort) bool {
	exact := map[netip.AddrPort]bool{}
	wild := map[uint16]bool{}
	for _, l := range listen {
		if len(l) > 0 && l[0] == ':' {
			l = "[::]" + l
		}
		ap, err := netip.ParseAddrPort(l)
		switch {
		case err != nil:
		case ap.Addr().IsUnspecified():
			wild[ap.Port()] = true
		default:
			exact[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())] = true
		}
	}
	machine := machineAddresses()
	return func(ap netip.AddrPort) bool {
		a := ap.Addr().Unmap()
		if exact[netip.AddrPortFrom(a, ap.Port())] {
			return true
		}
		if !wild[ap.Port()] {
			return false
		}
		return a.IsLoopback() || a.IsUnspecified() || machine()[a]
	}
}

// machineAddresses returns a function that gives the addresses of the machine's
// interfaces, looked up again now and then.
func machineAddresses() func() map[netip.Addr]bool {
	var mu sync.Mutex
	var looked time.Time
	known := map[netip.Addr]bool{}
	return func() map[netip.Addr]bool {
		mu.Lock()
		defer mu.Unlock()
		if !looked.IsZero() && time.Since(looked) < ownKeep {
			return known
		}
		looked = time.Now()
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return known // what was known before is the best that can be had
		}
		known = make(map[netip.Addr]bool, len(addrs))
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				known[p.Addr().Unmap().WithZone("")] = true
			}
		}
		return known
	}
}
