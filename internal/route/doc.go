// Package route holds the pure functions that say where mail may go: which binding of
// a group a message takes.
//
//	message + group ──Pick──> binding          kept until that binding cannot send
package route
