package sched

// job is work on many records, done in slices: one visit calls do once for the next
// of them. do reports whether it wants to be called again for the same one.
type job struct {
	next uint32 // handle or index
	end  func() uint32
	do   func(h uint32) (again bool)
	done func() // nil: nothing follows
}

// nextJob does one visit of the oldest job.
func (m *Machine) nextJob() bool { return m.nextOf(&m.jobs) }

func (m *Machine) nextOf(jobs *fifo[*job]) bool {
	if jobs.len() == 0 {
		return false
	}
	j := *jobs.front()
	if j.next >= j.end() {
		jobs.pop()
		if j.done != nil {
			j.done()
		}
		return true
	}
	if !j.do(j.next) {
		j.next++
	}
	return true
}

// eachLane begins a job over all lanes.
func (m *Machine) eachLane(jobs *fifo[*job], do func(h uint32, l *lane)) {
	jobs.push(&job{next: 1, end: func() uint32 { return m.lanes.next }, do: func(h uint32) bool {
		if l := m.lanes.at(h); l.policy != nil {
			do(h, l)
		}
		return false
	}})
}

// eachPart begins a job over all parts that are on no connection; done follows it.
func (m *Machine) eachPart(do func(h uint32, p *part), done func()) {
	m.jobs.push(&job{next: 1, end: func() uint32 { return m.parts.next }, done: done, do: func(h uint32) bool {
		if p := m.parts.at(h); p.msg != 0 && p.state != partFlying {
			do(h, p)
		}
		return false
	}})
}

func (m *Machine) eachQueue(do func(h uint32, q *queue)) {
	m.jobs.push(&job{next: 1, end: func() uint32 { return m.queues.next }, do: func(h uint32) bool {
		if q := m.queues.at(h); q.lane != 0 {
			do(h, q)
		}
		return false
	}})
}

func (m *Machine) eachConn(jobs *fifo[*job], do func(h uint32, c *conn)) {
	jobs.push(&job{next: 1, end: func() uint32 { return m.conns.next }, do: func(h uint32) bool {
		if c := m.conns.at(h); c.state != 0 {
			do(h, c)
		}
		return false
	}})
}

// eachOf begins a job over n things by index.
func (m *Machine) eachOf(n int, do func(i int)) { eachOf(&m.jobs, n, do) }

func eachOf(jobs *fifo[*job], n int, do func(i int)) {
	jobs.push(&job{end: func() uint32 { return uint32(n) }, do: func(i uint32) bool {
		do(int(i))
		return false
	}})
}
