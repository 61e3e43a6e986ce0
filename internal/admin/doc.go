// Package admin is the control API: HTTP with JSON over the control socket or a
// loopback address. It shows what the server does and carries operators' verbs; it
// decides nothing itself.
//
// Errors are problem details (RFC 9457). Reading is GET, changing is POST; nothing is
// changed by a GET. On TCP the Host header must name the loopback address that is
// listened on and a browser's Origin must be our own, so that a page elsewhere cannot
// reach it by DNS rebinding or a form.
package admin
