package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	second = int64(time.Second)
	day    = 24 * int64(time.Hour)
)

// referee counts acts by itself: the level of a leaky bucket in units of 1/Per tokens,
// which is the largest excess of any window that ends now over what the rate has earned.
type referee struct {
	rate   Rate
	level  int64
	at     int64
	worst  int64 // highest level seen, whole tokens, rounded up
	acts   int64
	excess string
}

func (r *referee) run(now int64) {
	if d := now - r.at; d > r.level/r.rate.N {
		r.level = 0
	} else {
		r.level -= d * r.rate.N
	}
	r.at = now
}

func (r *referee) act(now, n int64) {
	r.run(now)
	r.level += n * r.rate.Per
	r.acts += n
	r.worst = max(r.worst, (r.level+r.rate.Per-1)/r.rate.Per)
	if most := max(r.rate.Burst, n) * r.rate.Per; r.level > most && r.excess == "" {
		r.excess = fmt.Sprintf("at %d ns a window holds %d/%d tokens more than its share and its burst", now, r.level-most, r.rate.Per)
	}
}

// TestRatesAreExact drives one throttle as hard as it lets for 24 virtual hours: in no
// window does it admit one more than the rate and the burst, and over the whole day it
// misses none.
func TestRatesAreExact(t *testing.T) {
	for _, r := range []Rate{
		{1, day, 1},
		{50, int64(time.Hour), 1},
		{83, 5 * second, 1},
		{7, 3 * second, 4},
		{60, 3 * second, 60},
		{999, 7 * second, 3},
		{10000, second, 1},
		{10000, second, 10000},
		{3, 1000, 2}, // a third of a microsecond and more: fractions of a nanosecond count
	} {
		t.Run(fmt.Sprintf("%d in %v, burst %d", r.N, time.Duration(r.Per), r.Burst), func(t *testing.T) { playRate(t, r) })
	}
}

// playRate drives a throttle for a day.
func playRate(t *testing.T, r Rate) {
	length, most := day, int64(500_000)
	if soak() {
		most = 1_000_000_000 // 10,000 a second for the whole day
	} else if testing.Short() {
		most = 50_000
	}
	if r.N*(length/r.Per) > most {
		length = most / r.N * r.Per // of the fast ones only as much
	}
	e := New()
	id, _ := e.Throttle(key("rate", "", ""), r)
	ref := referee{rate: r}
	tolls := []Toll{{id, 1}}
	now := int64(0)
	for {
		now = e.Ready(now, tolls[0])
		if now > length {
			break
		}
		if _, ok := e.Spend(now, tolls, Turn{}); !ok {
			t.Fatalf("%v: not admitted when it is said to be ready", r)
		}
		ref.act(now, 1)
	}
	if ref.excess != "" {
		t.Errorf("%v: %s", r, ref.excess)
	}
	want := length*r.N/r.Per + r.Burst
	if r.Burst == 1 {
		// Acts happen at whole nanoseconds, and no two of them too close together.
		want = length/((r.Per+r.N-1)/r.N) + 1
	}
	if ref.acts != want {
		t.Errorf("%v: %d acts in %v, want %d", r, ref.acts, time.Duration(length), want)
	}
	t.Logf("%d per %v, burst %d: %d acts in %v, at most %d at once above the rate", r.N, time.Duration(r.Per), r.Burst, ref.acts, time.Duration(length), ref.worst)
}

// TestRateHistories plays acts of several tokens, refunds and pauses at random; each
// act that was not taken back counts at its time, in any window.
func TestRateHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{rapid.Int64Range(1, 50).Draw(t, "n"), rapid.Int64Range(1, 1000).Draw(t, "per"), rapid.Int64Range(1, 8).Draw(t, "burst")}
		e := New()
		id, _ := e.Throttle(key("rate", "", ""), r)
		type act struct{ at, n int64 }
		var acts []act
		now := int64(0)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				now += rapid.Int64Range(0, 3*r.Per).Draw(t, "pause")
			case 1:
				if k := len(acts); k > 0 {
					i := rapid.IntRange(max(0, k-4), k-1).Draw(t, "refund")
					e.Refund(now, acts[i].at, []Toll{{id, int32(acts[i].n)}})
					acts = append(acts[:i:i], acts[i+1:]...)
				}
			default:
				n := rapid.Int64Range(1, r.Burst).Draw(t, "tokens")
				now = e.Ready(now, Toll{id, int32(n)})
				if _, ok := e.Spend(now, []Toll{{id, int32(n)}}, Turn{}); !ok {
					t.Fatal("not admitted when it is said to be ready")
				}
				acts = append(acts, act{now, n})
			}
		}
		for i := range acts {
			sum := int64(0)
			for _, a := range acts[i:] {
				sum += a.n
				if w := a.at - acts[i].at; (sum-r.Burst)*r.Per > w*r.N {
					t.Fatalf("rate %v: %d tokens in %d ns", r, sum, w)
				}
			}
		}
	})
}

// TestRateChanges: while the rate changes, what a window may hold is what each rate earned
// in its part of it, and the largest burst.
func TestRateChanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		e := New()
		rate := func() Rate { return Rate{1 + rng.Int64N(50), 1 + rng.Int64N(int64(time.Minute)), 1 + rng.Int64N(9)} }
		r := rate()
		id, _ := e.Throttle(key("rate", "", ""), r)
		now, level, burst, acts := int64(0), 0.0, float64(r.Burst), 0
		last := now
		earn := func() {
			level = max(0, level-float64(now-last)*float64(r.N)/float64(r.Per))
			last = now
		}
		for range 300 {
			if rng.IntN(10) == 0 {
				now += rng.Int64N(int64(time.Second))
				earn()
				r = rate()
				burst = max(burst, float64(r.Burst))
				e.SetRate(now, id, r)
				continue
			}
			now = e.Ready(now, Toll{id, 1})
			if _, ok := e.Spend(now, []Toll{{id, 1}}, Turn{}); !ok {
				t.Fatal("not admitted when it is said to be ready")
			}
			earn()
			acts++
			if level++; level > burst+1e-6 {
				t.Fatalf("after %d acts a window holds %.3f above the rates, burst %.0f", acts, level, burst)
			}
		}
	}
}

func TestRateDebt(t *testing.T) {
	e := New()
	id, _ := e.Throttle(key("rate", "", ""), Rate{50, int64(time.Hour), 50})
	hundred, one := []Toll{{id, 100}}, []Toll{{id, 1}}
	if _, ok := e.Spend(0, one, Turn{}); !ok {
		t.Fatal("the first is refused")
	}
	if b, ok := e.Spend(0, hundred, Turn{}); ok || b != (Blocker{id, Throttled, 100}) {
		t.Fatalf("100 of a burst of 50 pass a bucket that is not full: %v", b)
	}
	full := e.Ready(0, hundred[0])
	if full != int64(72*time.Second) {
		t.Errorf("full at %v", time.Duration(full))
	}
	if _, ok := e.Spend(full, hundred, Turn{}); !ok {
		t.Fatal("100 are refused by a full bucket")
	}
	if next := e.Ready(full, one[0]) - full; next != int64(51*72*time.Second) {
		t.Errorf("the next one after %v, want 51 * 72 s", time.Duration(next))
	}
}

func TestRefund(t *testing.T) {
	for _, x := range []struct {
		burst         int64
		spends, given int
		later         int64 // when one more is spent before the refund; 0: none
		free          int   // acts that are possible at the time of the refund
	}{
		{burst: 1, spends: 1, given: 0, free: 0},
		{burst: 1, spends: 1, given: 1, free: 1},
		{burst: 3, spends: 3, given: 1, free: 1},
		{burst: 3, spends: 3, given: 3, free: 3},
		{burst: 3, spends: 1, given: 1, free: 3},
		{burst: 1, spends: 1, given: 1, later: 10 * second, free: 0}, // it has grown again meanwhile, and was used
	} {
		e := New()
		id, _ := e.Throttle(key("rate", "", ""), Rate{1, 10 * second, x.burst})
		one := []Toll{{id, 1}}
		for range x.spends {
			if _, ok := e.Spend(second, one, Turn{}); !ok {
				t.Fatalf("%+v: refused", x)
			}
		}
		now := second + second/10
		if x.later > 0 {
			now = second + x.later
			if _, ok := e.Spend(now, one, Turn{}); !ok {
				t.Fatalf("%+v: refused later", x)
			}
		}
		for range x.given {
			e.Refund(now, second, one)
		}
		free := 0
		for ; free < 10; free++ {
			if _, ok := e.Spend(now, one, Turn{}); !ok {
				break
			}
		}
		if free != x.free {
			t.Errorf("%+v: %d acts are possible", x, free)
		}
	}
}

// TestRefundWakes: a token that comes back is for whoever waits.
func TestRefundWakes(t *testing.T) {
	e := New()
	id, _ := e.Throttle(key("rate", "", ""), Rate{1, day, 1})
	tolls := []Toll{{id, 1}}
	e.Spend(0, tolls, Turn{})
	b, _ := e.Check(0, nil, tolls, Turn{Waiter: 1})
	e.Park(0, Turn{Waiter: 1}, nil, b)
	e.Refund(second, 0, tolls)
	if w, _, ok := e.Next(); !ok || w != 1 {
		t.Error("nobody is woken for the token that came back")
	}
}
