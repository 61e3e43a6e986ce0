package sim

import (
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// TestStalePolicy: mail that was resolved under the configuration before comes after a
// reload. What it says of limits that others know better does not hold.
func TestStalePolicy(t *testing.T) {
	w := New(1)
	w.Check = true
	w.Limit(optServer, "*", 5, 0, 1)
	for range 40 {
		w.Submit("default", "one.test", "", 1)
	}
	w.Run(time.Second)
	old, generation := w.queuePolicy("default", "two.test", ""), w.generation
	w.Limit(optServer, "*", 1, 0, 1)
	w.Run(time.Minute)
	for i := range 40 {
		id := mail.NewID(int64(1000+i), [10]byte{2})
		part := sched.SubmittedPart{Binding: "default", Domain: "two.test", Policy: old, Generation: generation, Recipients: []int{0}, Due: w.now}
		w.books.accept(id, "", 1)
		w.spool.live[id] = &kept{received: w.now, parts: []sched.SubmittedPart{part}, state: map[int]mail.RecipientState{}}
		w.step(sched.Submitted{Message: id, Envelope: &mail.Envelope{ID: id}, Received: w.now, Parts: []sched.SubmittedPart{part}})
		w.Submit("default", "one.test", "", 1)
	}
	if err := w.Settle(); err != nil {
		t.Fatal(err)
	}
	if w.books.Delivered != 120 {
		t.Errorf("%d of 120 delivered", w.books.Delivered)
	}
}
