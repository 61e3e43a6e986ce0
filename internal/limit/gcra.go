package limit

import "math/bits"

// Rate is a bound on how often something may happen: N acts in Per nanoseconds, at most
// Burst of them at once (at least 1). N 0 (or Per 0) is no bound at all.
type Rate struct{ N, Per, Burst int64 }

const (
	maxN     = 1 << 40
	maxPer   = 1 << 55 // ns, a little more than a year
	maxBurst = 1 << 31
	forever  = int64(1) << 61 // ns, 73 years: no bucket is in debt for longer
)

// norm brings a rate into the range for which the arithmetic is exact.
func (r Rate) norm() Rate {
	if r.N <= 0 || r.Per <= 0 {
		return Rate{}
	}
	return Rate{min(r.N, maxN), min(r.Per, maxPer), min(max(r.Burst, 1), maxBurst)}
}

// bucket is a GCRA in exact rational arithmetic: its theoretical arrival time is ns +
// frac/N, so that a rate like 7 in a second does not drift. The bucket is full when that
// time is past. Acts happen at whole nanoseconds, never early. In any window w it admits at most N*w/Per + Burst tokens; one act of more
// than Burst tokens is admitted when the bucket is full, and leaves it in debt.
type bucket struct {
	rate Rate
	ns   int64
	frac uint64 // of a nanosecond, in units of 1/N; below N
	last int64  // time of the last spend
}

// span is how long k tokens take: ns and a fraction in units of 1/N.
func (r Rate) span(k int64) (ns int64, frac uint64) {
	hi, lo := bits.Mul64(uint64(k), uint64(r.Per))
	if hi >= uint64(r.N) {
		return forever, 0
	}
	q, f := bits.Div64(hi, lo, uint64(r.N))
	if q > uint64(forever) {
		return forever, 0
	}
	return int64(q), f
}

// ready is the first nanosecond at which k tokens would be admitted.
func (b *bucket) ready(k int64) int64 {
	if b.rate.N == 0 {
		return 0
	}
	ns, frac := b.rate.span(max(b.rate.Burst-k, 0))
	at := b.ns - ns
	if b.frac > frac {
		at++ // rounded up: never early
	}
	return at // b.frac < frac: the part of a nanosecond before at is rounded up to it
}

// full is the first nanosecond at which the bucket is full again.
func (b *bucket) full() int64 { return b.ready(maxBurst) }

// spend takes k tokens that ready has admitted at now.
func (b *bucket) spend(now, k int64) {
	if b.rate.N == 0 {
		return
	}
	if b.ns < now {
		b.ns, b.frac = now, 0
	}
	ns, frac := b.rate.span(k)
	b.ns += ns
	if b.frac += frac; b.frac >= uint64(b.rate.N) {
		b.frac -= uint64(b.rate.N)
		b.ns++
	}
	b.ns = min(b.ns, now+forever)
	b.last = now
}

// unspend gives back k tokens that were spent at the given time and not used. They are
// given back only while nothing has been spent after them: later acts may stand on
// the time that has passed since, and whoever took the tokens in their place could come
// one too early. At burst 1 nothing is lost by that: who came later had to wait until they
// had grown again.
func (b *bucket) unspend(spent, k int64) {
	if b.rate.N == 0 || spent < b.last {
		return
	}
	ns, frac := b.rate.span(k)
	b.ns -= ns
	if b.frac < frac {
		b.frac += uint64(b.rate.N)
		b.ns--
	}
	b.frac -= frac
}

// setRate changes the rate. What is owed stays owed: so many tokens, at the new rate.
func (b *bucket) setRate(now int64, r Rate) {
	old := b.rate
	b.rate = r.norm()
	owed := b.ns - now // at most forever, plus the fraction
	if owed < 0 || old.N == 0 || b.rate.N == 0 {
		b.ns, b.frac = min(b.ns, now), 0
		return
	}
	// tokens = (owed*N + frac)/Per: whole ones and a remainder.
	hi, lo := bits.Mul64(uint64(owed), uint64(old.N))
	lo, carry := bits.Add64(lo, b.frac, 0)
	hi += carry
	if hi >= uint64(old.Per) {
		b.ns, b.frac = now+forever, 0
		return
	}
	whole, rest := bits.Div64(hi, lo, uint64(old.Per))
	// The new time in units of 1/N ns: whole*Per + rest*Per/oldPer, the latter rounded up.
	hi, lo = bits.Mul64(rest, uint64(b.rate.Per))
	part, left := bits.Div64(hi, lo, uint64(old.Per)) // rest < oldPer, so it fits
	if left > 0 {
		part++
	}
	hi, lo = bits.Mul64(whole, uint64(b.rate.Per))
	lo, carry = bits.Add64(lo, part, 0)
	hi += carry
	if hi >= uint64(b.rate.N) {
		b.ns, b.frac = now+forever, 0
		return
	}
	ns, f := bits.Div64(hi, lo, uint64(b.rate.N))
	if ns > uint64(forever) {
		ns, f = uint64(forever), 0
	}
	b.ns, b.frac = now+int64(ns), f
}
