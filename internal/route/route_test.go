package route

import (
	"math"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

func id(n int) mail.ID {
	return mail.NewID(int64(n), [10]byte{byte(n), byte(n >> 8), 7})
}

func TestPickShares(t *testing.T) {
	c := []Candidate{{"ip-1", 1}, {"ip-2", 2}, {"ip-3", 5}}
	const n = 40000
	var got [3]int
	for i := range n {
		got[Pick(id(i), c)]++
	}
	for i, w := range []float64{1, 2, 5} {
		want := n * w / 8
		if math.Abs(float64(got[i])-want) > want*0.06 {
			t.Errorf("%s: %d of %d messages, want about %.0f", c[i].Name, got[i], n, want)
		}
	}
}

func TestPickLeavesOthersAlone(t *testing.T) {
	all := []Candidate{{"a", 1}, {"b", 3}, {"c", 2}}
	fewer := []Candidate{{"c", 2}, {"a", 1}} // b is gone, the order is another
	for i := range 2000 {
		before := all[Pick(id(i), all)].Name
		if after := fewer[Pick(id(i), fewer)].Name; before != "b" && before != after {
			t.Fatalf("message %d moved from %s to %s although %s is still there", i, before, after, before)
		}
	}
}

func TestPickNone(t *testing.T) {
	if got := Pick(id(1), nil); got != -1 {
		t.Errorf("Pick of nothing = %d, want -1", got)
	}
	if got := Pick(id(1), []Candidate{{"only", 0}}); got != 0 {
		t.Errorf("Pick of one with weight 0 = %d, want 0", got)
	}
}
