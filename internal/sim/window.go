package sim

import (
	"fmt"
	"time"
)

// window judges a rate by its acts: in no window of time w may there be more than
// n*w/per + burst of them. It keeps the acts, not a level of a bucket.
//
// With S(i) the sum of all acts before the i-th, at the time t(i), the windows that end
// with an act at t of cost c are kept to when S+c - S(i) <= n*(t-t(i))/per + burst for each
// i. All terms of i are in S(i)*per - n*t(i), of which the least is kept: the test is exact,
// in whole numbers.
type window struct {
	rate
	n, per int64 // without common factor
	acts   []deed
	sum    int64
	least  int64

	owed int64 // until then tokens may be owed from before a change of the rate

	spender whose  // who acted last,
	act     string // and how: what tells whether the rate still is the same
}

type deed struct{ at, cost int64 }

func newWindow(r rate) *window {
	g := gcd(r.n, int64(r.per))
	return &window{rate: r, n: r.n / g, per: int64(r.per) / g}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// add notes an act at a time, ns since the world began, and says what it exceeds. An act
// that costs more than the burst is admitted by a full bucket, and leaves debt: it needs
// the windows before it to be without use.
func (w *window) add(at, cost int64) (over string) {
	start := w.sum*w.per - w.n*at
	if len(w.acts) == 0 || start < w.least {
		w.least = start
	}
	w.acts = append(w.acts, deed{at, cost})
	w.sum += cost
	if (w.sum-max(w.rate.burst, cost))*w.per-w.n*at > w.least {
		return w.worst()
	}
	return ""
}

// worst describes the window that the last act overfills most.
func (w *window) worst() string {
	last := w.acts[len(w.acts)-1]
	sum, text, by := int64(0), "", int64(0)
	for i := len(w.acts) - 1; i >= 0; i-- {
		sum += w.acts[i].cost
		span := last.at - w.acts[i].at
		if over := (sum-max(w.rate.burst, last.cost))*w.per - w.n*span; over > by {
			by = over
			text = fmt.Sprintf("%d in %v, the rate is %d in %v with a burst of %d", sum, time.Duration(span), w.rate.n, w.rate.per, w.rate.burst)
		}
	}
	return text
}

// remove takes an act back.
func (w *window) remove(at, cost int64) {
	for i := len(w.acts) - 1; i >= 0; i-- {
		if w.acts[i] != (deed{at, cost}) {
			continue
		}
		w.acts = append(w.acts[:i], w.acts[i+1:]...)
		w.sum, w.least = 0, 0
		for k, d := range w.acts {
			if start := w.sum*w.per - w.n*d.at; k == 0 || start < w.least {
				w.least = start
			}
			w.sum += d.cost
		}
		return
	}
}

// ready is the first time from now on at which an act of cost 1 would be within the rate.
func (w *window) ready(now int64) int64 {
	if len(w.acts) == 0 {
		return now
	}
	// (sum+1-burst)*per - n*t <= least
	need := (w.sum+1-w.rate.burst)*w.per - w.least
	if need <= w.n*now {
		return now
	}
	return (need + w.n - 1) / w.n
}
