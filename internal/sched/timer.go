package sched

import "math/bits"

// A hierarchical timing wheel: setting, cancelling and firing a timer cost the same
// however many there are. Times are rounded up to a tick, so nothing fires early; it
// fires at most one tick late. Timers of one tick fire in the order they were set.
const (
	tickBits  = 20 // 2^20 ns, about 1.05 ms
	slotBits  = 6
	slots     = 1 << slotBits
	levels    = 7
	maxTick   = 1<<(slotBits*levels-1) - 1 // 2^(20+41) ns, about 73 years after boot
	noTimer   = 0
	neverTime = int64(1) << 62
)

type timerKind uint8

const (
	timerPart timerKind = iota + 1
	timerConn
	timerGate
	timerLane
	timerPlace
	timerHost
)

type timer struct {
	tick       int64
	prev, next uint32 // in its slot, circular
	ref        uint32
	kind       timerKind
	level      uint8
	slot       uint8
}

type wheel struct {
	timers slab[timer]
	tick   int64 // the present: timers of this tick and before are due
	head   [levels][slots]uint32
	used   [levels]uint64 // a bit for each slot that holds timers
}

func ticks(at int64) int64 {
	return min((max(at, 0)+1<<tickBits-1)>>tickBits, maxTick)
}

// onTick rounds a time up to the tick at which a timer for it fires, so that what
// holds until then and the timer that ends it agree.
func onTick(at int64) int64 { return ticks(at) << tickBits }

// set starts a timer for the time at.
func (w *wheel) set(at int64, kind timerKind, ref uint32) uint32 {
	h := w.timers.alloc()
	*w.timers.at(h) = timer{tick: ticks(at), ref: ref, kind: kind}
	w.place(h)
	return h
}

// place links a timer into the slot of the lowest level that tells its tick from the
// present.
func (w *wheel) place(h uint32) {
	t := w.timers.at(h)
	tick := max(t.tick, w.tick)
	level := 0
	if d := uint64(tick ^ w.tick); d >= slots {
		level = (bits.Len64(d) - 1) / slotBits
	}
	slot := int(tick>>(level*slotBits)) & (slots - 1)
	t.level, t.slot = uint8(level), uint8(slot)
	first := w.head[level][slot]
	if first == 0 {
		t.prev, t.next = h, h
		w.head[level][slot] = h
		w.used[level] |= 1 << slot
		return
	}
	f := w.timers.at(first)
	t.prev, t.next = f.prev, first
	w.timers.at(f.prev).next = h
	f.prev = h
}

func (w *wheel) unlink(h uint32) {
	t := w.timers.at(h)
	if t.next == h {
		w.head[t.level][t.slot] = 0
		w.used[t.level] &^= 1 << t.slot
		return
	}
	w.timers.at(t.prev).next = t.next
	w.timers.at(t.next).prev = t.prev
	if w.head[t.level][t.slot] == h {
		w.head[t.level][t.slot] = t.next
	}
}

// cancel stops a timer and clears its handle; it does nothing to noTimer.
func (w *wheel) cancel(h *uint32) {
	if *h == noTimer {
		return
	}
	w.unlink(*h)
	w.timers.release(*h)
	*h = noTimer
}

// next returns the time at which the wheel must be looked at again, neverTime if it
// holds no timer. It may be before the first timer is due, when a slot must be spread
// over the level below.
func (w *wheel) next() int64 {
	if w.head[0][w.tick&(slots-1)] != 0 {
		return w.tick << tickBits
	}
	for level := range levels {
		base := w.tick >> (level * slotBits)
		cur := int(base & (slots - 1))
		// On each level the slots up to the present one are empty.
		if ahead := w.used[level] >> cur >> 1; ahead != 0 {
			return (base + 1 + int64(bits.TrailingZeros64(ahead))) << (level * slotBits) << tickBits
		}
	}
	return neverTime
}

// pop takes out the next timer that is due at now, false if there is none.
func (w *wheel) pop(now int64) (kind timerKind, ref uint32, ok bool) {
	for {
		if h := w.head[0][w.tick&(slots-1)]; h != 0 {
			t := *w.timers.at(h)
			w.unlink(h)
			w.timers.release(h)
			return t.kind, t.ref, true
		}
		at := w.next()
		if at > now {
			w.tick = max(w.tick, now>>tickBits)
			return 0, 0, false
		}
		w.tick = at >> tickBits
		for level := levels - 1; level > 0; level-- {
			if w.tick&(1<<(level*slotBits)-1) == 0 {
				w.spread(level, int(w.tick>>(level*slotBits))&(slots-1))
			}
		}
	}
}

// spread moves the timers of a slot whose time begins down, in order.
func (w *wheel) spread(level, slot int) {
	for w.head[level][slot] != 0 {
		h := w.head[level][slot]
		w.unlink(h)
		w.place(h)
	}
}
