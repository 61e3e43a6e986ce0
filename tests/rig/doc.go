// Package rig runs the built binary and real SMTP programs as child processes on
// loopback, for the black-box tests. Nothing in it knows the inside of the server:
// what a test believes comes from the receiver's own count, the sender's ledger, the
// control socket, or the disk.
package rig
