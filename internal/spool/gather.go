package spool

import (
	"runtime"
	"time"
)

const (
	// crowd is the number of ops in a round, on average, from which on a round may wait
	// for more of them.
	crowd = 4
	// minGather and maxGather bound that wait. Between them it is half of what a sync
	// takes: what is saved, when the wait spares half a sync, is more than what is lost.
	// A process with nothing else to do sleeps longer, up to the millisecond of its poller;
	// then nobody is in a hurry to come, and it happens once or twice (see gather).
	minGather = 20 * time.Microsecond
	maxGather = 200 * time.Microsecond
)

// gather lets those about to store something come into the round that begins: one sync
// for all of them. Those ready to run always take their turn first. Only in a crowd, and
// while fewer have come than usually do, some time is waited for the rest: a few clients
// never wait, nor does a round that is full. A wait that brought nobody halves what is
// taken for usual, so that a crowd that has left is waited for once or twice.
func (w *writer) gather() {
	n := w.d.letCome()
	wait := gatherTime(w.usual, n, w.syncTime)
	if wait == 0 {
		return
	}
	time.Sleep(wait)
	if w.d.letCome() == n {
		w.usual /= 2
	}
}

// gatherTime returns how long a round with n ops waits for more.
func gatherTime(usual float64, n int, sync time.Duration) time.Duration {
	if usual < crowd || n >= int(usual) {
		return 0
	}
	return min(max(sync/2, minGather), maxGather)
}

// letCome lets others run as long as that brings more to store, and returns how many ops
// wait. With nobody else about it returns at once.
func (d *Disk) letCome() int {
	const turns = 8
	known := 1
	for range turns {
		runtime.Gosched()
		d.qmu.Lock()
		n := len(d.queue)
		d.qmu.Unlock()
		if n <= known {
			return n
		}
		known = n
	}
	return known
}

// observeRound and observeSync bring the averages of gather forward.
func (w *writer) observeRound(ops int) {
	if ops > 0 {
		w.usual += (float64(ops) - w.usual) / 8
	}
}

func (w *writer) observeSync(took time.Duration) {
	w.syncTime += (took - w.syncTime) / 8
}
