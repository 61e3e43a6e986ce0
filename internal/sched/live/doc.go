// Package live drives the scheduler in real time: it holds the one lock, reads the
// clock, and carries actions to the edges.
//
//	edges ──event──> Driver.Step ──lock──> Machine ──actions──> Edges
//	                     ▲                                        │ Store, Account: an outbox each,
//	                     └───────── Recorded, Stored, ... ────────┘ drained in order by one goroutine
//
// Rules for edges:
//
//	D1  Edges' methods are called with the lock held and in the order of the actions: they
//	    must neither block nor call the Driver; what takes time goes to a goroutine or a mailbox.
//	D2  Step may be called from any goroutine.
package live
