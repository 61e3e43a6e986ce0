package server

import (
	"runtime"
	"sync"
)

// outbox holds actions in the order in which the scheduler emitted them until one
// goroutine takes them. Put never blocks: what bounds it is the scheduler, which hands
// out nothing further while outcomes are not written, and the gate at intake.
type outbox[T any] struct {
	mu     sync.Mutex
	items  []T
	spare  []T
	closed bool
	wake   sync.Cond
}

func newOutbox[T any]() *outbox[T] {
	o := &outbox[T]{}
	o.wake.L = &o.mu
	return o
}

func (o *outbox[T]) put(item T) {
	o.mu.Lock()
	o.items = append(o.items, item)
	o.mu.Unlock()
	o.wake.Signal()
}

// take waits for items and returns all there are; nil when the outbox is closed and
// empty. The slice is valid until the next take.
func (o *outbox[T]) take() []T {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) == 0 && !o.closed {
		for len(o.items) == 0 && !o.closed {
			o.wake.Wait()
		}
		// A woken goroutine runs before all that wait to run, and would find the first item
		// alone. Behind them it finds theirs too: one round for many.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
	}
	clear(o.spare)
	out := o.items
	o.items = o.spare[:0]
	o.spare = out
	if len(out) == 0 {
		return nil
	}
	return out
}

// close lets take return nil once everything has been taken.
func (o *outbox[T]) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.wake.Broadcast()
}

func (o *outbox[T]) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}
