package limit

const maxPassed = 4

// turns are the counters that have named a waiter, which then found another one in its
// way. It has had its turn there and need not queue for it again until it has been granted
// something: only for room. Without that, two lines could send a waiter back and forth for
// ever, each for the sake of somebody behind it.
//
// If it waits on a counter that covers the one that let it pass, it stands in for all who
// wait there: a unit is held back for it (rep).
type turns struct {
	passed [maxPassed]pass
	claims uint32 // the last claim that the waiter has made
	n      uint8
	poor   bool // as which it is counted
}

// claimsOf is the last claim that the waiter has made, 0 if none stands.
func (e *Engine) claimsOf(w *waiter) uint32 { return e.turns.at(w.turns).claims }

func (e *Engine) setClaims(w *waiter, n uint32) {
	if w.turns == 0 {
		w.turns = e.turns.alloc()
	}
	e.turns.at(w.turns).claims = n
	e.tidyTurns(w)
}

// tidyTurns gives the record up when nothing is in it.
func (e *Engine) tidyTurns(w *waiter) {
	if x := e.turns.at(w.turns); w.turns != 0 && x.n == 0 && x.claims == 0 {
		e.turns.release(w.turns)
		w.turns = 0
	}
}

type pass struct {
	counter CounterID
	rep     bool
	charged bool // its tenant has paid for the turn
}

func (t *turns) has(id CounterID) bool {
	for i := range t.passed[:t.n] {
		if t.passed[i].counter == id {
			return true
		}
	}
	return false
}

// hadTurn reports whether the asker need not queue at a counter: it has waited there.
func (e *Engine) hadTurn(t Turn, id CounterID) bool {
	if id == t.From {
		return true
	}
	return e.waiters.has(uint32(t.Waiter)) && e.turns.at(e.waiter(t.Waiter).turns).has(id)
}

// passes books that the counter which named the waiter has let it pass, and looks anew at
// whom it stands in for: one is the counter that it goes on to, 0 if there are several.
func (e *Engine) passes(w *waiter, t Turn, one CounterID) {
	on := t.From != 0 && t.From != one
	if w.turns == 0 && !on {
		return
	}
	if w.turns == 0 {
		w.turns = e.turns.alloc()
	}
	x := e.turns.at(w.turns)
	old := *x
	x.n, x.poor = 0, t.Poor
	for _, p := range old.passed[:old.n] {
		e.bookPass(p, old.poor, -1)
		rep := x.claims == 0 && one != 0 && p.counter != one && e.covers(one, p.counter)
		if p.rep && !rep {
			e.unhold(p.counter)
		}
		if p.counter != one { // there it waits for room: a new turn
			e.pass(x, p, t, rep)
		}
	}
	if on && !x.has(t.From) {
		covered := one != 0 && e.covers(one, t.From)
		e.pass(x, pass{counter: t.From}, t, x.claims == 0 && covered)
		e.passToken(t.From, covered)
	}
	for _, p := range old.passed[:old.n] {
		e.push(p.counter)
		e.collect(p.counter)
	}
}

// pass adds a counter to the turns. When there are very many, the oldest is over: its
// turn was in vain, and is paid.
func (e *Engine) pass(x *turns, p pass, t Turn, rep bool) {
	if x.n == maxPassed {
		if !x.passed[0].charged {
			e.charge(x.passed[0].counter, t.Tenant)
		}
		e.bookPass(x.passed[0], x.poor, -1)
		e.push(x.passed[0].counter)
		copy(x.passed[:], x.passed[1:])
		x.n--
	}
	if p.rep = rep; rep && !p.charged {
		p.charged = true
		e.charge(p.counter, t.Tenant)
	}
	e.bookPass(p, x.poor, 1)
	x.passed[x.n] = p
	x.n++
}

func (e *Engine) bookPass(p pass, poor bool, by int32) {
	l := e.needLine(e.at(p.counter))
	if !p.rep {
		l.passed += by
		return
	}
	l.reps += by
	if poor {
		l.poorRep += by
	}
}

// dropTurns ends the waiter's turns; paid: it has been granted what they were for.
func (e *Engine) dropTurns(w *waiter, t Turn, paid bool) {
	if w.turns == 0 {
		return
	}
	x := *e.turns.at(w.turns)
	*e.turns.at(w.turns) = turns{claims: x.claims}
	e.tidyTurns(w)
	for _, p := range x.passed[:x.n] {
		if paid && !p.charged && p.counter != t.From {
			e.charge(p.counter, t.Tenant)
		}
		e.bookPass(p, x.poor, -1)
	}
	for _, p := range x.passed[:x.n] {
		e.unhold(p.counter)
		e.push(p.counter)
		e.collect(p.counter)
	}
}
