// Package stalwart carries the outbound half of a Stalwart configuration in TOML over: the
// keys below queue.outbound and queue.schedule, and the remote hosts that next-hop names.
//
//	read.go    TOML -> keys with their values, in the order of the file, with line and column
//	value.go   a value, or a list of conditions, each with a value
//	import.go  the table of keys, and what each becomes
//
// Conditions on the recipient's domain become Domain stanzas. What has no counterpart is
// named, never dropped in silence.
package stalwart
