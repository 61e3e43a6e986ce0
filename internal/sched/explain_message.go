package sched

import "github.com/sluice-mta/sluice/internal/mail"

// FindMessage looks for a message among some of those that the machine holds, and returns
// the cursor to look on with, empty when there are no more. handle is 0 as long as it is
// not found.
func (m *Machine) FindMessage(id mail.ID, cursor string) (handle uint32, next string) {
	_, at := parseCursor(cursor)
	for left := pageSlots; at < m.messages.next && left > 0; at++ {
		left--
		if x := m.messages.at(at); x.id == id && x.open > 0 {
			return at, ""
		}
	}
	if at < m.messages.next {
		return 0, cursorAt('m', at)
	}
	return 0, ""
}

// MessageParts adds the parts of a message that are among some of the machine's, and
// returns the cursor to look on with, empty when there are no more.
func (m *Machine) MessageParts(id mail.ID, handle uint32, cursor string, x *MessageExplanation) (next string) {
	if !m.messages.has(handle) || m.messages.at(handle).id != id {
		return "" // it has its outcome meanwhile
	}
	_, at := parseCursor(cursor)
	for left := pageSlots; at < m.parts.next && left > 0; at++ {
		left--
		p := m.parts.at(at)
		if p.msg != handle {
			continue
		}
		if len(x.Parts) >= pageRows {
			x.More++
			continue
		}
		left -= 16
		v := PartView{Queue: m.queueName(m.queues.at(p.queue)), Recipients: m.size(p), Attempts: int(p.attempts), State: "ready"}
		switch p.state {
		case partWaiting:
			v.State, v.NextAt = "waits for its time", p.due
		case partFlying:
			v.State = "in delivery"
		}
		x.Parts = append(x.Parts, v)
	}
	if at < m.parts.next {
		return cursorAt('p', at)
	}
	return ""
}
