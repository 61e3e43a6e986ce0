package sched

// Lanes are found among those of their domain, and queues among those of their lane. Most
// domains have one lane and most lanes one queue: only where there are more than a few is
// there a map beside the list.
const short = 4

// laneTo finds the lane of a binding to a domain; 0 stands for names that nobody has.
func (m *Machine) laneTo(k laneKey) (uint32, bool) {
	if k.binding == 0 || k.domain == 0 {
		return 0, false
	}
	lanes := &m.names.domains.at(k.domain).lanes
	if lanes.n > short {
		h, ok := m.laneOf[k]
		return h, ok
	}
	for h := lanes.head; h != 0; h = m.lanes.at(h).next {
		if m.lanes.at(h).key == k {
			return h, true
		}
	}
	return 0, false
}

func (m *Machine) addLane(h uint32, k laneKey) {
	lanes := &m.names.domains.at(k.domain).lanes
	m.laneList(lanes).push(h)
	switch {
	case lanes.n == short+1:
		for h := lanes.head; h != 0; h = m.lanes.at(h).next {
			m.laneOf[m.lanes.at(h).key] = h
		}
	case lanes.n > short:
		m.laneOf[k] = h
	}
}

func (m *Machine) removeLane(h uint32, k laneKey) {
	lanes := &m.names.domains.at(k.domain).lanes
	if lanes.n > short {
		delete(m.laneOf, k)
	}
	m.laneList(lanes).remove(h)
	if lanes.n == short {
		for h := lanes.head; h != 0; h = m.lanes.at(h).next {
			delete(m.laneOf, m.lanes.at(h).key)
		}
	}
}

// queueOn finds the queue of a tenant on a lane.
func (m *Machine) queueOn(k queueKey) (uint32, bool) {
	if k.lane == 0 {
		return 0, false
	}
	queues := &m.lanes.at(k.lane).queues
	if queues.n > short {
		h, ok := m.queueOf[k]
		return h, ok
	}
	for h := queues.head; h != 0; h = m.queues.at(h).next {
		if m.queues.at(h).tenant == k.tenant {
			return h, true
		}
	}
	return 0, false
}

func (m *Machine) addQueue(h uint32, k queueKey) {
	queues := &m.lanes.at(k.lane).queues
	m.queueList(queues).push(h)
	switch {
	case queues.n == short+1:
		for h := queues.head; h != 0; h = m.queues.at(h).next {
			m.queueOf[queueKey{k.lane, m.queues.at(h).tenant}] = h
		}
	case queues.n > short:
		m.queueOf[k] = h
	}
}

func (m *Machine) removeQueue(h uint32, k queueKey) {
	queues := &m.lanes.at(k.lane).queues
	if queues.n > short {
		delete(m.queueOf, k)
	}
	m.queueList(queues).remove(h)
	if queues.n == short {
		for h := queues.head; h != 0; h = m.queues.at(h).next {
			delete(m.queueOf, queueKey{k.lane, m.queues.at(h).tenant})
		}
	}
}
