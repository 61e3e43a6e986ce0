// Package route holds the pure functions that say where mail may go: which binding of
// a group a message takes, and what its domain is counted under.
//
//	message + group ──Pick──> binding          kept until that binding cannot send
//	domain + its best MX hosts + configuration ──Rollup──> routing domain, and why
//
// A routing domain is a name that connections are counted under, and nothing else: mail
// goes to hosts of its own domain, whatever that is rolled up under.
package route
