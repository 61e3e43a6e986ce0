// Package policy is the meaning of a configuration: the option table, the scopes
// and how a value falls back through them, and the resolved settings that the
// scheduler and the edges work with. It knows no file and no syntax; config turns
// text into a Snapshot.
//
//	options.go    the option table, as data: everything about an option is derived from it
//	scope.go      the tree of stanzas; which stanza supplies a value (the chains of the manual)
//	snapshot.go   Snapshot: one whole, checked configuration; immutable
//	queue.go      Queue, Host, Server: what a Snapshot answers, typed and ready to use
//
// A Snapshot resolves names with regular expressions, so it is asked outside the
// scheduler's lock, once per name; the answers are immutable, may be shared by many
// names (a Queue holds no name of its own), and travel in events.
package policy
