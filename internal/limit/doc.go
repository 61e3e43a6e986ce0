// Package limit is the limit engine: counters with a ceiling, permits that span
// every counter on a connection's path, throttles, and the fair order of those who wait.
//
//	          Acquire(path): room everywhere?
//	   ┌─────────── yes ──────────────┐──────── no ────────────┐
//	   ▼                              ▼                        ▼
//	take all, at once            never some           wait on one: the counter that blocks
//	   │ Permit                                                │
//	   ▼   held from before the first SYN, idle included       │ woken by a return,
//	Return: exactly once, when the receiver has let go ────────┘ a raised limit, a token
//
// Invariants, numbered so that tests can cite them:
//
//	L1  used <= limit on every counter after every grant (server_max: <= limit + reserve,
//	    and the part above the limit only for queues that held nothing)
//	L2  a permit is taken on all counters of its path or on none
//	L3  a permit is returned exactly once, on the counters it was taken on; a second
//	    return panics
//	L4  nobody polls: a waiter is woken by the counter that it waits on
//	L5  nobody waits on a counter that has room for it while nothing else blocks it
//	L6  lowering a limit takes no permit away; no grant until used is below it
//	L7  in any window w a throttle admits at most N*w/Per + Burst tokens (one act of more than
//	    Burst: when the bucket is full); a refused act costs none; a permit and its tokens are
//	    taken together or not at all (L2)
//	L8  who has waited long and had its turn claims: it goes as soon as each counter of its path has
//	    had one unit returned for each older claimant and itself; claims keep at most a
//	    hundredth of a counter, or one unit, idle
//
// A throttle is a counter that bounds a rate: the same keys, the same fair lines. Its
// waiters are woken when their token is due, one for each token: Advance tells the engine the
// time, WakeAt when it wants to be told.
package limit
