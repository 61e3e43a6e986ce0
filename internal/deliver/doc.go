// Package deliver carries out connections: one goroutine owns one socket from the dial
// to its end, and speaks with the scheduler by events. It decides nothing: not where
// to connect, not what to send next, not whether to try again.
//
//	Connect ─> dial ─> greeting, EHLO, TLS ─> Connected, Wants 2
//	             │                               │
//	             │                    Deliver ─> transaction ─> Attempted, Wants 1
//	             │                               │   ▲
//	             │                    (the next envelope goes behind the content, if a part is there)
//	             │                               └───┘ idle: woken by Deliver, Close, the receiver
//	             └─> ConnectFailed               │
//	                     └──────> Close, 421, loss: QUIT or end of stream, wait until the receiver lets go
//	                                             └─> Returned for parts not begun ─> Closed
//
// Invariants, numbered so that tests can cite them:
//
//	D1  a Connect makes one dial to one address, and ends in exactly one Closed
//	D2  a Deliver ends in exactly one Attempted or Returned; only one that crosses with
//	    Closed is answered after it
//	D3  Closed is reported when the receiver has let go, as far as can be seen
//	D4  Attempted has an outcome for every recipient of the part
//	D5  nothing is sent of a part that is Returned, unless the receiver had ended a used
//	    connection before it answered MAIL, or does not do what it offers and took nothing
//	D6  content goes when the content before it has been answered: of the two parts that a
//	    connection holds, one at most is in doubt when it is lost
package deliver
