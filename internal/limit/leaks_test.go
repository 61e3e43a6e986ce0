package limit

import "fmt"

// leaks names what the slabs still hold although nothing should be left.
func (e *Engine) leaks() string {
	s := ""
	for _, x := range []struct {
		what string
		n    int
	}{
		{"counters", e.counters.live()},
		{"lines", e.lines.live()},
		{"tickets", e.tickets.live()},
		{"turns", e.turns.live()},
		{"claims", e.claims.live()},
		{"idle places", e.idle.live()},
		{"lists", e.lists.live()},
		{"throttles", e.throttles.live()},
		{"throttles in heaps", len(e.heaps[0]) + len(e.heaps[1])},
		{"heads of keys", e.names.heads.live()},
		{"tails of keys", e.names.tails.live()},
		{"rare tails of keys", e.names.rare.live()},
		{"counters to be looked at", e.pending},
	} {
		if x.n != 0 {
			s += fmt.Sprintf("%d %s; ", x.n, x.what)
		}
	}
	return s
}
