package sink

import (
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

// MaxDistinct bounds how many values of the id header are told apart.
const MaxDistinct = 20_000_000

// tally counts messages, recipients and played faults.
type tally struct {
	mu         sync.Mutex
	accepted   int
	refused    int
	withoutID  int
	ids        map[[16]byte]struct{} // half a SHA-256 of each id: 128 bits do not collide by chance
	full       bool
	bare       int
	mistakes   int
	rcpts      int
	rcptsNo    int
	domains    map[string]int
	faults     map[string]int
	msgRate    *judge
	violations map[string]int
}

func newTally(o Options) *tally {
	return &tally{
		ids: map[[16]byte]struct{}{}, domains: map[string]int{}, faults: map[string]int{},
		msgRate: newJudge(o.MsgRate, o.MsgRate.perSecond()), violations: map[string]int{},
	}
}

// inTime judges a MAIL against the message rate and counts a violation.
func (t *tally) inTime(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.msgRate.conforms(now) {
		return true
	}
	t.violations["msg-rate"]++
	return false
}

func (t *tally) accept(tx *transaction) {
	id, domains := tx.content.id, tx.domains
	sum := sha256.Sum256([]byte(id))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted++
	t.rcpts += len(domains)
	if tx.content.bare {
		t.bare++
	}
	for _, d := range domains {
		if _, known := t.domains[d]; !known && len(t.domains) >= maxKeys {
			d = otherKey
		}
		t.domains[d]++
	}
	if id == "" {
		t.withoutID++
		return
	}
	key := [16]byte(sum[:16])
	if len(t.ids) >= MaxDistinct {
		if _, known := t.ids[key]; !known {
			t.full = true
		}
		return
	}
	t.ids[key] = struct{}{}
}

func (t *tally) refuse() {
	t.mu.Lock()
	t.refused++
	t.mu.Unlock()
}

func (t *tally) refuseRcpt() {
	t.mu.Lock()
	t.rcptsNo++
	t.mu.Unlock()
}

func (t *tally) mistake() {
	t.mu.Lock()
	t.mistakes++
	t.mu.Unlock()
}

func (t *tally) fault(k FaultKind) {
	t.mu.Lock()
	t.faults[string(k)]++
	t.mu.Unlock()
}

// fill writes what the tally knows into a report and returns its violations.
func (t *tally) fill(rep *Report) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	rep.Messages = Messages{
		Accepted: t.accepted, Refused: t.refused, Distinct: len(t.ids), WithoutID: t.withoutID, DistinctFull: t.full, BareLineEnds: t.bare,
	}
	rep.Recipients = Recipients{Accepted: t.rcpts, Refused: t.rcptsNo, ByDomain: maps.Clone(t.domains)}
	rep.Mistakes = t.mistakes
	rep.Faults = maps.Clone(t.faults)
	return maps.Clone(t.violations)
}
