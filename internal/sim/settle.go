package sim

import "time"

// Settle lets everything come to its end and then looks whether anything was lost,
// repeated, left behind or still held.
func (w *World) Settle() error {
	w.RunUntilQuiet(100 * time.Hour)
	if w.failure != nil {
		return w.failure
	}
	if err := w.machine().CheckInvariants(); err != nil {
		w.fail("at the end: %v", err)
	}
	if t := w.m.Totals(w.now); t.Messages+t.Parts+t.Queues+t.Connections > 0 {
		rows, _ := w.m.Queues(w.now, "", 3)
		w.fail("left at the end: %+v %+v", t, rows)
	}
	for _, id := range w.books.order {
		f := w.books.of(id)
		if !f.finished {
			w.fail("message %s was never finished", id)
		}
		for r := range f.rcpt {
			if !f.final[r] {
				w.fail("message %s: recipient %d has no outcome", id, r)
			}
		}
	}
	for name, n := range w.referee.open {
		if n != 0 {
			w.fail("%d connections on %s are still open", n, name)
		}
	}
	return w.failure
}
