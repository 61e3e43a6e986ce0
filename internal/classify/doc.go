// Package classify says what a receiver's reply means: for the recipient it answers,
// for the connection it came over, and for what limits may learn from it. Pure functions
// over replies; the scheduler acts on their results and never looks at text.
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
//
// What the words mean is data: rules over code, enhanced code, text, stage and receiver.
//
//	text ──fold──► grams: which rules have a phrase in it? ──► those, in order ──► Judgement
//	                                                            bounce class + category   the first rule that names one
//	                                                            cause + reach             the first rule that names one
//
//	R1  what no rule knows has no cause: nothing is guessed into a penalty
//	R2  a mailbox or a message never reaches a queue: such a rule is refused
//	R3  a rule that its own file hides, or that fails its own texts, is refused
//	R4  the time for a reply is bounded: 2 KiB of text, RE2, at most MaxRules rules
package classify
