package server

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// habit says what a host offers and does not do at an address; empty: nothing is known
// against it.
func (b backend) habit(host, address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	h := b.agent.Habit(host, addr)
	if h.Broken == 0 {
		return ""
	}
	left := time.Until(h.Until).Round(time.Minute)
	return fmt.Sprintf("%s is offered and not done, not used at %s for %s: %s", h.Broken, addr, left, h.Why)
}

// habits fills in what is known of hosts.
func (b backend) habits(hosts []sched.HostView) {
	for i := range hosts {
		var found []string
		for address := range strings.FieldsSeq(hosts[i].Addresses) {
			if s := b.habit(hosts[i].Host, address); s != "" {
				found = append(found, s)
			}
		}
		hosts[i].Broken = strings.Join(found, "; ")
	}
}
