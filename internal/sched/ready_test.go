package sched

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// readyBench is one queue of a machine without connections.
type readyBench struct {
	m  *Machine
	qh uint32
}

func newReadyBench() *readyBench {
	m := New(Config{})
	lane := m.laneFor("b", "one.test", &policy.Queue{Expiration: time.Hour}, 1)
	return &readyBench{m, m.queueFor(lane, 0)}
}

func (b *readyBench) q() *queue { return b.m.queues.at(b.qh) }

func (b *readyBench) add(job string, p mail.Priority, front bool) uint32 {
	msg := b.m.messages.alloc()
	*b.m.messages.at(msg) = message{open: 1, job: b.m.joinJob(job), priority: p}
	h := b.m.newPart(part{msg: msg, queue: b.qh})
	b.m.setRecipients(b.m.parts.at(h), []int{0})
	b.m.enter(h, front)
	return h
}

// take hands out the next part and forgets it.
func (b *readyBench) take() uint32 {
	h := b.m.nextReady(b.q())
	b.m.takeReady(b.q(), h)
	b.drop(h)
	return h
}

func (b *readyBench) drop(h uint32) {
	b.m.freeMessage(b.m.parts.at(h).msg)
	b.m.freePart(h)
}

func (b *readyBench) check(t interface{ Fatal(...any) }) {
	if err := b.m.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

// A job of many parts and one of few take turns; within a job the order stays.
func TestJobsTakeTurns(t *testing.T) {
	b := newReadyBench()
	want := map[uint32]string{}
	for i := range 6 {
		want[b.add("bulk", 0, false)] = fmt.Sprint("bulk", i)
	}
	for i := range 2 {
		want[b.add("reset", 0, false)] = fmt.Sprint("reset", i)
	}
	want[b.add("", 0, false)] = "none0"
	got := ""
	for b.q().ready.n > 0 {
		got += want[b.take()] + " "
	}
	if got != "bulk0 reset0 none0 bulk1 reset1 bulk2 bulk3 bulk4 bulk5 " {
		t.Error(got)
	}
}

// What comes back goes next, before its job's others and before other jobs of its
// priority; these keep their order.
func TestPutBackGoesFirst(t *testing.T) {
	b := newReadyBench()
	want := map[uint32]string{}
	for _, job := range []string{"a", "b", "c"} {
		want[b.add(job, 0, false)] = job
	}
	want[b.add("c", 0, true)] = "back"
	got := ""
	for b.q().ready.n > 0 {
		got += want[b.take()] + " "
	}
	if got != "back a b c " {
		t.Error(got)
	}
}

// A retry stands where its time has put it: behind what was ready before, before what
// came later.
func TestRetriesInOrder(t *testing.T) {
	b := newReadyBench()
	b.m.now = sec
	retry := b.add("a", 0, false)
	b.m.leave(retry)
	b.m.parts.at(retry).due = 10 * sec
	b.m.enter(retry, false)
	before := b.add("a", 0, false)
	b.m.Step(11*sec, Tick{})
	after := b.add("a", 0, false)
	for i, want := range []uint32{before, retry, after} {
		if got := b.take(); got != want {
			t.Errorf("part %d goes as number %d, want %d", got, i, want)
		}
	}
}

// While it waits, a priority gets one part in patience+2 at least, whatever the others
// bring.
func TestNoPriorityStarves(t *testing.T) {
	b := newReadyBench()
	n := map[mail.Priority]int{}
	of := map[uint32]mail.Priority{}
	refill := func() {
		for _, p := range []mail.Priority{mail.PriorityHigh, mail.PriorityNormal, mail.PriorityLow} {
			h := b.add("", p, false)
			of[h] = p
		}
	}
	refill()
	since := map[mail.Priority]int{}
	for i := range 20000 {
		refill()
		p := of[b.take()]
		n[p]++
		since[p] = i
		for q, last := range since {
			if i-last > patience+2 {
				t.Fatalf("%v passed over %d times", q, i-last)
			}
		}
	}
	if n[mail.PriorityHigh] < 17000 || n[mail.PriorityLow] < 20000/(patience+2) || n[mail.PriorityNormal] < 20000/(patience+2) {
		t.Error(n)
	}
}

// The ready parts agree with a plain model over random histories, and leave nothing.
func TestReadyModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newReadyBench()
		type line struct {
			job   string
			parts []uint32
		}
		var ranks [mail.Priorities][]*line
		find := func(rank int, job string) int {
			for i, l := range ranks[rank] {
				if l.job == job {
					return i
				}
			}
			return -1
		}
		shrink := func(rank, i int) {
			if len(ranks[rank][i].parts) == 0 {
				ranks[rank] = append(ranks[rank][:i:i], ranks[rank][i+1:]...)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			rank := rapid.IntRange(0, mail.Priorities-1).Draw(t, "rank")
			job := rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(t, "job")
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what <= 2:
				p := []mail.Priority{mail.PriorityHigh, mail.PriorityNormal, mail.PriorityLow}[rank]
				h := b.add(job, p, what == 0)
				i := find(rank, job)
				if i < 0 {
					ranks[rank] = append(ranks[rank], &line{job: job})
					i = len(ranks[rank]) - 1
				}
				l := ranks[rank][i]
				if what != 0 {
					l.parts = append(l.parts, h)
					break
				}
				l.parts = append([]uint32{h}, l.parts...)
				rest := append(append([]*line{}, ranks[rank][:i]...), ranks[rank][i+1:]...)
				ranks[rank] = append([]*line{l}, rest...)
			case what == 3: // expired, moved, failed
				if i := find(rank, job); i >= 0 {
					l := ranks[rank][i]
					k := rapid.IntRange(0, len(l.parts)-1).Draw(t, "which")
					h := l.parts[k]
					l.parts = append(l.parts[:k:k], l.parts[k+1:]...)
					shrink(rank, i)
					b.m.leave(h)
					b.drop(h)
				}
			case b.q().ready.n > 0:
				h := b.m.nextReady(b.q())
				got := int(b.m.messages.at(b.m.parts.at(h).msg).priority.Rank())
				l := ranks[got][0]
				if l.parts[0] != h {
					t.Fatalf("part %d of rank %d goes, want %d of job %q", h, got, l.parts[0], l.job)
				}
				b.take()
				l.parts = l.parts[1:]
				ranks[got] = append(ranks[got][1:len(ranks[got]):len(ranks[got])], l)
				shrink(got, len(ranks[got])-1)
			}
			b.check(t)
		}
		for b.q().ready.n > 0 {
			b.take()
		}
		if b.m.turns.live != 0 || len(b.m.turnOf) != 0 || b.m.jobNames.live != 0 || len(b.m.jobOf) != 0 {
			t.Fatalf("left: %d turns, %d listed, %d jobs, %d names", b.m.turns.live, len(b.m.turnOf), b.m.jobNames.live, len(b.m.jobOf))
		}
	})
}

// Parts and messages are kept by the million.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(part{}) + unsafe.Sizeof(message{}) + unsafe.Sizeof(timer{}); n > 136 {
		t.Errorf("a part, its message and its timer take %d bytes", n)
	}
}

func BenchmarkReadyManyJobs(b *testing.B) {
	r := newReadyBench()
	jobs := make([]string, 10000)
	for i := range jobs {
		jobs[i] = fmt.Sprint("job", i)
		for range 3 {
			r.add(jobs[i], mail.Priority(i%3), false)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r.take()
		r.add(jobs[i%len(jobs)], mail.Priority(i%3), false)
		i++
	}
}
