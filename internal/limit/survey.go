package limit

// Usage is a counter or throttle as a survey of all of them sees it.
type Usage struct {
	State
	Option  string
	Wide    bool  // of no domain, host or address: the configuration bounds how many there are
	Blocked int64 // as BlockedNs
}

// Usage looks at one CounterID, from 1 below Bound; false when no counter has it.
func (e *Engine) Usage(now int64, id CounterID) (Usage, bool) {
	c := e.at(id)
	if !c.live {
		return Usage{}, false
	}
	return Usage{
		State: e.State(id), Option: e.names.heads.at(c.head).option, Wide: c.tail == 0,
		Blocked: e.lineOf(c).blockedBy(now),
	}, true
}

// Spent is what the counters of one option granted that are not there any more.
type Spent struct {
	Option string
	Grants uint64
}

// Spent returns, by option, the grants of counters that have gone. Not to be changed.
func (e *Engine) Spent() []Spent { return e.spent }

// bury adds the grants of a counter that goes to those of its option.
func (e *Engine) bury(c *counter) {
	n := uint64(c.grantsUp)<<32 | uint64(c.grants)
	if n == 0 {
		return
	}
	option := e.names.heads.at(c.head).option
	for i := range e.spent { // as many as options have counters: a handful
		if e.spent[i].Option == option {
			e.spent[i].Grants += n
			return
		}
	}
	e.spent = append(e.spent, Spent{option, n})
}

// HeldNs is how long a permit on a live counter was held on the average while others waited
// for it; 0: nobody has yet.
func (e *Engine) HeldNs(id CounterID) int64 { return e.lineOf(e.at(id)).held }

// Limit is the ceiling of a live counter.
func (e *Engine) Limit(id CounterID) int { return int(e.at(id).limit) }
