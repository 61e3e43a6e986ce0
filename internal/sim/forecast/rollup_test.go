package forecast

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// known is 400 messages for each of some domains, all there at the start, whose hosts are
// known.
func known(hosts map[string][]string, domains ...string) *Load {
	l := &Load{Bindings: []Binding{{}}, Tenants: []string{""}, Jobs: []string{""}, Source: "a test"}
	for i, d := range domains {
		x := Domain{Name: d}
		for k, h := range hosts[d] {
			x.Hosts = append(x.Hosts, Host{Name: h, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(len(h) + k)})}})
		}
		l.Domains = append(l.Domains, x)
		for range 400 {
			l.Messages = append(l.Messages, Message{Domain: uint32(i), Recipients: 1, Size: 1000})
		}
	}
	return l
}

// TestRollups: domains under a rollup share its limits, and those that are not under it do
// not.
func TestRollups(t *testing.T) {
	hosts := map[string][]string{
		"big.test": {"mx1.big.test", "mx2.big.test"}, "shop.test": {"mx2.big.test"},
		"club.test": {"mx1.big.test"}, "else.test": {"mx.else.test"},
	}
	for _, c := range []struct {
		name, conf    string
		peak          int
		key           string // of the fullest counter
		domains, with int    // rolled up, under so many names
	}{
		{"nothing is said", "max_outbound_connections = 3\n", 12, "default/big.test", -1, 0},
		{"a stanza", `Rollup big.rollup { mx = ( *.big.test ) }
Domain big.rollup { max_outbound_connections = 3 }
Domain else.test { max_outbound_connections = 2 }
`, 5, "default/big.rollup", 3, 1},
		{"a domain with a say of its own stays by itself", `Rollup big.rollup { mx = ( *.big.test ) }
Domain big.rollup { max_outbound_connections = 3 }
Domain shop.test { max_outbound_connections = 2 }
Domain else.test { max_outbound_connections = 2 }
`, 7, "default/big.rollup", 2, 1},
		{"the hosts of a domain", "mx_rollup = big.test\nmax_outbound_connections = 3\n", 6, "default/big.test", 2, 1},
		{"the same set of hosts", "mx_rollup = auto\nmax_outbound_connections = 3\n", 12, "default/auto:mx1.big.test+mx2.big.test", 4, 4},
		{"off", "mx_rollup = off\nmax_outbound_connections = 3\nRollup big.rollup { mx = ( *.big.test ) }\n", 12, "default/big.test", -1, 0},
		{"a gateway", "gateway = relay.test\nmax_outbound_connections = 3\nRollup big.rollup { mx = ( *.big.test ) }\n", 3, "default/relay.test", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := simulate(t, c.conf, known(hosts, "big.test", "shop.test", "club.test", "else.test"))
			if r.Delivered != 1600 || r.Left != 0 {
				t.Errorf("%d delivered, %d left", r.Delivered, r.Left)
			}
			if r.PeakConnections != c.peak {
				t.Errorf("%d connections at once, want %d", r.PeakConnections, c.peak)
			}
			found := ""
			for _, l := range r.Limits {
				if l.Option == "max_outbound_connections" && l.Limit == 3 {
					found = fmt.Sprintf("%d of %s", l.Peak, l.PeakKey)
				}
			}
			if want := "3 of " + c.key; found != want {
				t.Errorf("the fullest counter: %s, want %s", found, want)
			}
			switch {
			case c.domains < 0 && r.Rollups != nil:
				t.Errorf("something is said of rollups: %+v", *r.Rollups)
			case c.domains >= 0 && (r.Rollups == nil || *r.Rollups != Rollups{c.domains, c.with}):
				t.Errorf("%+v, want %d domains under %d names", r.Rollups, c.domains, c.with)
			}
		})
	}
}

// TestNamedDomains: made-up mail goes to the domains of the file first; a rollup is none.
func TestNamedDomains(t *testing.T) {
	s := parse(t, "Rollup big.rollup { mx = * }\nDomain big.rollup { }\nDomain one.test { }\nDomain \"/x/\" { }\nBinding b { Domain two.test { } Domain one.test { } }\n")
	if got := NamedDomains(s); !slices.Equal(got, []string{"one.test", "two.test"}) {
		t.Errorf("%q", got)
	}
}
