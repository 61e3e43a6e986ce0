package sched

// short is how many queues of a lane are looked for one by one: most have one. Only where
// there are more is there a map beside the list.
const short = 4

func (k laneKey) hash() uint64 {
	h := (uint64(k.binding)<<32 | uint64(k.domain)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// laneTo finds the lane of a binding to a domain; 0 stands for names that nobody has.
func (m *Machine) laneTo(k laneKey) (uint32, bool) {
	if k.binding == 0 || k.domain == 0 {
		return 0, false
	}
	h := m.laneIndex.Find(k.hash(), func(h uint32) bool { return m.lanes.at(h).key == k })
	return h, h != 0
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
