package sim

import (
	"slices"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// books is what the world knows of each message: what receivers took, what accounting
// and the spool were told.
type books struct {
	fate      map[mail.ID]*fate
	jobs      map[string]int // recipients delivered to, by job
	order     []mail.ID
	Delivered int // recipients
	Twice     int // recipients that got it more than once
	Bounced   int // recipients reported on as failed
	Expired   int // of these
	Delays    int // delay reports
	Deferred  int // deferral records
	recorded  uint64
	sick      bool
	lag       time.Duration // of accounting and of the spool
	pending   []func()      // spool writes that wait while it is sick
	bookedAt  int64         // when the last record will be written
	storedAt  int64         // when the last change will be
}

type fate struct {
	arrived  map[int]int
	final    map[int]bool // an accounting record says delivered or bounced
	booked   map[int]bool // and it is written
	finished bool
	rcpt     int
	job      string
}

func (b *books) reset() {
	b.fate = map[mail.ID]*fate{}
	b.jobs = map[string]int{}
	b.lag = 200 * time.Microsecond
}

func (b *books) of(id mail.ID) *fate { return b.fate[id] }

func (b *books) accept(id mail.ID, job string, rcpt int) {
	b.fate[id] = &fate{arrived: map[int]int{}, final: map[int]bool{}, booked: map[int]bool{}, rcpt: rcpt, job: job}
	b.order = append(b.order, id)
}

// arrived: a receiver took responsibility.
func (b *books) arrived(w *World, id mail.ID, rcpt int) {
	f := b.of(id)
	f.arrived[rcpt]++
	if f.arrived[rcpt] == 1 {
		b.Delivered++
		b.jobs[f.job]++
	} else if b.Twice++; w.epoch == 0 {
		w.fail("message %s reached recipient %d twice without a crash", id, rcpt)
	}
}

func (w *World) record(a sched.Account) {
	b := &w.books
	if a.Seq != b.recorded+1 {
		w.fail("accounting record %d after %d", a.Seq, b.recorded)
	}
	b.recorded = a.Seq
	f := b.of(a.Message)
	w.ends.accounted(w, &a)
	for _, o := range a.Outcomes {
		switch a.Kind {
		case sched.RecordDeferred:
			b.Deferred++
		case sched.RecordDelivered, sched.RecordBounced:
			if f.final[o.Recipient] && w.epoch == 0 {
				w.fail("message %s: recipient %d is accounted as final twice", a.Message, o.Recipient)
			}
			f.final[o.Recipient] = true
		}
	}
	w.inOrder(&b.bookedAt, func() {
		if a.Kind == sched.RecordDelivered || a.Kind == sched.RecordBounced {
			for _, o := range a.Outcomes {
				f.booked[o.Recipient] = true
			}
		}
		w.step(sched.Recorded{Upto: a.Seq})
	})
}

// inOrder has a write happen after the ones before it.
func (w *World) inOrder(last *int64, do func()) {
	*last = max(*last, w.now+int64(w.vary(w.books.lag)))
	w.at(*last, do)
}

func (w *World) bounced(a sched.Bounce) {
	if a.Delay {
		w.books.Delays++
		return
	}
	w.books.Bounced += len(a.Outcomes)
	if a.Expired {
		w.books.Expired += len(a.Outcomes)
	}
}

// spool is the model of what would be on disk.
type spool struct {
	live map[mail.ID]*kept
	seq  uint64
}

type kept struct {
	tenant   string
	job      string
	priority mail.Priority
	received int64 // by the wall clock, as Next in state
	parts    []sched.SubmittedPart
	state    map[int]mail.RecipientState
}

// part is the one, as it was handed in, that a recipient belongs to.
func (k *kept) part(recipient int) *sched.SubmittedPart {
	for i := range k.parts {
		if slices.Contains(k.parts[i].Recipients, recipient) {
			return &k.parts[i]
		}
	}
	return &k.parts[0]
}

func (s *spool) reset() { s.live = map[mail.ID]*kept{} }

// store writes a change after a while; then what stands with it in the same record.
func (w *World) store(seq uint64, id mail.ID, states []mail.RecipientState, finish bool, with ...func()) {
	if seq != w.spool.seq+1 {
		w.fail("spool change %d after %d", seq, w.spool.seq)
	}
	w.spool.seq = seq
	w.checkBooked(id, states, finish)
	write := func() {
		k := w.spool.live[id]
		if k == nil {
			w.fail("a change of message %s, which is finished", id)
			return
		}
		for _, s := range states {
			s.Next += w.wall
			k.state[s.Index] = s
		}
		for _, do := range with {
			do()
		}
		if finish {
			w.finished(id)
		}
		w.step(sched.Stored{Upto: seq})
	}
	w.inOrder(&w.books.storedAt, func() {
		if w.books.sick {
			w.books.pending = append(w.books.pending, write)
			return
		}
		write()
	})
}

// checkBooked: what is final goes to the spool only when its record is written (S2).
func (w *World) checkBooked(id mail.ID, states []mail.RecipientState, finish bool) {
	f := w.books.of(id)
	for _, s := range states {
		if s.Status != mail.Pending && !f.booked[s.Index] {
			w.fail("message %s: recipient %d goes to the spool as %s before its record is written (S2)", id, s.Index, s.Status)
		}
	}
	if finish && len(f.booked) != f.rcpt {
		w.fail("message %s is finished with the records of %d of %d recipients written (S2)", id, len(f.booked), f.rcpt)
	}
}

func (w *World) finished(id mail.ID) {
	f := w.books.of(id)
	f.finished = true
	delete(w.spool.live, id)
}

// Spool makes the spool unable to write, or able again.
func (w *World) Spool(healthy bool) {
	w.books.sick = !healthy
	w.step(sched.StoreFailed{Healthy: healthy})
	if healthy {
		todo := w.books.pending
		w.books.pending = nil
		for _, write := range todo {
			write()
		}
	}
}

// Crash loses what the process held and starts it again from the spool, after a while.
// Connections end: their receivers see it at once.
func (w *World) Crash(down time.Duration) {
	w.now += int64(down)
	w.epoch++
	w.m, w.wakeAt, w.stopped, w.audit = nil, never, false, sched.WaitAudit{}
	w.books.recorded, w.spool.seq, w.books.sick, w.books.pending = 0, 0, false, nil
	clear(w.referee.windows) // buckets are full after a start
	ids := make([]sched.ConnID, 0, len(w.conns))
	for id := range w.conns {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		w.letGo(w.conns[id])
	}
	clear(w.conns)
	clear(w.told)
	w.restore()
	w.ends.up(w)
	for _, id := range w.books.order {
		if k := w.spool.live[id]; k != nil {
			w.recover(id, k)
		}
	}
}

// recover submits what is left of a message.
func (w *World) recover(id mail.ID, k *kept) {
	ev := sched.Submitted{Message: id, Tenant: k.tenant, Job: k.job, Priority: k.priority, Received: k.received - w.wall, Recovered: true}
	for _, p := range k.parts {
		var left []int
		attempts, due, b := 0, w.now, p.Binding
		for _, r := range p.Recipients {
			s := k.state[r]
			if s.Status != mail.Pending {
				continue
			}
			left = append(left, r)
			attempts, due = max(attempts, s.Attempts), max(due, s.Next-w.wall)
			if s.Binding != "" {
				b, p.Group = s.Binding, s.Group
			}
		}
		if len(left) == 0 {
			continue
		}
		p.Recipients, p.Attempts, p.Due, p.Binding = left, attempts, due, b
		p.Policy, p.Generation = w.queuePolicy(b, p.Domain, ""), w.generation
		ev.Parts = append(ev.Parts, p)
	}
	w.ends.terms(&ev)
	w.step(ev)
}
