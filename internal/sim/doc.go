// Package sim drives the scheduler in virtual time against receivers that count for
// themselves.
//
//	scenario (testdata/*.txt) ─┐            ┌─> receivers: latency, own limits, failures
//	random world (a seed) ─────┴─> World ──┼─> model of the spool and of accounting
//	                                 │      └─> zone: domains, hosts, addresses
//	                            sched.Machine (the same as in the server)
//
// The World is a driver of the machine: it steps it with events and carries out its
// actions, after some latency. The referee in it counts connections by names, from
// Connect to Closed, and knows nothing of the limit engine. One seed gives one course
// of events: the trace's hash is the same each time.
package sim
