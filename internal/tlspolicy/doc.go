// Package tlspolicy says what receivers demand of connections to their hosts, and tells
// them how it went.
//
//	server ── Engine.Domain(domain) ─────── MTA-STS: TXT record ── cache ── HTTPS fetch
//	            │
//	            └─ Domain.Host(host) ────── DANE: TLSA records, validated ─┐
//	                                        MTA-STS: patterns of hosts ────┼─> dns.HostTLS: need, records, or why
//	                                        tls, tls_verify ───────────────┘   no mail may go there now
//	deliver ── how each handshake went ──── Reporter ── a day's counts ── a report by mail or HTTPS (TLS-RPT)
//
// What decides, in this order: tls = no; tls_verify, where it is set; TLSA records that are
// validated (RFC 7672); a policy in mode enforce (RFC 8461); tls.
//
// Nothing that a receiver publishes ends a message before its time: what a policy forbids
// waits. A policy that cannot be fetched is as none only where none is cached.
// Records, policies and replies are remote data: bounded in size, number and time.
package tlspolicy
