package sched

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

const (
	partBytes    = unsafe.Sizeof(part{})
	timerBytes   = unsafe.Sizeof(timer{})
	messageBytes = unsafe.Sizeof(message{})
)

// TestRecordSizes prints what the records take, so that growth is seen.
func TestRecordSizes(t *testing.T) {
	t.Logf("queue %d, lane %d, site %d, part %d, message %d, timer %d, counter beside its engine %d bytes",
		unsafe.Sizeof(queue{}), unsafe.Sizeof(lane{}), unsafe.Sizeof(site{}), partBytes, messageBytes, timerBytes, unsafe.Sizeof(counterMeta{}))
}

// TestQueueBytes: a queue takes at most 300 bytes, one that has a route and waits for a limit
// no less than one that waits for a time: the records of the machine and of the limit engine,
// its counter included. The domain's name and the mail are counted by themselves, and its
// history is not: there is none before it has waited.
func TestQueueBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("a world of 200,000 queues")
	}
	const queues, most = 200_000, 300
	before := heapNow()
	names := make([]string, queues)
	for i := range names {
		names[i] = strings.Clone(fmt.Sprintf("domain%d.test", i))
	}
	name := float64(heapNow()-before) / queues
	runtime.KeepAlive(names)
	names = nil
	for _, park := range []bool{false, true} {
		before := heapNow()
		m := crowd(queues, 1, park)
		all := float64(heapNow()-before) / queues
		if n := m.Totals(m.now).Queues; n != queues {
			t.Fatalf("%d queues", n)
		}
		mail := float64(partBytes + timerBytes + messageBytes)
		n := all - mail - name
		t.Logf("parked %v: %.0f bytes a queue, its name %.0f, a message in it %.0f", park, n, name, mail)
		if n > most {
			t.Errorf("parked %v: %.0f bytes a queue, at most %d", park, n, most)
		}
		runtime.KeepAlive(m)
	}
}
