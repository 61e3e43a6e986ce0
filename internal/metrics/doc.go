// Package metrics has every metric of the server in one place: its name, its help, its
// labels, and how it is read (table.go). It knows nothing of the other rooms: what counts
// while things happen is counted through Metrics, what is read at a scrape comes as one
// Sample.
//
//	Accounted, Refused, Held ──> counters, histograms ─┐
//	                                                   ├─> GET /metrics
//	Reader ──> Sample ──(table.go)──> gauges, counters ┘
//
// Cardinality is bounded: labels take their values from the program's own words and from the
// configuration, and of the latter at most Keys; the others are summed up under Other.
package metrics
