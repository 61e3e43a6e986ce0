package sim

import (
	"fmt"
	"hash/fnv"

	"github.com/sluice-mta/sluice/internal/sched"
)

// trace hashes the course of events, so that two runs can be compared.
type trace struct {
	sum uint64
	buf []byte
}

func (t *trace) reset() { t.sum = 14695981039346656037 }

func (t *trace) add(format string, args ...any) {
	t.buf = fmt.Appendf(t.buf[:0], format, args...)
	h := fnv.New64a()
	_, _ = h.Write(t.buf)
	t.sum = (t.sum ^ h.Sum64()) * 1099511628211
}

func (t *trace) event(now int64, ev sched.Event) {
	switch ev := ev.(type) {
	case sched.Submitted:
		t.add("%d submitted %s", now, ev.Message)
	case sched.Attempted:
		t.add("%d attempted %d %d", now, ev.Conn, ev.Part)
	case sched.PolicyChanged:
		t.add("%d policy %d", now, ev.Generation)
	case sched.Resolved:
		t.add("%d resolved %s %s", now, ev.Binding, ev.Domain)
	case sched.Rebound:
		t.add("%d rebound %s %s", now, ev.Binding, ev.Domain)
	case sched.Operator:
		ev.Targets = nil
		t.add("%d operator %v", now, ev)
	default:
		t.add("%d %T %v", now, ev, ev)
	}
}

// action leaves pointers out: they differ between runs.
func (t *trace) action(a sched.Action) {
	switch a := a.(type) {
	case sched.Connect:
		t.add("connect %d %s %s %s %v %d", a.Conn, a.Binding, a.Domain, a.Host, a.Address, a.TLS)
	case sched.Resolve:
		t.add("resolve %s %s", a.Binding, a.Domain)
	case sched.Account:
		t.add("account %d %s %s %v %d", a.Seq, a.Kind, a.Message, a.Outcomes, a.Attempts)
	case sched.Bounce:
		t.add("bounce %d %s %v %v %v", a.Seq, a.Message, a.Outcomes, a.Last, a.Expired)
	default:
		t.add("%T %v", a, a)
	}
}
