package limit

import "fmt"

// leaks names what the slabs still hold although nothing should be left.
func (e *Engine) leaks() string {
	s := ""
	count := func(what string, n, free int) {
		if n-1 != free {
			s += fmt.Sprintf("%d %s; ", n-1-free, what)
		}
	}
	chain := func(first uint32, next func(uint32) uint32) int {
		n := 0
		for ; first != 0; first = next(first) {
			n++
		}
		return n
	}
	count("tickets", len(e.tickets), chain(e.freeTkt, func(i uint32) uint32 { return e.tickets[i].more }))
	count("claims", len(e.claims), chain(e.freeClaim, func(i uint32) uint32 { return e.claims[i].more }))
	count("idle places", len(e.idle), chain(e.freeIdle, func(i uint32) uint32 { return e.idle[i].more }))
	count("lines", len(e.lists), len(e.freeList))
	count("throttles", len(e.throttles), len(e.freeThr))
	if n := len(e.heaps[0]) + len(e.heaps[1]); n > 0 {
		s += fmt.Sprintf("%d throttles in heaps; ", n)
	}
	if e.pending != 0 {
		s += fmt.Sprintf("%d counters to be looked at; ", e.pending)
	}
	return s
}
