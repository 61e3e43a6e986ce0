package sim

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/sched"
)

// TestExplainTellsTheTruth stops random worlds at random moments and asks what some queue
// waits for. A copy of the world is brought to the same moment, and there that limit is
// taken away, that rate lifted, that suspension ended: if explain has told the truth, the
// queue moves at once, or something else is what it waits for. SLUICE_TRUTHS=N takes so
// many samples.
func TestExplainTellsTheTruth(t *testing.T) {
	want, until := 1<<30, time.Now().Add(4*time.Second)
	if n, err := strconv.Atoi(os.Getenv("SLUICE_TRUTHS")); err == nil {
		want, until = n, time.Now().Add(time.Hour)
	}
	truth := truths{t: t, by: map[string]int{}}
	for seed := uint64(1); truth.samples < want && time.Now().Before(until) && !t.Failed(); seed++ {
		truth.world(seed)
	}
	t.Logf("%d samples, all true; by what was waited for: %v", truth.samples, truth.by)
	if truth.samples == 0 {
		t.Error("no world had a queue that waits")
	}
}

type truths struct {
	t       *testing.T
	samples int
	by      map[string]int
}

// world takes samples at moments between which ever more time passes.
func (x *truths) world(seed uint64) {
	w := Random(seed)
	w.Check = false // other tests look at that
	step := time.Duration(200+w.seed*37%1300) * time.Millisecond
	at := time.Duration(0)
	for tried := 0; tried < 4 && len(w.agenda) > 0 && at < 24*time.Hour; step += step / 3 {
		w.Run(step)
		at = time.Duration(w.now - w.begin) // a crash takes longer than a step
		if w.failure != nil {
			return // TestRandomWorlds tells
		}
		if w.m == nil || w.stopped {
			continue
		}
		if q := waiting(w, seed+uint64(at)); q != nil {
			tried++
			x.check(seed, at, w.Hash(), q)
		}
	}
}

// waiting picks one of the queues that wait for what can be lifted.
func waiting(w *World, pick uint64) *sched.Explanation {
	var found []string
	rows, _ := w.m.Queues(w.now, "", 1000)
	for i := range rows {
		if q := &rows[i]; q.WaitingOn != nil || q.Cause == "suspended" {
			found = append(found, q.Queue)
		}
	}
	if len(found) == 0 {
		return nil
	}
	e, _ := w.m.Explain(w.now, found[pick%uint64(len(found))])
	return &e
}

func (x *truths) check(seed uint64, at time.Duration, hash uint64, e *sched.Explanation) {
	x.t.Helper()
	w := Random(seed)
	w.Check = false
	w.Run(at)
	if w.Hash() != hash {
		x.t.Errorf("seed %d: the copy took another course", seed)
		return
	}
	what := e.Cause
	if c := e.WaitingOn; c != nil {
		what = c.Option
		if e.Cause != c.Name() {
			x.t.Errorf("seed %d at %v: it waits for %q and on %q", seed, at, e.Cause, c.Name())
		}
		if !w.m.Lift(w.now, c.Name()) {
			x.t.Errorf("seed %d at %v: no counter is called %q", seed, at, c.Name())
			return
		}
		w.step(sched.Tick{})
	} else {
		w.step(sched.Operator{Verb: sched.Resume, By: "the test"})
	}
	x.samples++
	x.by[what]++
	w.Run(2 * time.Millisecond) // what is left of the step's work
	if now, ok := w.m.Explain(w.now, e.Queue); ok && now.Cause == e.Cause && now.Conns <= e.Conns && now.Ready >= e.Ready {
		x.t.Errorf("seed %d at %v: %q was lifted, but its queue does not move; before and after:\n%s%s", seed, at, e.Cause, textOf(e), w.explainQueue(e.Queue))
	}
}

func textOf(e *sched.Explanation) string {
	var b strings.Builder
	e.Text(&b, sched.Style{})
	return b.String()
}
