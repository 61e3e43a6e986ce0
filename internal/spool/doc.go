// Package spool keeps messages safe from acceptance to their last outcome.
//
//	Create ──Write──> Draft ──Commit──> durable ── now 250 ──> Submitted
//	                                      │
//	Open (envelope, content) <── Deliver ─┤
//	Commit(Batch) <── outcomes, reports ──┘ ──Finish──> gone
//
// Two forms behave alike, proven by spooltest: Memory here, and the segment log on
// disk. Promises (tests cite the numbers):
//
//	P1  Draft.Commit returns nil only when envelope and content are durable, directory
//	    entries included
//	P2  a Batch is atomic: after a crash all of it holds or none
//	P3  batches hold in the order of their Commit calls; a batch not yet durable may be
//	    lost in a crash, which repeats a delivery and loses nothing
//	P4  after a failed write or sync nothing that was not durable is acknowledged; the
//	    failed segment is never written or synced again
//	P5  Recover always comes to an end and yields every message that was acknowledged and
//	    not finished; damage is quarantined, counted and named, never fatal
//	P6  a full disk fails Draft.Commit with ErrFull and loses nothing; batches go on
//	    using a reserved segment; intake heals without a restart
package spool
