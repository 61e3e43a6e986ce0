// Package server assembles sluice: it builds the rooms, connects them, starts and
// stops them in order, and reloads the configuration. It is the only place, with sim,
// that knows all parts.
//
// Start: configuration, open files, spool, accounting, scheduler, recovery of what is
// queued, then the listeners. Stop: the listeners first, then the scheduler drains
// (transactions that wait for the final reply are finished within drain_timeout), then
// accounting and spool are flushed and closed.
package server
