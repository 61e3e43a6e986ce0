package account

import (
	"context"
	"fmt"

	"github.com/sluice-mta/sluice/internal/classify"
)

// request is records with who waits for them.
type request struct {
	records []Record
	done    chan error // capacity 1
}

// maxWaiting bounds the requests that wait; beyond it who asks is put off.
const maxWaiting = 1024

// Record writes records that do not come from the scheduler, and returns when they are
// written as A1 says. The time of each is set. ErrClosed, or ctx's error, after which they
// may still be written.
func (w *Writer) Record(ctx context.Context, records ...Record) error {
	q := request{records: records, done: make(chan error, 1)}
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return ErrClosed
	case w.failing != nil || len(w.extra) >= maxWaiting:
		err := w.failing
		w.mu.Unlock()
		if err == nil {
			err = errBehind
		}
		return fmt.Errorf("record a report: %w", err)
	}
	w.extra = append(w.extra, q)
	w.mu.Unlock()
	w.kick()
	select {
	case err := <-q.done:
		return err
	case <-w.done: // it ended without them, or with them at the last moment
		select {
		case err := <-q.done:
			return err
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeExtra makes sure that requests are there to encode; false: none waits.
func (w *Writer) takeExtra() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.extra) > 0
}

// encodeExtra encodes the requests that wait.
func (w *Writer) encodeExtra(now int64) {
	w.mu.Lock()
	requests := w.extra
	w.extra = nil
	w.mu.Unlock()
	for _, q := range requests {
		for i := range q.records {
			q.records[i].Logged = now
			w.append(&q.records[i])
		}
	}
	w.asked = append(w.asked, requests...)
}

// Categorize gives a record of a report the category of what it says.
func (r *Record) Categorize() { r.Category = string(classify.CategoryOf(r.Status, r.Diag)) }
