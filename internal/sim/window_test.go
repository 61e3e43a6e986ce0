package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// overfull looks at every window there is.
func overfull(r rate, acts []deed) bool {
	for j := range acts {
		sum := int64(0)
		for i := j; i >= 0; i-- {
			sum += acts[i].cost
			if (sum-max(r.burst, acts[j].cost))*int64(r.per) > r.n*(acts[j].at-acts[i].at) {
				return true
			}
		}
	}
	return false
}

// TestWindow compares the referee of rates with a look at every window, for rates from
// one a day to ten thousand a second.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	over := 0
	for range 3000 {
		x := rate{n: 1 + r.Int64N(20), burst: 1 + r.Int64N(4), per: time.Duration(1+r.Int64N(100)) * time.Millisecond}
		switch r.IntN(4) {
		case 0:
			x = rate{n: 1, burst: 1, per: 24 * time.Hour}
		case 1:
			x = rate{n: 10_000, burst: 1 + r.Int64N(3), per: time.Second}
		}
		w := newWindow(x)
		step := int64(x.per)/x.n + 1
		var acts []deed
		for at, i := int64(0), 0; i < 30; i++ {
			at = max(at, w.ready(at)) // as early as it may be
			if r.IntN(3) == 0 {
				at += r.Int64N(step)
			}
			if r.IntN(20) == 0 && at > 0 {
				at-- // a nanosecond too early, when it was just in time
			}
			if n := len(acts); n > 0 && at < acts[n-1].at {
				at = acts[n-1].at
			}
			d := deed{at, 1}
			if r.IntN(10) == 0 {
				d.cost = 1 + r.Int64N(5)
			}
			acts = append(acts, d)
			got := w.add(d.at, d.cost) != ""
			if want := overfull(x, acts); got != want {
				t.Fatalf("%+v: %v: too many %v, every window says %v", x, acts, got, want)
			} else if want {
				over++
				break
			}
			if r.IntN(10) == 0 {
				w.remove(d.at, d.cost)
				acts = acts[:len(acts)-1]
			}
		}
	}
	if over < 100 {
		t.Errorf("only %d of the courses were too fast", over)
	}
}
