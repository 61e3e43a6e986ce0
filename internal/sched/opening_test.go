package sched

import "testing"

// How many connections to a host may be on their way, by what is open there already.
func TestCrowded(t *testing.T) {
	for name, x := range map[string]struct {
		host
		want bool
	}{
		"nothing proven, none on its way":    {host{}, false},
		"nothing proven, one probes":         {host{opening: 1, calling: 1}, true},
		"nothing proven, it probes for long": {host{calling: 1}, true},
		"the first 32":                       {host{proven: true, opening: 31, calling: 31}, false},
		"32 on their way":                    {host{proven: true, opening: 32, calling: 32}, true},
		"32 answer slowly":                   {host{proven: true, opening: 0, calling: 32}, false},
		"beside 40, 39 on their way":         {host{proven: true, open: 40, opening: 39, calling: 39}, false},
		"beside 40, 40":                      {host{proven: true, open: 40, opening: 40, calling: 40}, true},
	} {
		if got := x.crowded(); got != x.want {
			t.Errorf("%s: crowded is %v, want %v", name, got, x.want)
		}
	}
}

// Those who miss a failed address are woken when it is to be tried again, although
// something else is remembered of it for longer.
func TestMissedPlaceWakes(t *testing.T) {
	m := New(Config{})
	m.now = 1000 * sec
	h := m.placeFor(placeKey{host: "mx.test"})
	p := m.places.at(h)
	p.noTLS = m.now + noTLSFor
	m.usePlace(h, 1)
	m.usePlace(h, -1) // no route names it for a while: a timer is to forget it
	m.usePlace(h, 1)
	p.tlsFailed = onTick(m.now + 120*sec)
	m.missPlace(m.queues.alloc(), h)
	if at := m.wheel.timers.at(p.timer).tick << tickBits; at != p.tlsFailed {
		t.Errorf("looked at again %d s from now", (at-m.now)/sec)
	}
}
