// Package load sends numbered messages to an SMTP server as fast as asked, and counts
// what became of each. Its client is a small one of its own, so that a load never
// shares a mistake with the server that it drives:
//
//	Run ──> sessions ──next number──> client.send ──> accepted | refused | unanswered
//	                                                     └─> ledger, before the session's next message
//
// Each message is counted exactly once, and an id enters the ledger only when its 250
// was read. A message whose content was sent and not answered is never sent again: if
// a receiver has it twice, the load did not cause it.
package load
