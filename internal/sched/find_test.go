package sched

import (
	"fmt"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Lanes and queues are found while they come and go, few of them or many.
func TestFewAndMany(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(1))
	p.Expiration = 1 // ns: what is suspended ends when its time has come
	r.step(Operator{Verb: Suspend, Domain: "one.test"})
	for round := range 3 {
		for i := range 8 {
			for k := range 8 {
				r.n++
				r.step(Submitted{
					Message: mail.NewID(int64(r.n), [10]byte{1}), Tenant: fmt.Sprint("t", k), Received: r.now,
					Parts: []SubmittedPart{{Binding: fmt.Sprint("ip-", (i*5+round)%8), Domain: "one.test", Policy: p, Recipients: []int{0}, Due: r.now + sec*int64(1+(i*k+round)%7)}},
				})
			}
		}
		r.wait(10e9)
		if n := r.Totals(r.now).Queues; n != 0 || r.lanes.live+len(r.queueOf) != 0 {
			t.Fatalf("left: %d queues, %d and %d names", n, r.lanes.live, len(r.queueOf))
		}
	}
}
