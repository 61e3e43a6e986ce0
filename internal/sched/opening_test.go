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
		"beside 40, 39 on their way":         {host{proven: true, open: 40, opening: 39, calling: 39, conns: 79, width: 100}, false},
		"beside 40, 40":                      {host{proven: true, open: 40, opening: 40, calling: 40, conns: 80, width: 100}, true},
		"32 in all":                          {host{proven: true, open: 32, conns: 32}, true},
		"less than its width":                {host{proven: true, open: 32, conns: 32, width: 33}, false},
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

// A host grows wider while somebody waits for more, faster where more connections help,
// and begins anew when it has none.
func TestHostGrows(t *testing.T) {
	m := New(Config{})
	h := m.hostFor(hostKey{1, "mx.test"})
	x := m.hosts.at(h)
	*x = host{key: x.key, proven: true, open: 32, conns: 32}
	q := m.queues.alloc()
	m.waitCrowd(q, h)
	if x.timer == noTimer {
		t.Fatal("nobody lets it grow")
	}
	x.timer = noTimer
	m.hostTimer(h)
	if x.most() != 36 {
		t.Errorf("it has grown to %d, want 36", x.most())
	}
	x.conns, x.takes, x.light = 36, 300, 100
	m.hostTimer(h)
	if x.most() != 37 {
		t.Errorf("with more connections of little use it has grown to %d, want 37", x.most())
	}
	m.hostTimer(h)
	if x.most() != 37 {
		t.Errorf("it grows though it is not full: %d", x.most())
	}
}

// Those who miss a failed address are woken when it is to be tried again, although
// something else is remembered of it for longer.
func TestMissedPlaceWakes(t *testing.T) {
	m := New(Config{})
	m.now = 1000 * sec
	h := m.placeFor(placeKey{host: "mx.test"})
	p := m.places.at(h)
	p.noTLS = m.now + int64(noTLSFor)
	m.usePlace(h, 1)
	m.usePlace(h, -1) // no route names it for a while: a timer is to forget it
	m.usePlace(h, 1)
	*p.tlsFailed.at(TLSRequired) = onTick(m.now + 120*sec)
	m.missPlace(m.queues.alloc(), h)
	if at := m.wheel.timers.at(p.timer).tick << tickBits; at != p.tlsFailed.last() {
		t.Errorf("looked at again %d s from now", (at-m.now)/sec)
	}
}
