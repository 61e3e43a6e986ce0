// Package sched is the heart: a deterministic machine that decides which message
// goes where, when, over which connection. Events go in with the time, actions come
// out; there is no goroutine, lock, clock, socket or file inside, and no decision
// depends on the order of a map.
//
//	Submitted ─> Queue ──due──> route ──> ReadyQueue ──permit──> Connect ─> connection ──> Deliver
//	               ▲   (timer)    │ Resolve   │                                 │
//	               │              ▼           └── Wait: why it opens no more    │ Attempted
//	               └── deferred <── delivered: Account, Finish <────────────────┘
//	                               failed:    Account, Bounce, Finish
//
// Time is int64 nanoseconds of CLOCK_BOOTTIME. The driver (sched/live) holds the one
// lock, converts times, and carries actions to the edges; sim drives the same machine
// in virtual time.
//
// What makes a crash harmless (tests cite these numbers):
//
//	S1  a message is submitted only after the spool has it durably
//	S2  an outcome is accounted before its recipients are finished: Finish and Persist
//	    carrying a final status are emitted only after Recorded covers their record
//	S3  finishing comes last, so a crash can repeat a delivery, never lose one
//	S4  a permit exists from before the first SYN until Closed: the receiver has let go
//	S5  recovery replays the spool as Submitted events; no recovered message expires
//	    without one attempt after recovery
//	S6  a connection gets a further part only when the outcome before last has been
//	    written (Stored); so a crash repeats at most two messages a connection
//	S7  when outcomes cannot be written, no further part is handed out
//	S8  a part has exactly one owner: its queue, its ready queue, or one connection
//	S9  every Connect ends in exactly one Closed; every Deliver in exactly one Attempted
//	    or Returned, before that Closed
//	S10 no event does unbounded work: at most 256 visits, then it continues at the next Step
package sched
