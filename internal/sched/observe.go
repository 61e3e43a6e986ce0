package sched

// Waited is a stretch of a queue's waiting time that is over, as an observer is told.
type Waited struct {
	For          string      // "OPTION KEY" of a counter, or another cause in words
	Counter      CounterView // zero when it was none
	Since, Until int64       // ns of CLOCK_BOOTTIME
}

// tell has the observer know of a wait that ends now.
func (m *Machine) tell(c uint32, since int64) {
	if m.observe == nil || since >= m.now {
		return
	}
	x := m.causes.at(c)
	w := Waited{For: x.label, Since: since, Until: m.now}
	if x.counter != 0 && m.useOf(x.counter).cause == c {
		w.Counter = m.counterView(m.now, x.counter, 0)
	}
	m.observe(w)
}
