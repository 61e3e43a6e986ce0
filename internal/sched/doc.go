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
//	    without one attempt after recovery, unless none comes about for as long as a message
//	    lives: a message that nothing moves ends too
//	S6  a connection gets a further part only when the outcome before last has been
//	    written (Stored); so a crash repeats at most two messages a connection
//	S7  when outcomes cannot be written, no further part is handed out
//	S8  a part has exactly one owner: its queue, its ready queue, or one connection
//	S9  every Connect ends in exactly one Closed; every Deliver in exactly one Attempted
//	    or Returned, before that Closed
//	S10 no event does unbounded work: at most 256 visits, then it continues at the next Step
//	S11 an open connection counts under its lane's routing domain; when that or the
//	    configuration changes, it is moved before anything further is opened
//
// For S6 a part on a connection and an outcome of it that is not written count alike:
// a connection has at most two of both together.
//
// # Who owns what
//
//	event.go, action.go   the whole surface;  machine.go  Step: take the event, then run what is to be done, in a fixed order
//	names.go, find.go   bindings, domains, tenants; lane (a binding's way to a domain), its queues
//	queue.go    kick: a queue's ready parts move, or it waits; the ramp
//	ready.go    which ready part goes next: priorities, turns of jobs
//	connect.go  choice of a host, the permit, what a failed connection says about whom
//	down.go     mail none of whose hosts can be reached
//	routing.go  what a lane's connections are counted under: rollups, gateways
//	route.go    where a lane's mail may go;  finding.go, site.go  answers, and what lanes share of them;  own.go  what they do not
//	host.go     hosts and addresses, and what is remembered of them;  tls.go  the TLS that each asks for
//	path.go     the counters that a connection is on;  meta.go  what set them, and what they let through
//	rate.go     throttles of a connection;  dry.go  connections that wait for tokens
//	gate.go     pauses before a busy host, a troubled binding, a machine without files
//	conn.go, conn_end.go  a connection's life: parts, rest, retirement, end
//	bounds.go   what a receiver takes at most on a connection
//	recall.go   parts that come back unbegun
//	migrate.go  a connection goes on for another queue of its host;  opening.go how many are opened at once
//	attempt.go  outcomes: who is done, who waits, who goes again;  result.go their writing
//	part.go, submit.go, timer.go   parts, their recipients and their times;  terms.go  what few messages ask besides
//	reload.go, operator.go, suspend.go, bind.go, job.go   changes from outside, in slices
//	wait.go, age.go     what each queue waits for and for how long; how old its mail is;  observe.go  who is told
//	query.go, held.go, rank.go, survey.go, view.go   lists in pages
//	state.go, explain*.go, explained.go, text.go     why a queue, a binding, a host, a message or a counter does not move
//	slab.go, list.go, fifo.go                        how records are kept
//	check.go, check_*.go                      recounts, for tests and the simulator
//
// # Choices that the manual names
//
//   - A host that says "too many connections" shuts a gate before it for one binding:
//     1 s, doubling to a minute with each further one; then one connection tries. Nothing
//     is counted until five minutes have passed with all hosts of a queue busy and no
//     connection of it open; then its ready mail is deferred, visibly. The same holds for
//     a connection that opens and ends without any outcome.
//   - All hosts failed: the message whose connection failed is deferred, the others wait for
//     host_failure_retry until one connection probes again. After mx_failures_to_delay rounds, or
//     connect_timeout_to_delay, one attempt is counted for all that is ready, unless connections
//     are open that still serve it. So it is when DNS failed.
//   - All hosts of a preference have refused every connection for five minutes: the next
//     preference is tried.
//   - Trouble of our own counts nothing; a part whose own content is in trouble waits
//     five minutes.
//   - A delay is reported at the first deferral after four hours, once. Whether it was
//     is not kept over a restart; a recovered message of that age counts as reported.
//   - On a contended path a connection serves a queue for 20 transactions, or 30 s, in a row.
//     Then it goes on for the queue that would have its place if it ended, if that may use it.
//   - High goes before normal before low, jobs take turns, a job's parts go in the order in
//     which they became ready: a retry stands where its time put it. Of the priorities that
//     wait each gets one part in eighteen at least.
//   - An address whose TLS failed where TLS was only wished for is spoken to in clear for
//     an hour.
package sched
