// Package sign makes DKIM signatures (RFC 6376, RFC 8463).
//
//	header block ─> Message ──Write──> body hash ──Fields(specs)──> "DKIM-Signature: ..." lines
//	                                                  │
//	Keys: files read once, read again when they have changed
//
// A message is signed once, when it is accepted, in the order of its octets: the header
// block is whole before the body comes, the body is hashed while it passes, and the
// signature is put before everything else. What is signed is what leaves: nothing later
// changes an octet of it.
//
// Both header and body are canonicalised "relaxed". Fields that could be added on the way
// and change what a reader sees are signed once more than they are there (RFC 6376 §5.4:
// "oversigned"), so that an added one breaks the signature.
package sign
