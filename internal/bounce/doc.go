// Package bounce composes reports about mail that could not be delivered, or not yet,
// in the form that programs read (RFC 3464, RFC 6522) with a part for people.
//
//	multipart/report; report-type=delivery-status
//	├─ text/plain                what happened, in words
//	├─ message/delivery-status   one block for the message, one for each recipient
//	└─ text/rfc822-headers       the header of the message, or message/rfc822, all of it
//
// A report goes to the envelope sender and has none itself, so that it is never reported
// on (RFC 5321 §4.5.5). Every octet that a receiver or a client supplied is bounded,
// escaped and folded: none of it can begin a field, a part or a line of its own.
// Outside of the returned message a report is 7-bit.
package bounce
