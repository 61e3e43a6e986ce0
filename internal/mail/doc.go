// Package mail holds the words that every other room uses: messages and their
// identity, addresses, recipients, envelopes, replies and outcomes.
//
// It imports nothing of ours, does no input or output, and reads no clock:
//
//	Envelope ──has──> Recipient ──gets──> Outcome ──with──> Reply
//	   │ID                │Address            │Status          (the remote's words: data, never an error)
//
// Times in this package are wall-clock nanoseconds since the Unix epoch, as the
// spool stores them. The scheduler counts in nanoseconds of CLOCK_BOOTTIME;
// only the driver converts between the two.
package mail
