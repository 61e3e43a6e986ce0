package sched

import "testing"

// How many connections to a host may be on their way, by what is open there already and
// how long messages take.
func TestCrowded(t *testing.T) {
	for name, x := range map[string]struct {
		host
		want bool
	}{
		"nothing proven, none on its way":   {host{}, false},
		"nothing proven, one probes":        {host{opening: 1}, true},
		"the first 32":                      {host{proven: true, opening: 31}, false},
		"32 on their way":                   {host{proven: true, opening: 32}, true},
		"32 open and on their way":          {host{proven: true, open: 28, opening: 4}, true},
		"beside 32, three on their way":     {host{proven: true, open: 40, opening: 3, takes: 149, light: 100}, false},
		"beside 32, four":                   {host{proven: true, open: 40, opening: 4}, true},
		"slower for their number":           {host{proven: true, open: 40, takes: 151, light: 100, carried: 799}, true},
		"and each has had a turn":           {host{proven: true, open: 40, takes: 151, light: 100, carried: 800}, false},
		"and one is on its way":             {host{proven: true, open: 40, takes: 151, light: 100, carried: 900, opening: 1}, true},
		"but one of them has nothing to do": {host{proven: true, open: 40, takes: 151, light: 100, idle: list{n: 1}}, false},
		"slow, but few":                     {host{proven: true, open: 20, takes: 151, light: 100}, false},
	} {
		if got := x.crowded(); got != x.want {
			t.Errorf("%s: crowded is %v, want %v", name, got, x.want)
		}
	}
}

// What a message takes by itself follows down at once, and up only while sessions are few.
func TestHostTakes(t *testing.T) {
	m := New(Config{})
	h := m.hostFor(hostKey{1, "mx.test"})
	x := m.hosts.at(h)
	feed := func(n int, ns int64) {
		for range n {
			m.hostTakes(h, ns)
		}
	}
	feed(200, 100e6)
	if x.takes != 100e6 || x.light != 100e6 {
		t.Fatalf("takes %d, by itself %d", x.takes, x.light)
	}
	x.open = 100
	feed(2000, 400e6)
	if x.light != 100e6 || !x.laden() {
		t.Errorf("with many sessions: takes %d, by itself %d", x.takes, x.light)
	}
	x.open = 10
	feed(3000, 400e6)
	if x.light < 390e6 || x.laden() {
		t.Errorf("with few sessions: takes %d, by itself %d", x.takes, x.light)
	}
	feed(500, 50e6)
	if x.light > 51e6 {
		t.Errorf("it is faster again: by itself %d", x.light)
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
