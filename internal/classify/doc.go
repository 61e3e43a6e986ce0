// Package classify says what a receiver's reply means: for the recipient it answers,
// and for the connection it came over. Pure functions over replies; the scheduler acts
// on their results and never looks at text.
//
//	reply                               class of the recipient          fate of the connection
//	2xx to the final dot                delivered                       goes on
//	4xx                                 deferred                        goes on
//	452 to RCPT after accepted ones     too many: at once, once more    goes on
//	552 to RCPT                         deferred (RFC 5321 §4.5.3.1.10) goes on
//	5xx                                 refused                         goes on
//	421 anywhere                        deferred                        busy, or over
//	none: lost, timed out, not SMTP     deferred                        over, or the host's fault
//	none: not sent, 5.x.x of ours       refused                         goes on
//
// Codes that nobody has defined count by their first digit (RFC 5321 §4.2.1).
package classify
