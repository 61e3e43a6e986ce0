// Package dns says where mail for a domain may go.
//
//	Router.Resolve(binding, domain) ── gateway? literal? ── MX ── A, AAAA of each host
//	      │                                                 │
//	      ▼                                                 ▼
//	sched.Resolved                        Resolver: zone file, or cache ── one flight a name
//	(hosts in order, or a class and why)                               └── UDP, TCP when truncated,
//	                                                                       each resolver in turn
//
// What other people's servers say is data: every answer is bounded in size, number
// of records, length of its alias chain and time, only records that answer the question are
// read, and a host that cannot be used is left out rather than trusted. What goes wrong
// is told apart: the domain does not exist (refused), its servers do not answer (deferred),
// our own resolvers do not answer (local: costs no attempt).
//
// The message library is used in this room and nowhere else.
package dns
