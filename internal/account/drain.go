package account

import (
	"errors"
	"syscall"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// run is the writer's goroutine.
func (w *Writer) run() {
	defer close(w.done)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	retry := w.conf.retry
	var giveUp time.Time
	for {
		closed := w.isClosed() // before drain: what came before Close is drained by it
		err := w.drain()
		w.note(err)
		if closed && err == nil {
			w.err = w.end()
			return
		}
		if closed && giveUp.IsZero() {
			giveUp = time.Now().Add(w.conf.closeWait)
		}
		if closed && time.Now().After(giveUp) {
			w.err = errors.Join(err, w.end())
			return
		}
		if err != nil {
			w.pause(retry, closed)
			retry = min(2*retry, retryMax)
			continue
		}
		retry = w.conf.retry
		select {
		case <-w.wake:
		case <-w.closing:
		case <-tick.C:
			w.note(w.sync())
		}
	}
}

// pause waits before the next try; Close cuts it short.
func (w *Writer) pause(d time.Duration, closed bool) {
	if closed {
		time.Sleep(w.conf.retry)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.closing:
	}
}

func (w *Writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// note keeps the state of writing and tells of its changes.
func (w *Writer) note(err error) {
	w.mu.Lock()
	changed := (err == nil) != (w.failing == nil)
	w.failing = err
	w.mu.Unlock()
	if changed && w.conf.Trouble != nil {
		w.conf.Trouble(err)
	}
}

// drain writes until nothing waits. What is encoded and not written to every file stays
// so until it can be.
func (w *Writer) drain() error {
	w.obey()
	for {
		if err := w.flush(); err != nil {
			return err
		}
		if !w.take() {
			return nil
		}
		w.encode()
	}
}

// obey carries out Rotate and Reopen.
func (w *Writer) obey() {
	w.mu.Lock()
	rotate, reopen := w.rotate, w.reopen
	w.rotate, w.reopen = false, false
	w.mu.Unlock()
	for _, f := range w.files {
		f.turn = f.turn || rotate
		f.again = f.again || reopen
	}
}

// flush writes what is encoded to all files, each as far as it can be, and reports it
// as recorded when all have it.
func (w *Writer) flush() error {
	now := w.conf.Now()
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.flush(now))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, q := range w.asked {
		q.done <- nil
	}
	w.asked = w.asked[:0]
	if w.upto > w.told {
		w.told = w.upto
		if w.conf.Recorded != nil {
			w.conf.Recorded(w.upto)
		}
	}
	return nil
}

// take makes sure that there is an account to encode; false: none waits.
func (w *Writer) take() bool {
	if w.at < len(w.batch) {
		return true
	}
	if w.takeExtra() {
		return true
	}
	clear(w.batch) // lets go of envelopes
	w.at = 0
	w.mu.Lock()
	w.batch, w.queue = w.queue, w.batch[:0]
	w.space.Broadcast()
	w.mu.Unlock()
	return len(w.batch) > 0
}

// encode turns accounts into bytes until a batch is large enough to be written.
func (w *Writer) encode() {
	now := w.conf.Now().UnixNano()
	w.encodeExtra(now)
	for w.at < len(w.batch) {
		a := &w.batch[w.at]
		w.at++
		w.upto = a.Seq
		w.account(a, now)
		for _, f := range w.files {
			if len(f.pending) >= w.limit {
				return
			}
		}
	}
}

// account encodes the records of one account.
func (w *Writer) account(a *sched.Account, now int64) {
	env := a.Envelope
	if env == nil && a.Attempt != nil {
		env = a.Attempt.Envelope
	}
	if env == nil && w.conf.Envelope != nil {
		env = w.conf.Envelope(a.Message)
	}
	r := &w.record
	r.Logged = now
	r.message(a, env)
	if a.Kind == sched.RecordReceived && len(a.Outcomes) == 0 && env != nil {
		for i := range env.Recipients {
			r.recipient(a, env, i)
			w.append(r)
		}
		return
	}
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		r.recipient(a, env, o.Recipient)
		if a.Kind != sched.RecordReceived || o.Class != mail.ClassNone {
			r.outcome(o, w.conf.Judge)
		}
		w.append(r)
	}
}

func (w *Writer) append(r *Record) {
	for _, f := range w.files {
		f.pending = f.encode(f.pending, r)
	}
}

// sync makes what was written durable.
func (w *Writer) sync() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.sync())
	}
	return errors.Join(errs...)
}

// end closes the files and gives the directory free.
func (w *Writer) end() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.close())
	}
	return errors.Join(append(errs, w.lock.Close())...)
}

// full reports whether err is a want of room, which passes: the file itself is sound.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
