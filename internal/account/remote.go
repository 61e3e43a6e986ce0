package account

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
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

// Categorize gives a record of a report the category and classes of what it says. judge may
// be nil: then it has none.
func (r *Record) Categorize(judge func(*classify.Subject) classify.Judgement) {
	if judge != nil {
		r.judge(ReportedReply(r.Status, r.Diag), judge)
	}
}

// ReportedReply is the reply that a Diagnostic-Code quotes: "smtp; 550 5.1.1 no such user".
func ReportedReply(status, diag string) mail.Reply {
	text := diag
	if kind, rest, ok := strings.Cut(diag, ";"); ok && !strings.Contains(kind, " ") {
		text = strings.TrimSpace(rest)
	}
	reply := mail.Reply{Enhanced: status, Text: text}
	if len(text) == 3 || len(text) > 3 && text[3] == ' ' {
		if code, err := strconv.Atoi(text[:3]); err == nil && code >= 200 && code < 600 {
			reply.Code, reply.Text = code, strings.TrimSpace(text[3:])
		}
	}
	if reply.Code == 0 && status != "" && status[0] >= '2' && status[0] <= '5' {
		reply.Code = int(status[0]-'0') * 100 // of its class at least
	}
	reply.Text = strings.TrimSpace(strings.TrimPrefix(reply.Text, status))
	return reply
}
