// Package dialect is what the importers of other servers' configurations share: the text
// that they write, and what they say about what has no counterpart. Each dialect is a room
// below it.
package dialect
