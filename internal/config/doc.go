// Package config turns the text of sluice.conf into a policy.Snapshot, and says
// everything that is wrong with it: file, line, column, what is allowed, the nearest
// name. All errors are reported, not only the first.
//
//	lex.go      text -> tokens with positions; comments are tokens too
//	syntax.go   tokens -> items; a mistake is reported and the parser goes on behind it
//	load.go     items -> the tree of policy.Scope: includes, names, scopes, values
//	secret.go   file:, env:, credential:
//	format.go   tokens -> canonical text
//	resolver.go one *policy.Queue for all names that no stanza tells apart
//
// The language knows nothing of single options: names, types, ranges and scopes come
// from the table in policy.
package config

//go:generate sh -c "go run ../../cmd/sluice config reference --markdown > ../../docs/options.md"
