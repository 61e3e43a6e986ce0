package limit

import (
	"math"
	"slices"
	"testing"
	"time"
)

// crossing is a scenario of limits that cross: each counter has competitors of its own,
// the victim needs all of them at once.
type crossing struct {
	name        string
	limits      []int
	competitors int // of each counter
	hold        []time.Duration
	fixed       bool
	victimHold  time.Duration
	crowd       int // of each counter's competitors, so many are of the victim's tenant; the others of another
	rates       []Rate
	victims     int           // 0: one
	length      time.Duration // 0: ten hours
}

// build puts the players into a world; fair is the time between two grants to a victim
// that would be fair.
func (x *crossing) build(t testing.TB, unfair bool) (w *world, victims []*player, fair time.Duration) {
	w = newWorld(t)
	w.unfair = unfair
	x.victims = max(x.victims, 1)
	var path []CounterID
	var tolls []Toll
	for i, limit := range x.limits {
		k := Key{Option: name("limit", i), Binding: name("b", i)}
		id := w.counter(k, limit)
		path = append(path, id)
		mean := float64(x.hold[i]*time.Duration(x.competitors)+x.victimHold*time.Duration(x.victims)) / float64(x.competitors+x.victims)
		share := float64(limit) // of the victim's tenant
		mates := x.competitors
		if x.crowd > 0 {
			share, mates = share/2, x.crowd
		}
		fair = max(fair, time.Duration(mean*float64(mates+x.victims)/share))
		for c := range x.competitors {
			tenant := int32(0)
			if x.crowd > 0 && c >= x.crowd {
				tenant = 1
			}
			w.join(&player{path: []CounterID{id}, hold: x.hold[i], fixed: x.fixed, tenant: tenant})
		}
	}
	for i, r := range x.rates {
		id, _ := w.e.Throttle(Key{Option: "rate", Group: name("g", i)}, r)
		tolls = append(tolls, Toll{id, 1})
		for range x.competitors {
			own := w.counter(Key{Option: "own", Host: name("h", len(w.queues))}, 4)
			w.join(&player{tolls: []Toll{{id, 1}}, hold: time.Second, fixed: x.fixed, path: []CounterID{own}})
		}
		fair = max(fair, time.Duration(int64(x.competitors+x.victims)*r.Per/r.N))
	}
	if x.length == 0 {
		x.length = 10 * time.Hour
	}
	if testing.Short() {
		x.length = min(x.length, 2*time.Hour)
	}
	for range x.victims {
		w.join(&player{path: path, tolls: tolls, hold: x.victimHold, fixed: x.fixed})
	}
	return w, w.queues[len(w.queues)-x.victims:], fair
}

// play returns the victim that fared worst, the time between two grants of it that would
// be fair, and the units of counters that all have got.
func (x *crossing) play(t testing.TB, unfair bool) (victim *player, fair time.Duration, all int) {
	w, victims, fair := x.build(t, unfair)
	w.run(x.length)
	for _, p := range victims {
		if victim == nil || p.gap(x.length) > victim.gap(x.length) {
			victim = p
		}
	}
	w.verify()
	return victim, fair, w.units
}

// TestNobodyStarves: whoever needs several contended counters at once gets them about as
// often as is fair. Without claims it never does.
func TestNobodyStarves(t *testing.T) {
	s := time.Second
	for _, x := range []crossing{
		{name: "two limits", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s},
		{name: "two limits, all holds equal", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s, fixed: true},
		{name: "three limits", limits: []int{4, 4, 4}, competitors: 200, hold: []time.Duration{10 * s, 10 * s, 10 * s}, victimHold: 10 * s},
		{name: "three limits of 1, 4 and 20", limits: []int{1, 4, 20}, competitors: 100, hold: []time.Duration{10 * s, 10 * s, 10 * s}, victimHold: 10 * s},
		{name: "unequal hold times", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{60 * s, s}, victimHold: 20 * s},
		{name: "short hold times", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{s / 2, s / 4}, victimHold: s / 2, length: time.Hour},
		{name: "victim in the heaviest tenant", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s, crowd: 190},
		{name: "two limits and a rate", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s, rates: []Rate{{1, int64(s), 1}}},
		{name: "one limit and a rate", limits: []int{4}, competitors: 200, hold: []time.Duration{10 * s}, victimHold: 10 * s, rates: []Rate{{1, int64(s), 1}}},
		{name: "20 victims", limits: []int{4, 4}, competitors: 200, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s, victims: 20},
		{name: "100 victims", limits: []int{4, 4}, competitors: 100, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s, victims: 100},
		{name: "100 victims of larger limits", limits: []int{40, 400}, competitors: 2000, hold: []time.Duration{10 * s, 10 * s}, victimHold: 10 * s, victims: 100, length: time.Hour},
		{name: "two rates", competitors: 200, victimHold: s, rates: []Rate{{1, int64(s), 1}, {1000, 1618*int64(s) + 33_989, 1}}},
		{name: "two rates and 10 victims", competitors: 100, victimHold: s, victims: 10, rates: []Rate{{1, int64(s), 1}, {1000, 1618*int64(s) + 33_989, 1}}, length: 2 * time.Hour},
		{name: "a fast rate and a slow one", competitors: 100, victimHold: s, rates: []Rate{{10, int64(s), 1}, {1, 7 * int64(s), 1}}, length: 2 * time.Hour},
		{name: "three rates and a limit", limits: []int{4}, hold: []time.Duration{10 * s}, competitors: 200, victimHold: s, rates: []Rate{{1, int64(s), 1}, {2, 3 * int64(s), 1}, {1, 2 * int64(s), 3}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			victim, fair, all := x.play(t, false)
			before, _, allBefore := x.play(t, true)
			gap := victim.gap(x.length)
			t.Logf("%d grants in %v, longest gap %v, fair %v; without claims %d grants; units in all %d, without %d (%+.2f %%)",
				len(victim.granted), x.length, gap.Round(time.Second), fair.Round(time.Second), len(before.granted), all, allBefore, 100*(float64(all)/float64(allBefore)-1))
			if 2*len(before.granted) > len(victim.granted) {
				t.Error("without claims the victim fares as well: the scenario shows nothing")
			}
			if gap > 2*fair {
				t.Errorf("the longest gap is %v, more than twice the fair %v", gap, fair)
			}
			if loss := 1 - float64(all)/float64(allBefore); loss > 0.05 {
				t.Errorf("claims cost %.1f %% of all units", 100*loss)
			}
		})
	}
}

// TestLightTenants: a tenant of weight 1 beside heavy ones gets its turns spread between
// theirs: no wait is longer than twice its share says, counted in grants.
func TestLightTenants(t *testing.T) {
	for _, weights := range [][]int{{100, 1}, {1000, 1, 1, 1}, {300, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {1000, 500, 100, 10, 1}} {
		w := newWorld(t)
		root := w.counter(Key{Option: "server"}, 100)
		sum := 0
		for tenant, weight := range weights {
			w.e.SetWeight(int32(tenant), weight)
			sum += weight
			for range 300 {
				w.join(&player{tenant: int32(tenant), path: []CounterID{root}, hold: 10 * time.Second, want: 2})
			}
		}
		w.run(3000 * time.Second) // some 30,000 grants
		turns := make([][]int, len(weights))
		for _, p := range w.queues {
			turns[p.tenant] = append(turns[p.tenant], p.turns...)
		}
		for tenant, weight := range weights {
			slices.Sort(turns[tenant])
			last, longest, got := 0, 0, 0
			for _, n := range turns[tenant] {
				if n >= 2000 { // those before filled the counter, in the order of asking
					longest = max(longest, n-last)
					got++
				}
				last = n
			}
			longest = max(longest, w.permits-last)
			want := float64((w.permits-2000)*weight) / float64(sum)
			t.Logf("weights %v: weight %d got %d of %d grants, %.1f is its share; longest wait %d grants, at most %d", weights, weight, got, w.permits-2000, want, longest, 2*sum/weight+len(weights))
			if longest > 2*sum/weight+len(weights) { // a heavy one: each of the others may have a turn
				t.Errorf("weights %v: weight %d waited for %d grants of others", weights, weight, longest)
			}
			if math.Abs(float64(got)-want) > 0.05*want+1 {
				t.Errorf("weights %v: weight %d got %d grants, want %.1f", weights, weight, got, want)
			}
		}
	}
}

// TestNewcomer: a domain that comes to a server full of the connections of one huge domain
// waits for a turn of each queue that waits there, not behind their backlog.
func TestNewcomer(t *testing.T) {
	for _, queues := range []int{1, 10} {
		w := newWorld(t)
		root := w.counter(Key{Option: "server"}, 100)
		huge := w.counter(Key{Option: "max", Domain: "huge.test"}, 1000)
		for range queues {
			w.join(&player{path: []CounterID{huge, root}, hold: 10 * time.Second, want: 500})
		}
		w.run(100 * time.Second)
		var waits []int64
		for i := range 200 {
			w.run(time.Duration(w.now) + 5*time.Second)
			own := w.counter(Key{Option: "max", Domain: name("new", i)}, 10)
			p := w.join(&player{path: []CounterID{own, root}, hold: 10 * time.Second, every: 1000 * time.Hour})
			p.mail, p.since = 1, w.now
			w.ask(p, 0)
			w.run(time.Duration(w.now) + 20*time.Second)
			if len(p.waits) == 0 {
				t.Fatalf("newcomer %d has waited for 20 s", i)
			}
			waits = append(waits, p.waits[0])
		}
		p99 := quantile(waits, .99)
		t.Logf("newcomers at a full server behind one huge domain of %d queues: median %v, p99 %v, longest %v", queues, quantile(waits, .5), p99, quantile(waits, 1))
		if p99 > time.Duration(queues+6)*200*time.Millisecond {
			t.Errorf("%d queues: p99 of waiting %v", queues, p99)
		}
	}
}

// TestLowVolume: domains with little mail beside 10,000 backlogged queues, reserve 0.
func TestLowVolume(t *testing.T) {
	w := newWorld(t)
	root := w.counter(Key{Option: "server"}, 100)
	for i := range 10_000 {
		own := w.counter(Key{Option: "max", Domain: name("big", i)}, 4)
		w.join(&player{path: []CounterID{own, root}, hold: 10 * time.Second, want: 4})
	}
	var light []*player
	for i := range 100 {
		own := w.counter(Key{Option: "max", Domain: name("small", i)}, 4)
		light = append(light, w.join(&player{tenant: int32(1 + i), path: []CounterID{own, root}, hold: 10 * time.Second, every: 100 * time.Second, want: 4}))
	}
	w.run(30 * time.Minute)
	var waits []int64
	for _, p := range light {
		waits = append(waits, p.waits...)
	}
	t.Logf("%d grants to 100 light tenants beside 10,000 backlogged queues, reserve 0: median wait %v, p99 %v, longest %v", len(waits), quantile(waits, .5), quantile(waits, .99), quantile(waits, 1))
	if p99 := quantile(waits, .99); p99 > 2*time.Second || len(waits) < 1000 {
		t.Errorf("p99 of waiting %v over %d grants", p99, len(waits))
	}
	w.verify()
}

// TestShares: equal weights share alike, whatever the number of their queues.
func TestShares(t *testing.T) {
	w := newWorld(t)
	root := w.counter(Key{Option: "server"}, 50)
	for tenant := range int32(20) {
		for range 5 + 20*tenant {
			w.join(&player{tenant: tenant, path: []CounterID{root}, hold: 5 * time.Second, want: 10})
		}
	}
	w.run(1100 * time.Second)
	got := make([]float64, 20)
	for _, p := range w.queues {
		for _, n := range p.turns {
			if n >= 1000 {
				got[p.tenant]++
			}
		}
	}
	j := jain(got)
	t.Logf("20 tenants of 5 to 385 queues: Jain's index %.5f over %d grants", j, w.permits-1000)
	if j < 0.98 || w.permits < 11_000 {
		t.Errorf("Jain's index %.3f over %d grants", j, w.permits)
	}
}
