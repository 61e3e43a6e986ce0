// Package sink is a real SMTP receiver that enforces limits as providers do, counts
// for itself, and reports each violation. It is the referee in tests: nothing of it
// is shared with the limit engine, and it speaks SMTP with a conversation of its own,
// so that a mistake of the product's wire layer cannot hide behind its own mirror.
//
//	listener ──accept4 under the referee's lock──> socket ──line (--latency)──> session ──> tally
//	                        │                                                              │
//	                     referee: open, peak, violations                      messages, recipients, ids
//
// What is true of the counts:
//
//  1. accept4() and the counting of its connection are one step under one lock.
//  2. A connection stops counting before the sink calls shutdown() or close() on it,
//     under the same lock, or when the kernel shows that the client has closed.
//  3. Before a connection raises a peak or is held to be over a limit, the kernel is
//     asked about every open socket of that key: a close that happened before the
//     connect is never held against a client.
//  4. The line of --latency delays bytes and closes, never the counting: only the real
//     socket's state counts.
//
// What the kernel cannot show: an end of stream that waits behind octets for which the
// sink's receive window has no room (stall-at-body with megabytes). Such a client
// counts until its reset or end arrives, as it does at every receiver.
//
// The package needs Linux (accept4, POLLRDHUP, TCP_INFO).
package sink
