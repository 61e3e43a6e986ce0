// Package state keeps small durable facts by key: operators' suspensions now, later all
// that a server has learned and that is not mail. There are few of them, they change
// seldom, and each matters after a restart.
//
//	state.log   header, then records: all facts when the file was written, then each change
//	            Put, Delete ─> record ─> fdatasync ─> done
//	state.new   the next state.log while it is written: synced, then renamed
//	damaged/    octets that were no record, as they were found
//
// Invariants, numbered so that tests can cite them:
//
//	T1  what Put or Delete has acknowledged is there after a crash at any later moment
//	T2  what was refused changes nothing that is read; after a crash it may be there
//	T3  a torn end of the file is dropped, for it was never acknowledged; what is damaged
//	    before it costs the records that it hits, is set aside and named, and never keeps
//	    the store from opening
//	T4  after a write or sync that failed nothing is appended: the next change writes the
//	    file anew
//	T5  the file is at most four times the facts and 64 KiB; the facts are at most MaxBytes
package state
