// Package policy is the meaning of a configuration: the option table, the scopes
// and how a value falls back through them, and the resolved settings that the
// scheduler and the edges work with. It knows no file and no syntax; config turns
// text into a Snapshot.
//
//	option.go     Option: everything the program knows of one option; options_*.go the table, as data
//	chain.go      the ladders on which values are looked for
//	scope.go      the tree of stanzas; which of them match a name or an address (label.go, pattern.go)
//	build.go      tree -> Snapshot, and what is wrong with it as a whole (references.go, check.go)
//	snapshot.go   Snapshot: one whole, checked configuration; immutable
//	resolve.go    Snapshot -> Queue: what holds for a binding and a routing domain (limits.go: its counters)
//	eval.go       question -> Answer: a value, where it comes from, what was asked
//	queue.go      Queue, Host, Server: what a Snapshot answers, typed and ready to use
//
//	text ──config──> tree of Scope ──Build──> Snapshot ──Queue, Host──> limits, timeouts, retries
//	                                             └──────Eval──────────> one value, and why
//
// A Snapshot resolves names with regular expressions, so it is asked outside the
// scheduler's lock, once per name; the answers are immutable, may be shared by many
// names (a Queue holds no name of its own), and travel in events.
package policy
