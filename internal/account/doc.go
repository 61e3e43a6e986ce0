// Package account writes what became of mail, one record for each recipient and event,
// and reads it again.
//
//	sched.Account ─ Write ─> bounded queue ─> one goroutine: encode a batch ─> accounting.csv
//	     ▲ Pressure: intake answers 452                  │                  └> accounting.jsonl
//	     └──────────────── Recorded(upto) <── written ───┘     rotated by size and age
//
// Promises (tests cite the numbers):
//
//	A1  Recorded(n) is called only when the records of all accounts up to n are written
//	    to every file: handed to the system, so that the end of this process loses none.
//	    Files are synced every few seconds, before they are rotated, and at Close: a loss
//	    of power may take the records of the last seconds
//	A2  a record is one line, whatever a receiver said: no octet of it ends a row or a field
//	A3  when writing fails, what was half written is taken back, nothing is dropped, and
//	    the same records are written when the disk allows it; then Pressure ends by itself
//	A4  a file is never overwritten; rotation keeps every whole record
//	A5  readers take no lock and hold nothing up
//
// docs/accounting.md describes both formats exactly.
package account
